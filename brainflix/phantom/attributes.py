"""Read kind, colour, motion and background from the pixels of a video: the check on everything generated.

It knows the world's palette but no scene, and it is no network: the object is found by the distance of pixels
to lines through the palette's colours, motion is read from the object's centre and area over time, kind and
background by linear discriminants on the object's aligned shape and on the power spectrum of the texture
around it. The discriminants are fitted, from a fixed seed and in seconds, on rendered clips that were blurred
and made noisy; a video generator takes no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from brainflix.phantom.world import BACKGROUNDS, COLOURS, KINDS, MOTIONS, RGB, render, sample_scene

CHANCE = {
    "colour": 1 / len(COLOURS),
    "kind": 1 / len(KINDS),
    "background": 1 / len(BACKGROUNDS),
    "motion": 1 / len(MOTIONS),
}
_PIXELS = 64
_PALETTE = np.array([RGB[c] for c in COLOURS], np.float32) * 255
_SHADES = (0.62, 1.15)  # range of brightness of an object, as a multiple of its palette colour
_FIT_SEED, _FIT_CLIPS, _FIT_FRAMES = 20_240_615, 400, 3
_SHAPE, _FREQUENCIES = 20, 10


@dataclass(frozen=True)
class _Seen:
    """A video taken apart: colour, soft masks (frames, y, x) of the object, and the still background (y, x)."""

    colour: str
    masks: np.ndarray
    brightness: np.ndarray
    visible: np.ndarray


def read_video(video: np.ndarray) -> dict[str, str]:
    """Read the four attributes from a video.

    Args:
        video: uint8 (frames, height, width, 3), square, at least 4 frames that span a period or so.

    Returns:
        ``kind, colour, motion, background``; where no object is found only ``background``.
    """
    return read_videos([video])[0]


def read_videos(videos: Sequence[np.ndarray]) -> list[dict[str, str]]:
    """:func:`read_video` for many videos."""
    kinds, backgrounds = _fitted()
    answers = []
    for video in videos:
        seen = _take_apart(video)
        answer = {"background": str(backgrounds.predict(_texture(seen)[None])[0])}
        if seen.masks.sum() > 0.01 * seen.masks.size:
            answer["kind"] = str(kinds.predict(_shape(seen.masks)[None])[0])
            answer |= {"colour": seen.colour, "motion": _motion(seen.masks)}
        answers.append(answer)
    return answers


def _take_apart(video: np.ndarray) -> _Seen:
    frames = np.stack([cv2.resize(f, (_PIXELS, _PIXELS), interpolation=cv2.INTER_AREA) for f in video])
    frames = frames.astype(np.float32)
    likeness = np.stack([_likeness(frames, palette) for palette in _PALETTE])
    # A texture may come near a palette colour: only what stands out from the picture's median counts.
    contrast = np.linalg.norm(frames - np.median(frames, axis=(0, 1, 2)), axis=-1)
    likeness *= np.clip((contrast - 50) / 50, 0, 1)
    colour = int((likeness > 0.5).sum((1, 2, 3)).argmax())
    core = likeness[colour] > 0.5
    outside = frames[~core] if (~core).any() else frames.reshape(-1, 3)
    masks = _opacity(frames, np.median(outside, axis=0), _PALETTE[colour] * 0.92)
    masks *= np.stack([cv2.dilate(c.astype(np.uint8), np.ones((7, 7))) for c in core])
    shown = (masks < 0.1).astype(np.float32)
    visible = shown.sum(0)
    brightness = (frames.mean(-1) * shown).sum(0) / np.maximum(visible, 1)
    return _Seen(COLOURS[colour], masks, brightness, visible > 0)


def _likeness(frames: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """How well each pixel is a shade of a palette colour, 0..1: exp of minus the squared distance to it."""
    shade = np.clip(frames @ palette / (palette @ palette), *_SHADES)[..., None]
    return np.exp(-np.square(frames - shade * palette).sum(-1) / (2 * 32.0**2))


def _opacity(frames: np.ndarray, background: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Where each pixel lies between the background's colour (0) and the object's (1)."""
    across = colour - background
    return np.clip((frames - background) @ across / (across @ across) * 1.5 - 0.35, 0, 1)


