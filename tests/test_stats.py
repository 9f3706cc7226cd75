"""Intervals against scipy and by coverage; pairings, subsets and ceilings against their definitions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from brainflix import stats


def test_bootstrap_agrees_with_scipys_bca():
    values = np.random.default_rng(0).gamma(1.0, size=40)
    low, high = stats.bootstrap(values, seed=1, resamples=20_000, level=0.95)
    options = {"n_resamples": 20_000, "method": "BCa", "rng": np.random.default_rng(5)}
    reference = scipy_stats.bootstrap((values,), np.mean, **options)
    np.testing.assert_allclose([low, high], reference.confidence_interval, atol=0.02)


def test_bootstrap_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    inside = 0
    for trial in range(300):
        low, high = stats.bootstrap(rng.gamma(2.0, size=30), seed=trial, resamples=500, level=0.95)
        inside += low <= 2.0 <= high
    assert 0.88 < inside / 300 <= 0.99


def test_bootstrap_is_the_same_for_the_same_seed_only():
    values = np.arange(10.0)
    same = [stats.bootstrap(values, seed=s, resamples=200, level=0.9) for s in (3, 3, 4)]
    assert same[0] == same[1] != same[2]


def test_clusters_widen_the_interval_when_clips_of_one_shot_agree():
    shots = np.repeat(np.random.default_rng(0).normal(size=12), 10)
    groups = np.repeat(np.arange(12).astype(str), 10)
    options = {"seed": 0, "resamples": 2000, "level": 0.95}
    alone = np.ptp(stats.bootstrap(shots, **options))
    together = np.ptp(stats.bootstrap(shots, groups=groups, **options))
    assert together > 2.5 * alone


def test_one_clip_per_cluster_is_the_plain_bootstrap():
    values = np.random.default_rng(0).normal(size=15)
    options = {"seed": 0, "resamples": 500, "level": 0.95}
    names = [f"{i:02d}" for i in range(15)]
    plain = stats.bootstrap(values, **options)
    np.testing.assert_allclose(stats.bootstrap(values, groups=names, **options), plain)


def test_values_without_spread_give_a_point():
    assert stats.bootstrap(np.full(9, 0.25), seed=0, resamples=100, level=0.95) == (0.25, 0.25)


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=30))
def test_an_interval_contains_its_value(values):
    low, high = stats.bootstrap(np.array(values), seed=0, resamples=200, level=0.95)
    assert low - 1e-12 <= np.mean(np.array(values)) <= high + 1e-12


@pytest.mark.parametrize("successes, n", [(0, 12), (3, 12), (12, 12), (40, 102)])
def test_wilson_agrees_with_scipy(successes, n):
    reference = scipy_stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(stats.wilson(successes / n, n, level=0.95), reference, atol=1e-12)


@given(st.integers(2, 40), st.integers(0, 3))
def test_no_clip_keeps_its_partner_in_a_derangement(n, seed):
    pairings = stats.derangements(n, count=5, seed=seed)
    assert np.all(np.sort(pairings, axis=1) == np.arange(n))
    assert not np.any(pairings == np.arange(n))
    np.testing.assert_array_equal(pairings, stats.derangements(n, count=5, seed=seed))


def test_one_clip_cannot_be_shuffled():
    with pytest.raises(ValueError, match="two clips"):
        stats.derangements(1, count=1, seed=0)


def test_shuffled_mean_averages_the_partners_scores():
    pairwise, partners = np.arange(9.0).reshape(3, 3), np.array([[1, 2, 0], [2, 0, 1]])
    np.testing.assert_array_equal(stats.shuffled_mean(pairwise, partners), [1.5, 4, 6.5])


@pytest.fixture
def stimuli():
    names = [f"{i:04d}" for i in reversed(range(30))]
    return pd.DataFrame({"stimulus": names, "split": ["test" if i % 3 else "train" for i in range(30)]})


def test_the_evaluated_clips_are_a_sorted_seeded_subset_of_the_test_clips(stimuli):
    test = set(stimuli.stimulus[stimuli.split == "test"])
    chosen = stats.evaluated(stimuli, count=7, seed=1)
    assert chosen == sorted(chosen) and len(set(chosen)) == 7 and set(chosen) <= test
    assert chosen == stats.evaluated(stimuli.sample(frac=1, random_state=0), count=7, seed=1)
    assert chosen != stats.evaluated(stimuli, count=7, seed=2)


@pytest.mark.parametrize("count", [0, None])
def test_no_count_means_all_test_clips(stimuli, count):
    assert stats.evaluated(stimuli, count=count, seed=0) == sorted(stimuli.stimulus[stimuli.split == "test"])


def test_more_clips_than_exist_are_refused(stimuli):
    with pytest.raises(ValueError, match="21 test clips wanted, 20 exist"):
        stats.evaluated(stimuli, count=21, seed=0)


def test_noise_ceiling_is_the_explainable_share_of_a_mean_of_repeats():
    rng = np.random.default_rng(0)
    signal = rng.normal(0, 0.7, 200_000)
    mean = signal + rng.normal(size=(4, 200_000)).mean(axis=0)
    explained = 100 * np.corrcoef(signal, mean)[0, 1] ** 2
    assert stats.noise_ceiling(np.array([0.7]), repeats=4) == pytest.approx(explained, abs=0.5)
