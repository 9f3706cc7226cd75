"""Intervals, chance and ceilings, as pure functions on arrays.

Every interval is over stimuli: what would the score be with other clips of the same kind? Windows cut from
one shot are not independent, so they can be resampled together (``groups``).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped
from scipy.special import ndtr, ndtri


def stable_int(text: str) -> int:
    """A number for a name that is the same on every machine and in every process, for seeding.

    >>> stable_int("0001")
    2073883876
    """
    return zlib.crc32(text.encode())


def evaluated(stimuli: pd.DataFrame, *, count: int | None, seed: int) -> list[str]:
    """The test clips a variant is judged on: a seeded subset of ``count`` (0 or None: all), sorted by name.

    Args:
        stimuli: table with columns ``stimulus`` and ``split``.

    Raises:
        ValueError: there are fewer than ``count`` test clips, or none.
    """
    test = sorted(stimuli.loc[stimuli["split"] == "test", "stimulus"])
    if not test or len(test) < (count or 0):
        raise ValueError(f"{count or 'some'} test clips wanted, {len(test)} exist")
    if not count:
        return test
    chosen = np.random.default_rng([seed, stable_int("evaluated")]).permutation(len(test))[:count]
    return [test[i] for i in sorted(chosen)]


def bootstrap(
    values: Float[np.ndarray, " stimuli"],
    *,
    seed: int,
    resamples: int,
    level: float,
    groups: Sequence[str] | Shaped[np.ndarray, " stimuli"] | None = None,
) -> tuple[float, float]:
    """Interval of the mean by the BCa bootstrap over stimuli, or over groups of stimuli.

    BCa (Efron 1987) corrects the percentile interval for bias and skew; scores near a bound are skewed.
    Values without spread give an interval of no width.
    """
    sums, sizes = _per_group(values, groups)
    if len(sums) < 2 or np.ptp(sums / sizes) == 0:
        mean = float(sums.sum() / sizes.sum())
        return mean, mean
    rng = np.random.default_rng([seed, stable_int("bootstrap")])
    draws = rng.integers(len(sums), size=(resamples, len(sums)))
    means = np.sort(sums[draws].sum(axis=1) / sizes[draws].sum(axis=1))
    low, high = np.quantile(means, _bca_levels(means, sums, sizes, level=level))
    return float(low), float(high)


def _per_group(values: np.ndarray, groups: Sequence[str] | np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(values, dtype=np.float64)
    if groups is None:
        return values, np.ones(len(values))
    _, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    return np.bincount(index, weights=values), np.bincount(index).astype(np.float64)


def _bca_levels(means: np.ndarray, sums: np.ndarray, sizes: np.ndarray, *, level: float) -> np.ndarray:
    mean = sums.sum() / sizes.sum()
    below = (np.sum(means < mean) + 0.5 * np.sum(means == mean)) / len(means)
    bias = ndtri(np.clip(below, 0.5 / len(means), 1 - 0.5 / len(means)))
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    deviation = left_out.mean() - left_out
    skew = np.sum(deviation**3) / (6 * np.sum(deviation**2) ** 1.5)
    z = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
    return ndtr(bias + z / (1 - skew * z))


def wilson(proportion: float, n: int, *, level: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion; unlike the bootstrap it has width at 0 and at 1.

    >>> [round(x, 4) for x in wilson(0.0, 10, level=0.95)]
    [0.0, 0.2775]
    """
    z = ndtri((1 + level) / 2)
    middle = (proportion + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(proportion * (1 - proportion) / n + z**2 / (4 * n**2))
    return float(min(max(middle - half, 0.0), proportion)), float(max(min(middle + half, 1.0), proportion))


def derangements(n: int, *, count: int, seed: int) -> Int[np.ndarray, " count n"]:
    """Seeded random pairings of n clips in which no clip keeps its own partner.

    Raises:
        ValueError: n < 2, where no such pairing exists.
    """
    if n < 2:
        raise ValueError("shuffled pairs need at least two clips")
    rng = np.random.default_rng([seed, stable_int("derangements")])
    out = np.empty((count, n), dtype=np.int64)
    for k in range(count):
        out[k] = rng.permutation(n)
        while np.any(out[k] == np.arange(n)):  # one in e succeeds, whatever n is
            out[k] = rng.permutation(n)
    return out


def shuffled_mean(
    pairwise: Float[np.ndarray, " clips gallery"], partners: Int[np.ndarray, " pairings clips"]
) -> Float[np.ndarray, " clips"]:
    """Chance of each clip: its mean score over the partners it was given."""
    return np.take_along_axis(pairwise, partners.T, axis=1).mean(axis=1)


def noise_ceiling(ncsnr: Float[np.ndarray, " *vertices"], *, repeats: int | float) -> Float[np.ndarray, " *vertices"]:
    """Percent of the variance of a mean over ``repeats`` that a perfect model could explain.

    NC = 100 ncsnr^2 / (ncsnr^2 + 1 / repeats), as BMD's versionB derivatives and NSD define it.

    >>> noise_ceiling(np.array([1.0]), repeats=3)
    array([75.])
    """
    signal = np.square(ncsnr)
    return 100.0 * signal / (signal + 1.0 / repeats)
