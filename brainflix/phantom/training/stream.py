"""Endless freshly drawn scenes for training, and others for validation.

Every item is drawn from ``default_rng([seed, purpose, step])``: batches can be made in any order and again.
Simulated studies draw their scenes from other streams, so no clip of a study is ever trained on.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from brainflix.phantom import world
from brainflix.phantom.captions import PARAPHRASES, caption

TRAINING, VALIDATION = 1, 2
PIXELS, FRAMES = 64, 8


def frames(*, seed: int, purpose: int, step: int, batch: int) -> np.ndarray:
    """Single frames of ``batch`` scenes at random times: float32 (batch, 3, PIXELS, PIXELS) in -1..1."""
    rng = np.random.default_rng([seed, purpose, step])
    drawn = []
    for _ in range(batch):
        scene = world.sample_scene(rng)
        drawn.append(_worn(world.render(scene, rng.uniform(0, 10, 1), pixels=PIXELS), rng)[0])
    return as_signal(np.stack(drawn)).transpose(0, 3, 1, 2)


class Clips(NamedTuple):
    """Drawn clips.

    Attributes:
        videos: uint8 (clip, FRAMES, PIXELS, PIXELS, 3).
        captions, scenes: one each.
        places: (clip, FRAMES, 3), x, y and size of the object, fractions of the frame.
    """

    videos: np.ndarray
    captions: list[str]
    scenes: list[world.Scene]
    places: np.ndarray


def clips(*, seed: int, purpose: int, step: int, batch: int) -> Clips:
    """Clips of 1.8 to 3.2 seconds with a caption each."""
    rng = np.random.default_rng([seed, purpose, step])
    videos, told, scenes, places = [], [], [], []
    for _ in range(batch):
        scene = world.sample_scene(rng)
        start, duration = rng.uniform(0, 10), rng.uniform(1.8, 3.2)
        times = start + duration * (np.arange(FRAMES) + 0.5) / FRAMES
        videos.append(_worn(world.render(scene, times, pixels=PIXELS), rng))
        told.append(caption(scene, paraphrase=int(rng.integers(PARAPHRASES))))
        scenes.append(scene)
        places.append(world.place(scene, times))
    return Clips(np.stack(videos), told, scenes, np.stack(places))


def as_signal(video: np.ndarray) -> np.ndarray:
    """uint8 0..255 as float32 -1..1."""
    return video.astype(np.float32) / 127.5 - 1


def _worn(video: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A third of the clips gets half-resolution chroma, as in a compressed file; the others stay as they are."""
    if rng.random() > 1 / 3:
        return video
    worn = np.empty_like(video)
    for i, frame in enumerate(video):
        ycc = cv2.cvtColor(frame, cv2.COLOR_RGB2YCrCb)
        half = cv2.resize(ycc[..., 1:], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        ycc[..., 1:] = cv2.resize(half, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        worn[i] = cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB)
    return worn
