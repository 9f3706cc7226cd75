"""z-scores: per vertex over a run at hand, or over rows that stream past.

A vertex without variance has no z-score; it becomes NaN here and is counted and zeroed by the reader.
"""

from __future__ import annotations

import numpy as np

# A constant float32 series has, in float64 arithmetic, a relative spread of rounding noise only.
CONSTANT = 1e-10


def z_score(series: np.ndarray, *, ddof: int) -> np.ndarray:
    """z-score along the last axis: (n_vertices, n_volumes) -> float64, NaN where constant."""
    centred = series.astype(np.float64)
    mean = centred.mean(axis=1, keepdims=True)
    centred -= mean
    variance = np.einsum("vt,vt->v", centred, centred)[:, None] / (series.shape[1] - ddof)
    centred /= usable(np.sqrt(variance), mean)
    return centred


def detrend(series: np.ndarray, *, order: int) -> np.ndarray:
    """Subtract the least-squares polynomial of ``order`` along the last axis; float64, same shape."""
    series = np.asarray(series, dtype=np.float64)
    time = np.linspace(-1, 1, series.shape[-1])
    basis, _ = np.linalg.qr(np.polynomial.legendre.legvander(time, order))
    return series - (series @ basis) @ basis.T


class RunningStatistics:
    """Mean and standard deviation per vertex of rows that arrive block by block; non-finite entries skipped.

    Blocks are merged by Chan's formula in float64, so it does not matter how the rows are cut.
    """

    def __init__(self, n_vertices: int) -> None:
        self.count = np.zeros(n_vertices)
        self.mean = np.zeros(n_vertices)
        self.squares = np.zeros(n_vertices)  # sum of squared deviations from the mean

    def add(self, values: np.ndarray) -> None:
        """Take in rows (n_rows, n_vertices)."""
        finite = np.isfinite(values)
        count = finite.sum(axis=0)
        some = np.maximum(count, 1)
        known = np.where(finite, values, 0).astype(np.float64)
        mean = known.sum(axis=0) / some
        squares = (np.where(finite, known - mean, 0) ** 2).sum(axis=0)
        total = np.maximum(self.count + count, 1)
        delta = np.where(count > 0, mean - self.mean, 0)
        self.squares += squares + delta**2 * self.count * count / total
        self.mean += delta * count / total
        self.count += count

    def z_score(self, values: np.ndarray) -> np.ndarray:
        """z-score rows (n_rows, n_vertices) with what was taken in (ddof 1); NaN where that was constant."""
        std = np.sqrt(self.squares / np.maximum(self.count - 1, 1))
        return (values - self.mean) / usable(std, self.mean)


def usable(std: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Standard deviations, NaN in place of those that are rounding noise."""
    return np.where(std > CONSTANT * np.abs(mean), std, np.nan)
