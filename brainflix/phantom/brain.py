"""The simulated brain: which feature each vertex likes, how reliably it says so, and how its noise is shared.

A vertex belongs to a group of Glasser areas, and a group carries blocks of features in fixed shares of its
signal variance (``CARRIES``). Inside a block the weights are smooth random fields over the mesh; retinotopic
blocks have a receptive field per vertex, whose centre moves smoothly over each area and lies in the opposite
half of the picture. Tuning of a subject is

    sqrt(shared) * common + sqrt(1 - shared) * own,

where both parts have signal variance 1 over the reference clips, so two subjects' signals correlate by
``shared``. ``common`` depends on the seed alone: it is the same brain in every dataset.
Signals live on the cortex, noise everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from brainflix.atlas import CORTEX, LEFT_CORTEX, roi_slices, vertices
from brainflix.errors import InputError
from brainflix.phantom.features import ATTRIBUTES, PLACE, RETINOTOPIC, Features
from brainflix.phantom.mesh import mesh_coordinates, smooth_fields, smooth_volume_fields

SPACE = "glasser41"
GROUPS = {
    "early": ("V1", "V2", "V3", "V4"),
    "motion": ("MT", "MST", "V3A", "V6"),
    "ventral": ("FFC", "VVC", "PIT", "LO1", "LO2", "LO3", "VMV1", "VMV2", "VMV3", "V8", "PH"),
    "parietal": ("V7", "V3B", "IPS1", "LIPv", "VIP", "MIP", "IP0", "IP1", "IP2"),
    "other": (
        *("RSC", "POS1", "POS2", "PCV", "7m", "23d", "v23ab", "d23ab", "31pv"),
        *("STV", "TPOJ1", "TPOJ2", "TPOJ3"),
    ),
}
ELSEWHERE = "elsewhere"  # the cortex outside the 41 areas
# Share of a group's signal variance that each block of features carries.
CARRIES: dict[str, dict[str, float]] = {
    "early": {"picture": 0.85, "energy": 0.15},
    "motion": {"energy": 0.4, "motion": 0.5, "picture": 0.1},
    "ventral": {"kind": 0.35, "colour": 0.2, "background": 0.2, "motion": 0.05, "picture": 0.2},
    "parietal": {"place": 0.7, "motion": 0.15, "energy": 0.15},
    "other": {"kind": 0.25, "colour": 0.15, "background": 0.25, "motion": 0.2, "place": 0.15},
    ELSEWHERE: {"kind": 0.25, "colour": 0.25, "background": 0.25, "motion": 0.25},
}
# Receptive field: standard deviation at the centre of gaze, as a fraction of the picture.
FIELD_SIZE = {"V1": 0.06, "V2": 0.08, "V3": 0.11, "V4": 0.15, "LO1": 0.18, "LO2": 0.2, "V3A": 0.18, "V3B": 0.2}
LARGE_FIELD = 0.28
SHARED_STREAM, OWN_STREAM, MODE_STREAM = 4, 5, 6
VARIABILITY = 0.25  # standard deviation of the log of a vertex's signal-to-noise ratio inside its group


@dataclass(frozen=True)
class Tuning:
    """A subject's tuning.

    Attributes:
        weights: float32 (59,412, n_features); signal variance 1 over the reference clips.
        spread: float32 (59,412,), smooth factors around 1 by which the vertices' signal-to-noise ratios differ.
    """

    weights: np.ndarray
    spread: np.ndarray


def groups() -> np.ndarray:
    """Name of each cortical grayordinate's group of areas: (59,412,) of str."""
    names = np.full(CORTEX, ELSEWHERE, dtype="<U9")
    for group, areas in GROUPS.items():
        for area in areas:
            names[vertices(SPACE)[roi_slices(SPACE)[area]]] = group
    return names


def by_group(values: Mapping[str, float], *, where: str) -> np.ndarray:
    """Spread one number per group over the cortex: float32 (59,412,).

    Raises:
        InputError: a group lacks its number, or a number has no group.
    """
    if set(values) != set(CARRIES):
        raise InputError.about(where, expected=f"the keys {', '.join(CARRIES)}", found=", ".join(values))
    table, names = dict(values), groups()
    return np.array([table[name] for name in names], np.float32)


def tuning(
    *,
    features: Features,
    reference: np.ndarray,
    steps: int,
    shared: float,
    seed: int,
    dataset: int,
    subject: int,
) -> Tuning:
    """Tuning of one subject of a dataset.

    Args:
        features: the feature space.
        reference: features of the reference clips (n_clips, n_features).
        steps: smoothness of the tuning, see :func:`brainflix.phantom.mesh.smooth_fields`.
        shared: share of the signal variance that all subjects have in common, 0..1.
    """
    covariance = np.cov(reference.T, ddof=0).astype(np.float32)
    common_rng = np.random.default_rng([seed, SHARED_STREAM])
    own_rng = np.random.default_rng([seed, OWN_STREAM, dataset, subject])
    common, common_spread = _draw(common_rng, features, covariance, steps)
    own, own_spread = _draw(own_rng, features, covariance, steps)
    common *= np.float32(np.sqrt(shared))
    own *= np.float32(np.sqrt(1 - shared))
    common += own
    spread = np.sqrt(shared) * common_spread + np.sqrt(1 - shared) * own_spread
    return Tuning(_scaled(common, covariance), np.exp(VARIABILITY * spread).astype(np.float32))


