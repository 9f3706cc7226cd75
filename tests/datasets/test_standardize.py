"""z-scores against numpy and scipy on data held whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal, stats

from brainflix.datasets.standardize import RunningStatistics, detrend, z_score


def test_z_score_is_scipys():
    series = np.random.default_rng(0).normal(1000, 3, (5, 40)).astype(np.float32)
    assert np.allclose(z_score(series, ddof=1), stats.zscore(series.astype(float), axis=1, ddof=1))


@pytest.mark.parametrize("level", [0, 7.3, 1e5])
def test_a_constant_series_has_no_z_score(level):
    assert np.isnan(z_score(np.full((2, 9), level, np.float32), ddof=0)).all()


def test_detrending_by_a_line_is_scipys():
    series = np.random.default_rng(1).random((3, 50)) + np.arange(50)
    assert np.allclose(detrend(series, order=1), signal.detrend(series, axis=1))


def test_detrending_removes_exactly_polynomials_of_that_order():
    time = np.arange(60.0)
    kept = detrend(time[None] ** 5, order=4)
    assert np.allclose(detrend((3 + time - time**4)[None] / 1e6, order=4), 0, atol=1e-8)
    assert np.abs(kept).max() > 1
    assert np.allclose(np.polynomial.polynomial.polyfit(time / 60, kept[0], 4), 0, atol=1e-3)


@given(cuts=st.lists(st.integers(0, 30), max_size=5), level=st.floats(-1e4, 1e4), seed=st.integers(0, 99))
def test_running_statistics_do_not_depend_on_how_the_rows_are_cut(cuts, level, seed):
    values = np.random.default_rng(seed).normal(level, 2, (30, 4))
    running = RunningStatistics(4)
    for part in np.split(values, sorted(cuts)):
        running.add(part)
    assert np.allclose(running.z_score(values), stats.zscore(values, axis=0, ddof=1), atol=1e-6)


def test_running_statistics_skip_what_is_not_finite():
    values = np.random.default_rng(2).normal(5, 2, (20, 3))
    values[3, 0], values[7, 0], values[:, 2] = np.nan, np.inf, 4.0
    running = RunningStatistics(3)
    running.add(values[:11])
    running.add(values[11:])
    known = values[np.isfinite(values[:, 0]), 0]
    assert running.mean[0] == pytest.approx(known.mean())
    scaled = running.z_score(values)
    assert scaled[0, 0] == pytest.approx((values[0, 0] - known.mean()) / known.std(ddof=1))
    assert np.isnan(scaled[:, 2]).all()
