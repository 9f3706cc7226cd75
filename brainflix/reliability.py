"""How much of a response is due to the stimulus: noise ceilings, repeat reliability, intersubject correlation.

Everything here is per vertex, does not depend on the vertex's scale and offset, and is NaN where a vertex is
NaN or constant.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int


class Presentations:
    """Sums over the presentations of each stimulus; they are added as they are read and not kept.

    Attributes:
        counts: of each stimulus so far (n_stimuli, 2): its odd presentations (first, third, ...) and even ones.
    """

    def __init__(self, n_stimuli: int, n_vertices: int) -> None:
        self.counts = np.zeros((n_stimuli, 2), np.int64)
        self._sums = np.zeros((n_stimuli, 2, n_vertices), np.float32)
        self._squares = np.zeros(n_vertices)
        self._origin: np.ndarray | None = None

    def add(self, stimuli: Int[np.ndarray, " rows"], values: Float[np.ndarray, "rows vertices"]) -> None:
        """Add presentations: the number of each one's stimulus, and the responses, in the order of time."""
        if self._origin is None and len(values):  # sums around a value that occurs stay small and exact
            self._origin = np.nan_to_num(values[0], posinf=0, neginf=0)
        with np.errstate(invalid="ignore"):
            for stimulus, row in zip(stimuli, values, strict=True):
                centred, half = row - self._origin, self.counts[stimulus].sum() % 2
                self.counts[stimulus, half] += 1
                self._sums[stimulus, half] += centred
                self._squares += np.square(centred, dtype=np.float64)

    def means(self) -> Float[np.ndarray, "stimuli vertices"]:
        """Mean response to each stimulus."""
        return self._sums.sum(axis=1) / self.counts.sum(axis=1, dtype=np.float32)[:, None] + self._origin

    def split_half(self) -> Float[np.ndarray, " vertices"]:
        """Correlation over stimuli of the mean of odd presentations with the mean of even ones."""
        repeated = self.counts.min(axis=1) > 0
        halves = self._sums[repeated] / self.counts[repeated][..., None].astype(np.float32)
        return correlation(halves[:, 0], halves[:, 1])

    def ncsnr(self) -> Float[np.ndarray, " vertices"]:
        """Noise-ceiling signal-to-noise ratio: signal over noise standard deviation of one presentation.

        The noise variance is the variance over the presentations of a stimulus (n - 1), pooled over stimuli; the
        signal variance is what is left of the variance of all presentations, at least 0 (Allen et al. 2022).
        """
        counts, n = self.counts.sum(axis=1), self.counts.sum()
        between, total = np.zeros(len(self._squares)), np.zeros(len(self._squares))
        for sums, count in zip(self._sums, counts, strict=True):
            both = sums.sum(axis=0, dtype=np.float64)
            between += both**2 / count
            total += both
        with np.errstate(invalid="ignore", divide="ignore"):
            noise = (self._squares - between) / (n - len(counts))
            variance = (self._squares - total**2 / n) / (n - 1)
            return np.sqrt(np.maximum(variance - noise, 0) / np.where(noise > 0, noise, np.nan))


def correlation(
    a: Float[np.ndarray, "stimuli vertices"], b: Float[np.ndarray, "stimuli vertices"]
) -> Float[np.ndarray, " vertices"]:
    """Pearson correlation over stimuli, vertex by vertex."""
    return np.einsum("sv,sv->v", standardized(a), standardized(b)).astype(np.float64) / len(a)


def standardized(values: Float[np.ndarray, "stimuli vertices"]) -> Float[np.ndarray, "stimuli vertices"]:
    """Mean 0 and variance 1 over stimuli; NaN where a vertex is constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = values - values.mean(axis=0)
        spread = centred.std(axis=0)
        return centred / np.where(spread > 0, spread, np.nan)


def intersubject(
    own: Float[np.ndarray, "stimuli vertices"], others: Sequence[Float[np.ndarray, "stimuli vertices"]]
) -> Float[np.ndarray, " vertices"]:
    """Correlation of a subject's responses with the mean of the others', each standardised (leave one out)."""
    total = np.zeros_like(own)
    for other in others:
        total += standardized(other)
    return correlation(own, total)
