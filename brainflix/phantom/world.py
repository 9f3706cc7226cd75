"""The procedural world: one coloured object that moves in one of five ways over a textured background.

A scene has four attributes that captions tell (kind, colour, motion, background) and continuous facts that
they do not (position, size, speed, phase, the texture's scale, phase, angle, hue and brightness). The texture
stands still and is drawn once; the object is a signed distance function drawn on its bounding box, which keeps
edges anti-aliased at any resolution. Motion is periodic with a visible amplitude, so that even the average
frame of two seconds shows which motion it was: a sharp shape, a horizontal or vertical streak, a wide ring, or
a shape with concentric soft edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KINDS: tuple[str, ...] = ("ball", "box", "cone", "star", "ring", "cross")
COLOURS: tuple[str, ...] = ("red", "green", "blue", "yellow", "purple", "white")
MOTIONS: tuple[str, ...] = ("resting", "sliding", "bobbing", "circling", "pulsing")
BACKGROUNDS: tuple[str, ...] = ("stripes", "tiles", "dots", "waves", "bricks", "mist")

RGB = {
    "red": (0.90, 0.13, 0.13),
    "green": (0.12, 0.78, 0.20),
    "blue": (0.14, 0.27, 0.95),
    "yellow": (0.98, 0.86, 0.10),
    "purple": (0.68, 0.16, 0.86),
    "white": (0.98, 0.98, 0.98),
}
_AMPLITUDE = {  # of the frame's width; of the object's size for pulsing
    "resting": (0.0, 0.0),
    "sliding": (0.14, 0.20),
    "bobbing": (0.14, 0.20),
    "circling": (0.12, 0.17),
    "pulsing": (0.28, 0.38),
}
_CONTRAST = 0.09  # peak deviation of the texture's brightness from its mean, of full scale


@dataclass(frozen=True)
class Scene:
    """Everything there is to know about a scene.

    Attributes:
        kind, colour, motion, background: what captions tell; members of the tuples above.
        x, y: centre of the object's path, fractions of the frame, y downwards.
        size: mean diameter of the object, fraction of the frame.
        speed: cycles per second.
        phase: of the motion, radians.
        amplitude: of the motion: fraction of the frame, or of ``size`` for ``pulsing``.
        texture_scale: period of the texture, fraction of the frame.
        texture_phase: two phases of the texture, radians.
        texture_angle: small rotation of the texture, radians.
        texture_hue: 0..1 around the colour circle.
        texture_brightness: mean brightness, 0..1.
    """

    kind: str
    colour: str
    motion: str
    background: str
    x: float
    y: float
    size: float
    speed: float
    phase: float
    amplitude: float
    texture_scale: float
    texture_phase: tuple[float, float]
    texture_angle: float
    texture_hue: float
    texture_brightness: float


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene: attributes uniformly, continuous facts so that the object stays inside the frame."""
    kind, colour, motion, background = (str(rng.choice(names)) for names in (KINDS, COLOURS, MOTIONS, BACKGROUNDS))
    size = rng.uniform(0.30, 0.44)
    amplitude = rng.uniform(*_AMPLITUDE[motion])
    x, y = (rng.uniform(reach, 1 - reach) for reach in _reach(motion, size, amplitude))
    return Scene(
        kind=kind,
        colour=colour,
        motion=motion,
        background=background,
        x=x,
        y=y,
        size=size,
        speed=rng.uniform(0.5, 0.8),
        phase=rng.uniform(0, 2 * np.pi),
        amplitude=amplitude,
        texture_scale=rng.uniform(0.22, 0.30),
        texture_phase=(rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)),
        texture_angle=rng.uniform(-0.15, 0.15),
        texture_hue=rng.uniform(0, 1),
        texture_brightness=rng.uniform(0.32, 0.52),
    )


def _reach(motion: str, size: float, amplitude: float) -> tuple[float, float]:
    """How far the object gets from its centre, horizontally and vertically (it may leave by 10 %)."""
    radius = 0.45 * size
    if motion == "pulsing":
        return radius * (1 + amplitude), radius * (1 + amplitude)
    horizontal = amplitude if motion in ("sliding", "circling") else 0.0
    vertical = amplitude if motion in ("bobbing", "circling") else 0.0
    return radius + horizontal, radius + vertical


def place(scene: Scene, times_seconds: np.ndarray) -> np.ndarray:
    """Where the object is: array (n_times, 3) of x, y and size in fractions of the frame."""
    angle = 2 * np.pi * scene.speed * np.asarray(times_seconds, float) + scene.phase
    path = np.tile([scene.x, scene.y, scene.size], (len(angle), 1))
    if scene.motion in ("sliding", "circling"):
        path[:, 0] += scene.amplitude * np.sin(angle)
    if scene.motion == "bobbing":
        path[:, 1] += scene.amplitude * np.sin(angle)
    if scene.motion == "circling":
        path[:, 1] += scene.amplitude * np.cos(angle)
    if scene.motion == "pulsing":
        path[:, 2] *= 1 + scene.amplitude * np.sin(angle)
    return path