def modes(*, count: int, steps: int, homotopic: float, seed: int) -> np.ndarray:
    """Smooth spatial patterns of noise and rest over all grayordinates: float32 (91,282, count).

    Rows have sum of squares 1, so modes with courses of variance 1 give every vertex variance 1.
    """
    rng = np.random.default_rng([seed, MODE_STREAM])
    cortex = smooth_fields(rng, count=count, steps=steps, homotopic=homotopic)
    fields = np.concatenate([cortex, smooth_volume_fields(rng, count=count, millimetres=60.0)])
    return fields / np.linalg.norm(fields, axis=1, keepdims=True)


def _draw(
    rng: np.random.Generator, features: Features, covariance: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """One random brain: weights (59,412, n_features) of signal variance 1, and a field of variance 1."""
    columns = _columns(features.grid)
    told = sum(len(values) for values in ATTRIBUTES.values()) + len(PLACE)
    fields = smooth_fields(rng, count=len(RETINOTOPIC) + told + 3, steps=steps)
    channels, told_fields, jitter, spread = np.split(fields, [len(RETINOTOPIC), -3, -1], axis=1)
    cells = receptive_fields(jitter, features.grid)
    group_of, weights = groups(), np.zeros((CORTEX, len(features.names)), np.float32)
    for block, (start, stop) in columns.items():
        share = np.array([CARRIES[group].get(block, 0.0) for group in group_of], np.float32)
        who = np.flatnonzero(share)
        if block in ("picture", "energy"):
            chosen = channels[who, :-1] if block == "picture" else channels[who, -1:]
            part = (chosen[:, :, None] * cells[who, None, :]).reshape(len(who), -1)
        else:
            first = len(RETINOTOPIC) * features.grid**2
            part = told_fields[who, start - first : stop - first]
        part = _scaled(part, covariance[start:stop, start:stop])
        weights[who, start:stop] = part * np.sqrt(share[who])[:, None]
    return _scaled(weights, covariance), spread[:, 0]


def _columns(grid: int) -> dict[str, tuple[int, int]]:
    """First and last column (exclusive) of each block of features."""
    sizes = {"picture": (len(RETINOTOPIC) - 1) * grid**2, "energy": grid**2}
    sizes |= {name: len(values) for name, values in ATTRIBUTES.items()} | {"place": len(PLACE)}
    stops = np.cumsum(list(sizes.values())).tolist()
    return {name: (stop - size, stop) for (name, size), stop in zip(sizes.items(), stops, strict=True)}


def _scaled(weights: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Scale each row to signal variance 1."""
    variance = np.einsum("vf,vf->v", weights @ covariance, weights)
    return weights / np.sqrt(np.maximum(variance, 1e-12))[:, None]


def receptive_fields(jitter: np.ndarray, grid: int) -> np.ndarray:
    """How much each vertex sees of each cell of the picture: float32 (59,412, grid**2), rows of sum 1.

    Inside an area of one hemisphere, eccentricity grows along its longest axis from the back of the head, and
    polar angle runs across it; fields grow with eccentricity. Vertices outside the 41 areas see everything.

    Args:
        jitter: (59,412, 2) smooth fields of variance 1 that displace the centres a little.
    """
    middles = (np.arange(grid, dtype=np.float32) + 0.5) / grid
    seen = np.full((CORTEX, grid * grid), 1 / grid**2, np.float32)
    coordinates, index = mesh_coordinates(), vertices(SPACE)
    for area, columns in roi_slices(SPACE).items():
        for right in (False, True):
            who = index[columns]
            who = who[(who >= LEFT_CORTEX) == right]
            eccentricity, angle = _map_coordinates(coordinates[who])
            side = -1 if right else 1  # the left hemisphere sees the right half
            x = 0.5 + side * 0.48 * eccentricity * np.sin(np.pi * angle) + 0.03 * jitter[who, 0]
            y = 0.5 - 0.48 * eccentricity * np.cos(np.pi * angle) + 0.03 * jitter[who, 1]
            size = FIELD_SIZE.get(area, LARGE_FIELD) * (0.7 + 0.8 * eccentricity)
            across = np.exp(-((x[:, None] - middles) ** 2) / (2 * size[:, None] ** 2))
            down = np.exp(-((y[:, None] - middles) ** 2) / (2 * size[:, None] ** 2))
            field = (down[:, :, None] * across[:, None, :]).reshape(len(who), -1)
            seen[who] = field / field.sum(axis=1, keepdims=True)
    return seen


def _map_coordinates(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks 0..1 of vertices along the two longest axes of their patch; the first starts at the back."""
    centred = places - places.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    axes = axes * np.where(axes[np.arange(2), [1, 2]] < 0, -1, 1)[:, None]  # forwards; upwards
    ranks = (centred @ axes.T).argsort(axis=0).argsort(axis=0)
    along, across = (ranks / max(1, len(places) - 1)).T
    return along, 1 - across
