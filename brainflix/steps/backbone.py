"""Step `backbone`: train one of the demo's small frozen models from a seed."""

from __future__ import annotations

import shutil
from pathlib import Path

from brainflix.phantom.training import trainer
from brainflix.settings import Options, build


def backbone(*, name: str, settings: Options, seed: int, checkpoints: Path, threads: int, out: Path) -> None:
    """Train one of the tiny backbones on the simulated world.

    Args:
        name: one of brainflix.phantom.training.TRAINERS.
        settings: the settings of that training.
        seed: of weights and scenes.
        checkpoints: folder for the state of training; an interrupted run goes on from there.
        threads: CPU threads.
        out: folder of the trained model, in the layout of diffusers or transformers.

    Raises:
        InputError: there is no such backbone, or a checkpoint belongs to other settings.
    """
    module = trainer(name)
    chosen = build(module.SETTINGS, settings, where=f"backbone_training.{name}")
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    module.train(out=partial, settings=chosen, seed=seed, checkpoints=checkpoints, threads=threads)
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    shutil.rmtree(checkpoints, ignore_errors=True)
