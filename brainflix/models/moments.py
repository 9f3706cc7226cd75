"""Means, scales and products of arrays too large to copy, block by block in float64."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK = 2048  # rows or columns per block


def blocks(length: int) -> Iterator[slice]:
    """Slices of at most BLOCK that cover ``length``."""
    return (slice(start, start + BLOCK) for start in range(0, length, BLOCK))


def mean_and_scale(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (p,) of the columns of x (n, p); a constant column has scale 1."""
    mean, scale = np.empty(x.shape[1]), np.empty(x.shape[1])
    for c in blocks(x.shape[1]):
        columns = np.asarray(x[:, c], np.float64)
        mean[c], scale[c] = columns.mean(axis=0), columns.std(axis=0)
    return mean, np.where(scale == 0, 1.0, scale)


def gram(targets: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """YY' (u, u) of the rows of ``targets`` (u, t) less ``mean`` (t,)."""
    total = np.zeros((len(targets), len(targets)))
    for c in blocks(targets.shape[1]):
        block = np.asarray(targets[:, c], np.float64) - mean[c]
        total += block @ block.T
    return total
