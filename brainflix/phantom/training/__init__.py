"""Training of the demo's backbones on clips of the simulated world that appear in no dataset.

Scenes are drawn from seed sequences that begin with (seed, 1) for training and (seed, 2) for
validation: the streams never meet, nor do they meet the scenes of the simulated datasets.

A module here that trains a backbone has ``SETTINGS``, its dataclass, and
``train(out=, settings=, seed=, checkpoints=, threads=)``, which writes a checkpoint folder.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from brainflix.errors import InputError

TRAINERS = {
    "captioner": "brainflix.phantom.training.captioner",
    "clip": "brainflix.phantom.training.clip",
    "generator": "brainflix.phantom.training.generator",
}


def trainer(name: str) -> ModuleType:
    """The module that trains backbone ``name``.

    Raises:
        InputError: there is no such backbone.
    """
    if name not in TRAINERS:
        raise InputError.about("backbone", expected=f"one of {', '.join(TRAINERS)}", found=name)
    return import_module(TRAINERS[name])
