"""Haemodynamics and noise against closed forms and brute force."""

import numpy as np
import pytest
from scipy.stats import gamma

from brainflix.phantom import signals


def test_response_to_a_moment_is_the_canonical_double_gamma():
    times = np.arange(0.0, 32.0, 0.5)
    found = signals.response_matrix(times, np.array([0.0]), 1e-3)[:, 0] / 1e-3
    canonical = gamma.pdf(times, 6) - gamma.pdf(times, 16) / 6
    assert found == pytest.approx(canonical / (5 / 6), abs=2e-3)
    assert times[found.argmax()] == 5.0


def test_responses_add_up():
    times = np.linspace(0, 40, 21)
    whole = signals.response_matrix(times, np.array([2.0]), 4.0).sum(axis=1)
    halves = signals.response_matrix(times, np.array([2.0, 4.0]), np.array([2.0, 2.0])).sum(axis=1)
    assert whole == pytest.approx(halves, abs=1e-5)
    assert signals.step_response(np.array([-1.0, 0.0, 1000.0])) == pytest.approx([0, 0, 1])


@pytest.mark.parametrize("rho", [0.3, 0.8])
def test_autoregressive_noise_is_stationary_and_correlates_as_told(rho):
    white = np.random.default_rng(0).standard_normal((20_000, 12), dtype=np.float32)
    values = signals.autoregressive(white, rho)
    assert values.dtype == np.float32
    assert values.var(axis=0) == pytest.approx(1, abs=0.05)
    assert np.corrcoef(values[:, 4], values[:, 5])[0, 1] == pytest.approx(rho, abs=0.02)
    assert np.corrcoef(values[:, 4], values[:, 7])[0, 1] == pytest.approx(rho**3, abs=0.03)


def test_noise_has_variance_one_and_the_modes_share_of_covariance():
    rng = np.random.default_rng(0)
    modes = np.linalg.qr(rng.standard_normal((6, 3)))[0].astype(np.float32)
    modes /= np.linalg.norm(modes, axis=1, keepdims=True)
    values = signals.noise(rng, modes, 40_000, mode_share=0.4, rho=0.2, mode_rho=0.5)
    expected = 0.4 * modes @ modes.T + 0.6 * np.eye(6)
    assert np.cov(values) == pytest.approx(expected, abs=0.04)


def test_drift_is_slow_and_has_variance_one_on_average():
    rng = np.random.default_rng(0)
    modes = np.ones((1, 1), np.float32)
    runs = np.concatenate([signals.drift(rng, modes, 200) for _ in range(400)])
    assert runs.shape == (400, 200)
    assert runs.var(axis=1).mean() == pytest.approx(1, abs=0.15)
    cubic = np.polynomial.polynomial.polyfit(np.arange(200), runs.T, 3)
    assert np.polynomial.polynomial.polyval(np.arange(200), cubic) == pytest.approx(runs, abs=1e-3)


def test_noise_ceiling_is_that_of_the_definition_and_finds_the_true_ratio():
    rng = np.random.default_rng(0)
    true = np.array([0.2, 0.5, 1.0])
    betas = true * rng.standard_normal((3000, 1, 3)) + rng.standard_normal((3000, 3, 3))
    found = signals.noise_ceiling(betas, chunk=7)
    within = betas.var(axis=1, ddof=1).mean(axis=0)
    total = betas.reshape(-1, 3).var(axis=0, ddof=1)
    assert found == pytest.approx(np.sqrt((total - within) / within))
    assert found == pytest.approx(true, abs=0.05)


def test_noise_ceiling_of_a_dead_vertex_is_nan():
    betas = np.random.default_rng(0).standard_normal((10, 3, 2))
    betas[:, :, 1] = np.nan
    assert np.isnan(signals.noise_ceiling(betas)).tolist() == [False, True]