def _moments(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Area, centre (frames, 2 as x, y) and root-mean-square radius of soft masks, in pixels."""
    rows, columns = np.mgrid[:_PIXELS, :_PIXELS] + 0.5
    area = np.maximum(masks.sum((1, 2)), 1e-3)
    x, y = (masks * columns).sum((1, 2)) / area, (masks * rows).sum((1, 2)) / area
    spread = (masks * ((columns - x[:, None, None]) ** 2 + (rows - y[:, None, None]) ** 2)).sum((1, 2)) / area
    return area, np.stack([x, y], 1), np.sqrt(np.maximum(spread, 1))


def _motion(masks: np.ndarray) -> str:
    """The motion whose degrees of freedom vary: standard deviations of centre and relative radius."""
    area, centre, _ = _moments(masks)
    seen = area > 0.3 * np.median(area)
    x, y = centre[seen].std(axis=0) > 0.045 * _PIXELS
    if x or y:
        return "circling" if x and y else "sliding" if x else "bobbing"
    return "pulsing" if np.log(area[seen]).std() > 0.16 else "resting"


def _shape(masks: np.ndarray) -> np.ndarray:
    """The object's shape, moved to the centre, scaled to one radius and averaged over time: (_SHAPE ** 2,)."""
    _, centres, radii = _moments(masks)
    grid = (np.arange(_SHAPE, dtype=np.float32) + 0.5) / _SHAPE * 2 - 1
    total = np.zeros((_SHAPE, _SHAPE), np.float32)
    for mask, (x, y), radius in zip(masks, centres, radii, strict=True):
        columns = (x - 0.5 + 2.2 * radius * grid).astype(np.float32)
        rows = (y - 0.5 + 2.2 * radius * grid).astype(np.float32)
        maps = np.broadcast_arrays(columns[None, :], rows[:, None])
        total += cv2.remap(mask.astype(np.float32), *(np.ascontiguousarray(m) for m in maps), cv2.INTER_LINEAR)
    return (total / max(np.linalg.norm(total), 1e-6)).ravel()


def _texture(seen: _Seen) -> np.ndarray:
    """Log power at low spatial frequencies and skewness of the visible background, free of phase and contrast."""
    brightness = seen.brightness - seen.brightness[seen.visible].mean()
    brightness = brightness * seen.visible
    deviation = max(float(brightness[seen.visible].std()), 1e-3)
    brightness = brightness / deviation
    skewness = (brightness[seen.visible] ** 3).mean()
    window = np.hanning(_PIXELS + 2)[1:-1]
    power = np.abs(np.fft.fft2(brightness * window[:, None] * window[None, :])) ** 2
    k = _FREQUENCIES
    low = np.concatenate([power[: k + 1, : k + 1], power[-k:, : k + 1]])
    return np.append(np.log(low / max(low.sum(), 1e-9) + 1e-4).ravel(), skewness)


@lru_cache(maxsize=1)
def _fitted() -> tuple[LinearDiscriminantAnalysis, LinearDiscriminantAnalysis]:
    """Discriminants for kind and background from rendered, then blurred and noisy clips."""
    rng = np.random.default_rng(_FIT_SEED)
    shapes, textures, scenes = [], [], []
    while len(scenes) < _FIT_CLIPS:
        scene = sample_scene(rng)
        times = rng.uniform(0, 10) + 0.4 * np.arange(_FIT_FRAMES)
        seen = _take_apart(_degraded(render(scene, times, pixels=_PIXELS), rng))
        shapes.append(_shape(seen.masks))
        textures.append(_texture(seen))
        scenes.append(scene)
    discriminants = (
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1).fit(features, labels)
        for features, labels in (
            (shapes, [s.kind for s in scenes]),
            (textures, [s.background for s in scenes]),
        )
    )
    kinds, backgrounds = discriminants
    return kinds, backgrounds


def _degraded(video: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur (up to 1.4 pixels) and noise (up to 8 of 255), as a lossy round trip leaves them."""
    sigma, noise = rng.uniform(0.1, 1.4), rng.uniform(0, 8)
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in video])
    return np.clip(blurred + noise * rng.standard_normal(video.shape), 0, 255).astype(np.uint8)