def render(scene: Scene, times_seconds: np.ndarray, *, pixels: int) -> np.ndarray:
    """Draw a scene: uint8 array (n_times, pixels, pixels, 3), anti-aliased.

    Every pixel is sampled at its centre; the object's edge is a ramp of 1.5 pixels.
    """
    background = _background(scene, pixels)
    frames = np.repeat((background + 0.5).astype(np.uint8)[None], len(times_seconds), axis=0)
    path = (place(scene, times_seconds) * pixels).astype(np.float32)
    side = int(np.ceil(path[:, 2].max())) + 4
    corner = np.floor(path[:, :2] - side / 2).astype(int)
    # One box of constant side for all frames, so that the distance function runs once.
    grid = np.arange(side, dtype=np.float32) + 0.5
    radius = (path[:, 2] / 2)[:, None, None]
    u = (grid[None, None, :] + (corner[:, 0] - path[:, 0]).astype(np.float32)[:, None, None]) / radius
    v = (grid[None, :, None] + (corner[:, 1] - path[:, 1]).astype(np.float32)[:, None, None]) / radius
    distance = _distance(scene.kind, *np.broadcast_arrays(u, v))
    alpha = np.clip(0.5 - distance * radius / 1.5, 0, 1)
    shade = (0.94 - 0.10 * u - 0.14 * v) * np.clip(0.72 - 1.4 * distance, 0.72, 1)
    colour = np.minimum(shade[..., None] * (np.asarray(RGB[scene.colour], np.float32) * 255), 255)
    for frame, (left, top), a, c in zip(frames, corner, alpha[..., None], colour, strict=True):
        inside = np.s_[max(top, 0) : top + side, max(left, 0) : left + side]
        under = background[inside]
        offset = np.s_[max(-top, 0) :, max(-left, 0) :]
        height, width = under.shape[:2]
        a, c = a[offset][:height, :width], c[offset][:height, :width]
        frame[inside] = under + a * (c - under) + 0.5
    return frames


def _distance(kind: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Signed distance to the shape of radius 1 around the origin, negative inside."""
    if kind == "ball":
        return np.sqrt(u * u + v * v) - 1
    if kind == "box":
        return np.maximum(abs(u), abs(v)) - 0.84
    if kind == "cone":  # two sides from the tip (0, -1), a curved base
        side = abs(u) * 0.894 - (v + 1) * 0.447
        return np.maximum(side, v + 0.25 * u * u - 0.88)
    if kind == "ring":
        return abs(np.sqrt(u * u + v * v) - 0.72) - 0.28
    if kind == "cross":
        near, far = np.minimum(abs(u), abs(v)), np.maximum(abs(u), abs(v))
        return np.maximum(near - 0.30, far - 1)
    if kind == "star":  # five tips of radius 1 and notches of radius 0.42, folded into half a tip
        fold = np.abs((np.arctan2(u, -v) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
        radius = np.sqrt(u * u + v * v)
        edge = np.array([0.42 * np.cos(np.pi / 5) - 1, 0.42 * np.sin(np.pi / 5)])
        across, along = edge[1] / np.hypot(*edge), -edge[0] / np.hypot(*edge)
        return (radius * np.cos(fold) - 1) * np.float32(across) + radius * np.sin(fold) * np.float32(along)
    raise ValueError(f"no such kind: {kind!r}")


def _background(scene: Scene, pixels: int) -> np.ndarray:
    """The texture as float32 (pixels, pixels, 3), 0..255: brightness and a little hue follow the pattern."""
    grid = (np.arange(pixels, dtype=np.float32) + 0.5) / pixels
    cosine, sine = np.float32(np.cos(scene.texture_angle)), np.float32(np.sin(scene.texture_angle))
    k = np.float32(2 * np.pi / scene.texture_scale)
    u = k * (cosine * grid[None, :] + sine * grid[:, None]) + np.float32(scene.texture_phase[0])
    v = k * (cosine * grid[:, None] - sine * grid[None, :]) + np.float32(scene.texture_phase[1])
    pattern = _pattern(scene.background, u, v)
    tones = _hue(scene.texture_hue), _hue(scene.texture_hue + 0.08)
    dark, light = (np.float32(255) * scene.texture_brightness * t for t in tones)
    contrast = np.float32(255 * _CONTRAST)
    mix = (pattern[..., None] + 1) / 2
    return (dark + (light - dark) * mix + contrast * pattern[..., None]).astype(np.float32)


def _hue(hue: float) -> np.ndarray:
    """A muted colour of mean 1 as float32 (3,)."""
    wheel = np.cos(2 * np.pi * (hue - np.array([0, 1, 2]) / 3))
    return (1 + 0.22 * wheel).astype(np.float32)


def _pattern(background: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The pattern in -1..1 at coordinates in radians of its period."""
    if background == "stripes":
        return np.tanh(1.2 * np.sin(0.75 * (u + v)))
    if background == "tiles":
        return np.tanh(2.5 * np.sin(0.5 * u) * np.sin(0.5 * v))
    if background == "dots":
        return 2.4 * np.exp(1.3 * (np.cos(u) + np.cos(v) - 2)) - 0.7
    if background == "waves":
        return np.tanh(1.2 * np.sin(v + 1.3 * np.sin(0.6 * u)))
    if background == "bricks":
        row = np.floor(v / (2 * np.pi))  # mortar lies where a cosine peaks; odd rows shift by half a brick
        mortar = np.maximum(np.cos(v), 1 - 4 * (1 - np.cos(0.5 * u + np.pi * (row % 2))))
        return 0.55 - 1.7 * np.exp(3.5 * (mortar - 1))
    if background == "mist":
        return 0.5 * (np.sin(0.31 * u + 0.2 * v) + np.sin(0.27 * v - 0.17 * u + 1) * np.cos(0.4 * u))
    raise ValueError(f"no such background: {background!r}")
