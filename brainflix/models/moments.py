"""Means, scales and products of arrays too large to copy, block by block in float64.

Targets are anything with a shape that gives columns as ``targets[:, columns]``: an array, one on disk, or rows of
several files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

BLOCK = 2048  # rows or columns per block,
BLOCK_VALUES = 2**23  # and values at most: 64 MiB in float64
CACHED = 32  # times as small a block of float32 stays in cache between two passes


class Columns(Protocol):
    """A matrix (u, t) that is read by columns."""

    shape: tuple[int, ...]

    def __getitem__(self, key: Any) -> np.ndarray: ...


def blocks(length: int, depth: int = 1) -> Iterator[slice]:
    """Slices that cover ``length``, for blocks of at most BLOCK by ``depth``."""
    width = max(1, min(BLOCK, BLOCK_VALUES // depth))
    return (slice(start, min(start + width, length)) for start in range(0, length, width))


def mean_and_scale(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (p,) of the columns of x (n, p); a constant column has scale 1."""
    mean, scale = np.empty(x.shape[1]), np.empty(x.shape[1])
    for c in blocks(x.shape[1]):
        columns = np.asarray(x[:, c], np.float64)
        mean[c], scale[c] = columns.mean(axis=0), columns.std(axis=0)
    return mean, np.where(scale == 0, 1.0, scale)


def weighted_mean(targets: Columns, weights: np.ndarray) -> np.ndarray:
    """weights' Y (t,) of the rows of ``targets`` (u, t)."""
    columns = blocks(targets.shape[1], CACHED * len(weights))
    parts = [weights @ np.asarray(targets[:, c], np.float64) for c in columns]
    return np.concatenate(parts)


def plain_mean(targets: Columns) -> np.ndarray:
    """Mean (t,) of the rows of ``targets`` (u, t)."""
    rows, columns = targets.shape
    return np.concatenate([targets[:, c].mean(axis=0, dtype=np.float64) for c in blocks(columns, rows)])


def centred(targets: Columns, mean: np.ndarray, columns: slice | np.ndarray) -> np.ndarray:
    """Some columns of ``targets`` (u, t) less ``mean`` (t,), in float64."""
    block = np.array(targets[:, columns], np.float64, order="C")
    block -= mean[columns]
    return block


def gram(targets: Columns, mean: np.ndarray) -> np.ndarray:
    """YY' (u, u) of the rows of ``targets`` (u, t) less ``mean`` (t,)."""
    rows, columns = targets.shape
    total = np.zeros((rows, rows))
    for c in blocks(columns, rows):
        block = centred(targets, mean, c)
        total += block @ block.T
    return total


def sum_of_squares(targets: Columns, mean: np.ndarray) -> float:
    """Of all values of ``targets`` (u, t) less ``mean`` (t,)."""
    rows, columns = targets.shape
    return float(sum(np.square(centred(targets, mean, c)).sum() for c in blocks(columns, rows)))


def principal_weights(products: np.ndarray, components: int) -> np.ndarray:
    """Weights (k, u) that make the leading k principal axes out of centred rows, given these rows' products (u, u).

    The axes are orthonormal; k is ``components``, or the rows' rank where that is less.
    """
    squares, vectors = np.linalg.eigh(products)
    kept = np.flatnonzero(squares > 1e-10 * squares[-1])[::-1][:components]
    weights = (vectors[:, kept] / np.sqrt(squares[kept])).T
    # Signs are arbitrary; fixing them keeps the file the same whatever LAPACK does.
    weights *= np.where(weights[np.arange(len(kept)), np.abs(weights).argmax(axis=1)] < 0, -1.0, 1.0)[:, None]
    return weights


def combine(weights: np.ndarray, targets: Columns, mean: np.ndarray) -> np.ndarray:
    """weights (k, u) times ``targets`` (u, t) less ``mean`` (t,): (k, t) float32."""
    rows, columns = targets.shape
    result = np.empty((len(weights), columns), np.float32)
    for c in blocks(columns, rows):
        result[:, c] = weights @ (targets[:, c] - mean[c])
    return result


def deviation(targets: Columns, mean: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Standard deviation (t,) of ``targets`` (u, t) over some ``rows``, which may come more than once."""
    parts = [centred(targets, mean, c)[rows].std(axis=0) for c in blocks(targets.shape[1], len(rows))]
    return np.concatenate(parts)


def ratio(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """wanted / found; 1 where nothing was found to vary."""
    return np.divide(wanted, found, out=np.ones_like(wanted), where=found > 0)


def sums_by_group(values: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Sums (groups, r) of the rows of ``values`` (n, r) by ``group`` (n,), in their dtype."""
    sums = np.zeros((groups, values.shape[1]), values.dtype)
    np.add.at(sums, group, values)
    return sums


def means_by_group(values: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Means (groups, r) of the rows of ``values`` (n, r) by ``group`` (n,); none is empty."""
    counts = np.bincount(group, minlength=groups).astype(values.dtype)
    return sums_by_group(values, group, groups) / counts[:, None]


@dataclass(frozen=True)
class Combination:
    """weights (targets - mean) * factor, (k, t) in float32, formed block by block when it is multiplied from the left.

    Attributes:
        targets: (u, t).
        mean: (t,).
        weights: (k, u); None for k = u and the targets as they are.
        factor: gives what to multiply some columns by, an array that broadcasts to (k, columns), or None.
    """

    targets: Columns
    mean: np.ndarray
    weights: np.ndarray | None = None
    factor: Callable[[slice], np.ndarray] | None = None

    __array_ufunc__ = None  # array @ Combination is left to __rmatmul__

    @property
    def shape(self) -> tuple[int, int]:
        return (self.targets.shape[0] if self.weights is None else len(self.weights), self.targets.shape[1])

    def columns(self, c: slice) -> np.ndarray:
        """Columns ``c``, float32."""
        block = np.subtract(self.targets[:, c], self.mean[c].astype(np.float32), dtype=np.float32)
        if self.weights is not None:
            block = self.weights.astype(np.float32) @ block
        if self.factor is not None:
            block *= self.factor(c)
        return block

    def __rmatmul__(self, left: np.ndarray) -> np.ndarray:
        product = np.empty((len(left), self.shape[1]), np.float32)
        for c in blocks(self.shape[1], CACHED * self.targets.shape[0]):
            product[:, c] = left @ self.columns(c)
        return product

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = np.empty(self.shape, np.float32)
        for c in blocks(self.shape[1], self.targets.shape[0]):
            whole[:, c] = self.columns(c)
        return whole if dtype is None else whole.astype(dtype, copy=False)
