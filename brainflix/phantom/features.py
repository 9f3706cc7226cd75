"""What the simulated brain sees of a scene: named numbers, ten times a second, and their means over a window.

Blocks of features, in order (G = grid):

    contrast, luminance, red-green, blue-yellow   G x G cells each, from the rendered picture
    energy                                        G x G cells: how fast the luminance changes
    kind, colour, motion, background              one of each, as zeros and ones
    place                                         x, y, size of the object, and how fast each changes

They are standardised by the mean and standard deviation over a reference sample of scenes that depends on the
seed alone, so a feature means the same in every dataset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brainflix.phantom.world import BACKGROUNDS, COLOURS, KINDS, MOTIONS, Scene, place, render, sample_scene

RETINOTOPIC = ("contrast", "luminance", "red-green", "blue-yellow", "energy")
ATTRIBUTES = {"kind": KINDS, "colour": COLOURS, "motion": MOTIONS, "background": BACKGROUNDS}
PLACE = ("x", "y", "size", "x-speed", "y-speed", "size-speed")
PIXELS_PER_CELL = 4
# Rows: luminance (Rec. 601), red against green, blue against yellow.
OPPONENT = np.array([[0.299, 0.587, 0.114], [1.0, -1.0, 0.0], [-0.5, -0.5, 1.0]], np.float32)
WORLD_STREAM, REFERENCE_STREAM = 3, 0


@dataclass(frozen=True)
class Features:
    """How scenes become standardised feature vectors.

    Attributes:
        grid: cells of the picture per side.
        rate: frames looked at per second.
        mean, scale: of each feature over the reference clips, float32 (n_features,).
    """

    grid: int
    rate: float
    mean: np.ndarray
    scale: np.ndarray

    @property
    def names(self) -> list[str]:
        """One name per feature, e.g. ``contrast-03-05`` (row, column) or ``kind-ball``."""
        cells = [f"{r:02d}-{c:02d}" for r in range(self.grid) for c in range(self.grid)]
        retinotopic = [f"{channel}-{cell}" for channel in RETINOTOPIC for cell in cells]
        attributes = [f"{name}-{value}" for name, values in ATTRIBUTES.items() for value in values]
        return [*retinotopic, *attributes, *(f"place-{name}" for name in PLACE)]

    def of_frames(self, scene: Scene, start: float, stop: float) -> np.ndarray:
        """Standardised features (n_frames, n_features) of a scene shown from ``start`` to ``stop`` seconds.

        Frames are looked at in the middle of intervals of 1/rate seconds.
        """
        return (frame_features(scene, frame_times(start, stop, self.rate), self.grid) - self.mean) / self.scale

    def of_clips(self, scenes: Sequence[Scene], seconds: float) -> np.ndarray:
        """Mean features of clips of that length: float32 (n_clips, n_features)."""
        return np.stack([self.of_frames(scene, 0.0, seconds).mean(axis=0) for scene in scenes])


def reference(*, grid: int, rate: float, clips: int, seconds: float, seed: int) -> tuple[Features, np.ndarray]:
    """The feature space of a seed, and its reference clips' features, float32 (clips, n_features)."""
    scenes = [sample_scene(np.random.default_rng([seed, WORLD_STREAM, REFERENCE_STREAM, i])) for i in range(clips)]
    times = frame_times(0.0, seconds, rate)
    raw = np.stack([frame_features(scene, times, grid).mean(axis=0) for scene in scenes])
    # A feature that hardly varies (a cell no object reaches) must not be blown up.
    scale = np.maximum(raw.std(axis=0), 1e-3)
    features = Features(grid, rate, raw.mean(axis=0), scale)
    return features, (raw - features.mean) / features.scale


def frame_times(start: float, stop: float, rate: float) -> np.ndarray:
    """Middles of intervals of 1/rate seconds that fill start..stop."""
    return start + (np.arange(max(1, round((stop - start) * rate))) + 0.5) / rate


def frame_features(scene: Scene, times: np.ndarray, grid: int) -> np.ndarray:
    """Raw features of a scene at some times, evenly spaced: float32 (n_times, n_features)."""
    frames = render(scene, times, pixels=grid * PIXELS_PER_CELL)
    shape = (len(times), grid, PIXELS_PER_CELL, grid, PIXELS_PER_CELL, 3)
    channels = (frames.reshape(-1, 3).astype(np.float32) / 255 @ OPPONENT.T).reshape(shape)
    means = channels.mean(axis=(2, 4))
    contrast = channels[..., 0].std(axis=(2, 4))
    energy = np.abs(_rate_of_change(means[..., 0], times))
    path = place(scene, times)
    retinotopic = [contrast, means[..., 0], means[..., 1], means[..., 2], energy]
    told = np.concatenate([np.equal(values, getattr(scene, name)) for name, values in ATTRIBUTES.items()])
    parts = [
        *(part.reshape(len(times), -1) for part in retinotopic),
        np.tile(told, (len(times), 1)),
        path,
        np.abs(_rate_of_change(path, times)),
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _rate_of_change(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    return np.gradient(values, times, axis=0) if len(times) > 1 else np.zeros_like(values)
