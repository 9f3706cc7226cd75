"""Single-trial estimates against numpy and scikit-learn on the design written out, and against known responses."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from brainflix.errors import InputError
from brainflix.models import glm, glmsingle
from brainflix.models.glm import Run
from brainflix.models.glm_settings import GlmSettings
from brainflix.phantom.signals import response_matrix

SETTINGS = GlmSettings(
    estimator="lss",
    ridge_penalty=0.1,
    hrf="canonical",
    high_pass=0.008,
    slice_time=0.0,
    onset_shift_seconds=0.0,
    confounds=(),
    motion="basic",
)
VOLUMES, SECONDS = 120, 2.0
SPM = glm.canonical()


def a_run(seed=0, *, trials=20, others=0, confounds=0):
    rng = np.random.default_rng(seed)
    onsets = np.sort(rng.choice(np.arange(2, 210, 4), trials + others, replace=False)) + rng.uniform(0, 1)
    is_other = rng.permutation(np.arange(len(onsets)) < others)
    return Run(
        times=SECONDS * np.arange(VOLUMES),
        names=[str(i) for i in range(trials)],
        onsets=onsets[~is_other],
        durations=np.full(trials, 2.0),
        other_onsets=onsets[is_other],
        other_durations=np.full(others, 2.0),
        confounds=rng.normal(size=(VOLUMES, confounds)),
        high_pass=0.008,
        kept=np.arange(VOLUMES),
    )


def estimate(run, series, estimator="lss", penalty=0.1, hrfs=SPM, chosen=None):
    settings = replace(SETTINGS, estimator=estimator, ridge_penalty=penalty)
    chosen = np.zeros(series.shape[1], int) if chosen is None else chosen
    return glm.single_trials(run, series, hrfs, chosen, settings=settings)


def test_regressors_are_spms_response_to_a_block():
    run = a_run()
    expected = response_matrix(run.times, run.onsets, run.durations[0])
    assert np.abs(glm.trials(run, SPM["spm x 1"]) - expected).max() < 0.04 * expected.max()


def test_the_library_peaks_from_three_to_seven_seconds():
    peaks = {name: hrf(2.0, 25).argmax() * 2.0 / 25 for name, hrf in glm.library().items()}
    assert min(peaks.values()) == pytest.approx(3.0, abs=0.1) and max(peaks.values()) == pytest.approx(7.0, abs=0.1)
    assert peaks["spm x 1"] == pytest.approx(5.0, abs=0.1)


def test_least_squares_separate_is_one_regression_per_trial():
    run, series = a_run(others=4, confounds=3), np.random.default_rng(1).normal(size=(VOLUMES, 5))
    design, nuisance = glm.trials(run, SPM["spm x 1"]), glm.nuisance(run)
    found = estimate(run, series)
    for trial in (0, 7, 19):
        others = np.delete(design, trial, axis=1).sum(axis=1)
        full = np.column_stack([design[:, trial], others, nuisance])
        expected = np.linalg.lstsq(full, series, rcond=None)[0][0]
        assert found[trial] == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_ridge_is_scikit_learns():
    run, series = a_run(others=4, confounds=3), np.random.default_rng(1).normal(size=(VOLUMES, 5))
    removed = glm.nuisance(run)
    design = glm.without(glm.trials(run, SPM["spm x 1"]), removed)
    expected = Ridge(alpha=0.3, fit_intercept=False).fit(design, glm.without(series, removed)).coef_.T
    assert estimate(run, series, "ridge", 0.3) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_known_responses_come_back_through_drift_motion_and_oddballs():
    run, rng = a_run(others=5, confounds=2), np.random.default_rng(2)
    betas = rng.normal(size=(20, 30))
    series = glm.trials(run, SPM["spm x 1"]) @ betas
    series += 3 * glm.other_events(run, SPM["spm x 1"]) + run.confounds @ rng.normal(size=(2, 30))
    series += 5 * np.cos(np.pi * (np.arange(VOLUMES) + 0.5) / VOLUMES)[:, None] + 7
    assert estimate(run, series, "ridge", 1e-9) == pytest.approx(betas, abs=1e-3)
    blind = replace(run, other_onsets=run.other_onsets[:0], other_durations=run.other_durations[:0])
    assert np.abs(estimate(blind, series, "ridge", 1e-9) - betas).max() > 0.5


def test_volumes_that_do_not_count_change_nothing():
    run, betas = a_run(), np.random.default_rng(3).normal(size=(20, 4))
    series = glm.trials(run, SPM["spm x 1"]) @ betas
    kept = np.delete(np.arange(VOLUMES), [0, 1, 40])
    assert estimate(replace(run, kept=kept), series[kept], "ridge", 1e-9) == pytest.approx(betas, abs=1e-3)


@pytest.mark.parametrize("name", ["spm x 0.7", "spm x 1", "spm x 1.3", "glover x 1.1"])
def test_the_response_that_made_a_series_is_chosen(name):
    hrfs, rng = glm.library(), np.random.default_rng(4)
    runs = [a_run(seed) for seed in (0, 1)]
    series = [glm.trials(run, hrfs[name]) @ rng.normal(1, 0.5, (20, 6)) for run in runs]
    series = [values + 0.01 * rng.normal(size=values.shape) for values in series]
    chosen = glm.choose(runs, series, hrfs)
    assert (chosen == list(hrfs).index(name)).all()


def test_noise_does_not_favour_slow_responses():
    """Autocorrelated noise alone: no response is chosen for more than a third, nor the slow half for most."""
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(VOLUMES, 400))
    for t in range(1, VOLUMES):
        noise[t] += 0.6 * noise[t - 1]
    counts = np.bincount(glm.choose([a_run()], [noise], glm.library()), minlength=18)
    slow = [i for i, name in enumerate(glm.library()) if float(name.split()[-1]) > 1.0]
    assert counts.max() < 400 / 3 and counts[slow].sum() < 0.65 * 400


def test_repeats_of_a_stimulus_share_their_response_when_one_is_chosen():
    run = replace(a_run(), names=["a", "b"] * 10)
    assert glm._shared(run, np.ones((3, 20))).tolist() == [[10, 10]] * 3


def test_unusable_vertices_and_unseen_trials_are_nan():
    run, series = a_run(), np.random.default_rng(6).normal(size=(VOLUMES, 4))
    series[:, 0], series[5, 1] = 3.0, np.nan
    found = estimate(run, series)
    assert np.isnan(found[:, :2]).all() and np.isfinite(found[:, 2:]).all()
    late = replace(run, onsets=np.append(run.onsets[:-1], run.times[-1]))
    found = estimate(late, series[:, 2:])
    assert np.isnan(found[-1]).all() and np.isfinite(found[:-1]).all()


def test_glmsingle_is_asked_for_by_name_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "glmsingle", None)
    with pytest.raises(InputError, match="estimator glmsingle: expected that package installed"):
        glmsingle.single_trials([a_run()], [np.ones((VOLUMES, 2))])


def test_glmsingle_finds_the_responses_that_were_put_in():
    pytest.importorskip("glmsingle", reason="GLMsingle is not on PyPI; install it from GitHub to run this")
    rng, names = np.random.default_rng(7), [str(i % 10) for i in range(20)]
    amplitude, series = rng.normal(2, 1, (10, 40)), []
    runs = [replace(a_run(seed), names=names) for seed in (0, 1)]
    for run in runs:
        signal = glm.trials(run, SPM["spm x 1"]) @ np.tile(amplitude, (2, 1))
        series.append(signal + 0.2 * rng.normal(size=signal.shape))
    series[0][:, 3] = np.nan
    found = glmsingle.single_trials(runs, series)
    assert [f.shape for f in found] == [(20, 40)] * 2
    usable = np.arange(40) != 3
    assert np.isnan(found[0][:, 3]).all()
    true, found = np.tile(amplitude, (4, 1)), np.concatenate(found)
    r = [np.corrcoef(found[:, vertex], true[:, vertex])[0, 1] for vertex in np.flatnonzero(usable)]
    assert np.mean(r) > 0.8
