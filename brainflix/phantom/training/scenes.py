"""Scenes and their frames by number, for training and for validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from torch import nn

from brainflix import training
from brainflix.phantom.captions import PARAPHRASES, caption
from brainflix.phantom.world import Scene, place, render, sample_scene

TRAINING, VALIDATION = 1, 2
CLIP_SECONDS = (2.0, 3.0)  # as long as the clips of CC2017 and BMD
FILE_PIXELS = 96  # of the simulated datasets' files


def scene_and_rng(index: int, *, seed: int, stream: int) -> tuple[Scene, np.random.Generator]:
    """Scene number ``index`` of a stream, and a generator for everything random about its clip."""
    rng = np.random.default_rng([seed, stream, index])
    return sample_scene(rng), rng


def clip(index: int, *, frames: int, pixels: int, seed: int, stream: int) -> tuple[Scene, np.ndarray, str, np.ndarray]:
    """A scene, its frames spread over 2 to 3 seconds, one of its captions, and where its object is.

    Returns:
        scene, uint8 (frames, pixels, pixels, 3), caption, (frames, 3) of x, y and size.
    """
    scene, rng = scene_and_rng(index, seed=seed, stream=stream)
    times = np.linspace(0, rng.uniform(*CLIP_SECONDS), frames) if frames > 1 else rng.uniform(0, 2, 1)
    drawn = render(scene, times, pixels=FILE_PIXELS if rng.random() < 0.5 else pixels)
    if drawn.shape[1] != pixels:  # half of the clips are resized, as those from files will be
        drawn = np.stack([cv2.resize(frame, (pixels, pixels), interpolation=cv2.INTER_AREA) for frame in drawn])
    return scene, drawn, caption(scene, paraphrase=int(rng.integers(PARAPHRASES))), place(scene, times)


def clips(
    indices: Sequence[int], *, frames: int, pixels: int, seed: int, stream: int
) -> tuple[list[Scene], np.ndarray, list[str], np.ndarray]:
    """Several clips: scenes, uint8 (clip, frame, row, column, 3), captions, places (clip, frame, 3)."""
    made = [clip(int(i), frames=frames, pixels=pixels, seed=seed, stream=stream) for i in indices]
    drawn, pictures, captions, places = zip(*made, strict=True)
    return list(drawn), np.stack(pictures), list(captions), np.stack(places)


@dataclass(frozen=True)
class Schedule:
    """One run of the optimiser: how many steps of how many scenes, and the peak of its learning rate."""

    steps: int
    batch: int
    learning_rate: float


def run(name: str, model: nn.Module, schedule: Schedule, settings: Any, *, seed: int, store: training.Store) -> None:
    """Optimise a module that makes its loss from scene numbers, every scene used once.

    Args:
        settings: has the other numbers of the optimiser.
        store: an earlier run's state is continued.
    """
    optimisation = training.TrainingSettings(
        epochs=1,
        batch=schedule.batch,
        accumulate=1,
        learning_rate=schedule.learning_rate,
        warmup_epochs=settings.warmup_share,
        weight_decay=settings.weight_decay,
        betas=(0.9, 0.98),
        clip_norm=settings.clip_norm,
        precision=settings.precision,
        compile=False,
        blocks=None,
    )
    training.train(
        name=name,
        model=model,
        loss=model,
        n_rows=schedule.steps * schedule.batch,
        settings=optimisation,
        seed=seed,
        store=store,
    )
