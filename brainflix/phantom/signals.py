"""Haemodynamics and noise: pure functions on arrays.

Series are arrays (vertices, time), float32, because that is how CIFTI lays them on disk.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter
from scipy.special import gammainc

# The canonical double-gamma response (SPM): shapes in seconds, undershoot a sixth of the peak.
PEAK_SHAPE, UNDERSHOOT_SHAPE, UNDERSHOOT_RATIO = 6.0, 16.0, 1 / 6


def step_response(seconds: np.ndarray) -> np.ndarray:
    """Response to a stimulus that stays on from 0: the integral of the canonical HRF, 1 at infinity."""
    after = np.maximum(seconds, 0.0)
    rise = gammainc(PEAK_SHAPE, after) - UNDERSHOOT_RATIO * gammainc(UNDERSHOOT_SHAPE, after)
    return rise / (1 - UNDERSHOOT_RATIO)


def response_matrix(times: np.ndarray, onsets: np.ndarray, durations: np.ndarray | float) -> np.ndarray:
    """BOLD response at ``times`` to stimuli of height 1: float32 (n_times, n_onsets). All in seconds."""
    since = np.asarray(times)[:, None] - np.asarray(onsets)[None, :]
    return (step_response(since) - step_response(since - durations)).astype(np.float32)


def autoregressive(noise: np.ndarray, rho: float) -> np.ndarray:
    """Turn white noise (..., time) of variance 1 into an AR(1) process of variance 1, stationary from the start."""
    driven = noise * np.float32(np.sqrt(1 - rho**2))
    driven[..., 0] = noise[..., 0]
    return lfilter([np.float32(1)], np.array([1, -rho], np.float32), driven, axis=-1)


def noise(
    rng: np.random.Generator,
    modes: np.ndarray,
    length: int,
    *,
    mode_share: float,
    rho: float = 0.0,
    mode_rho: float = 0.0,
) -> np.ndarray:
    """Noise of variance 1 per vertex: smooth modes plus white, float32 (vertices, length).

    Args:
        modes: (vertices, n_modes), rows of sum of squares 1.
        mode_share: share of the variance that lies in the modes.
        rho, mode_rho: correlation from one sample to the next of the white part and of the modes.
    """
    white = rng.standard_normal((len(modes), length), dtype=np.float32)
    courses = rng.standard_normal((modes.shape[1], length), dtype=np.float32)
    if rho:
        white = autoregressive(white, rho)
    if mode_rho:
        courses = autoregressive(courses, mode_rho)
    white *= np.float32(np.sqrt(1 - mode_share))
    white += modes @ (courses * np.float32(np.sqrt(mode_share)))
    return white


def drift(rng: np.random.Generator, modes: np.ndarray, length: int) -> np.ndarray:
    """Slow drift of variance 1 per vertex: polynomials of order 1 to 3 over the run, in smooth patterns."""
    polynomials = np.polynomial.legendre.legvander(np.linspace(-1, 1, length), 3)[:, 1:]
    polynomials = (polynomials / polynomials.std(axis=0)).astype(np.float32)
    weights = rng.standard_normal((modes.shape[1], 3)).astype(np.float32) / np.float32(np.sqrt(3))
    return modes @ (weights @ polynomials.T)


def noise_ceiling(betas: np.ndarray, *, chunk: int = 32) -> np.ndarray:
    """Noise-ceiling signal-to-noise ratio per vertex, from repeats: float64 (vertices,).

    Noise variance is the variance over repeats averaged over stimuli; signal variance what is left of the
    variance of all trials (Allen et al. 2022). NaN where a vertex is NaN or infinite.

    Args:
        betas: (stimuli, repeats, vertices); read ``chunk`` stimuli at a time.
    """
    stimuli, repeats, vertices = betas.shape
    within, total, squares = np.zeros(vertices), np.zeros(vertices), np.zeros(vertices)
    count = stimuli * repeats
    with np.errstate(invalid="ignore", divide="ignore"):  # vertices that are NaN or infinite
        for start in range(0, stimuli, chunk):
            block = betas[start : start + chunk]
            within += block.var(axis=1, ddof=1).sum(axis=0)
            total += block.sum(axis=(0, 1))
            squares += np.einsum("srv,srv->v", block, block)
        noise_variance = within / stimuli
        variance = (squares - total**2 / count) / (count - 1)
        signal = np.maximum(variance - noise_variance, 0)
        return np.sqrt(signal / noise_variance)
