"""Training of the demo's backbones on clips of the simulated world that appear in no dataset.

Scene i of a stream is drawn from the seed sequence (seed, stream, i): training and validation
streams never meet, nor do they meet the scenes of the simulated datasets.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

TRAINERS = {
    "captioner": "brainflix.phantom.training.captioner",
    "clip": "brainflix.phantom.training.clip",
}


def trainer(name: str) -> Callable[..., None]:
    """``train(out=, settings=, seed=, checkpoints=, threads=)`` of a backbone."""
    return import_module(TRAINERS[name]).train
