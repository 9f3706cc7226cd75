"""Reliability against the definitions written out plainly, and against simulated repeats of known ratio."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainflix import reliability
from brainflix.reliability import Presentations


def presented(betas, *, offset=0.0, blocks=1):
    """Presentations of betas (stimuli, repeats, vertices), repeat after repeat, in blocks."""
    stimuli, repeats, vertices = betas.shape
    out = Presentations(stimuli, vertices)
    rows = betas.transpose(1, 0, 2).reshape(-1, vertices) + offset
    names = np.tile(np.arange(stimuli), repeats)
    for part in np.array_split(np.arange(len(rows)), blocks):
        out.add(names[part], rows[part].astype(np.float32))
    return out


def plain_ncsnr(betas):
    """Allen et al. 2022: noise variance by stimulus, averaged; signal is the rest of the variance of all trials."""
    noise = betas.var(axis=1, ddof=1).mean(axis=0)
    signal = betas.reshape(-1, betas.shape[2]).var(axis=0, ddof=1) - noise
    return np.sqrt(np.maximum(signal, 0) / noise)


@pytest.fixture
def betas():
    rng = np.random.default_rng(0)
    return rng.normal(size=(30, 1, 50)) * np.linspace(0, 2, 50) + rng.normal(size=(30, 4, 50))


@given(st.integers(2, 12), st.integers(2, 5), st.integers(1, 6), st.integers(0, 99))
def test_ncsnr_is_the_plain_definition_however_the_rows_come(stimuli, repeats, blocks, seed):
    rng = np.random.default_rng(seed)
    betas = rng.normal(size=(stimuli, 1, 7)) + rng.normal(size=(stimuli, repeats, 7))
    found = presented(betas, offset=0.5, blocks=blocks).ncsnr()
    assert np.square(found) == pytest.approx(np.square(plain_ncsnr(betas)), rel=1e-3, abs=1e-4)


def test_a_large_offset_loses_nothing(betas):
    plain = plain_ncsnr(betas)
    assert presented(100 * betas, offset=10_000.0).ncsnr() == pytest.approx(plain, rel=0.01, abs=0.02)


def test_ncsnr_recovers_the_ratio_that_was_simulated():
    rng, ratio = np.random.default_rng(1), np.repeat([0.2, 0.5, 1.0], 200)
    betas = ratio * rng.normal(size=(300, 1, 600)) + rng.normal(size=(300, 5, 600))
    found = np.square(presented(betas).ncsnr()).reshape(3, 200).mean(axis=1)  # variances are unbiased
    assert np.sqrt(found) == pytest.approx([0.2, 0.5, 1.0], rel=0.03)


def test_split_half_correlates_odd_with_even_presentations(betas):
    found = presented(betas).split_half()
    for vertex in (0, 20, 49):
        odd, even = betas[:, ::2, vertex].mean(axis=1), betas[:, 1::2, vertex].mean(axis=1)
        assert found[vertex] == pytest.approx(np.corrcoef(odd, even)[0, 1], abs=1e-5)


def test_means_are_means_also_where_repeats_differ(betas):
    out = Presentations(2, 50)
    out.add(np.array([0, 1, 1]), np.array([betas[0, 0], betas[1, 0], betas[1, 1]], np.float32))
    expected = [betas[0, 0], betas[1, :2].mean(axis=0)]
    assert out.means() == pytest.approx(np.array(expected), abs=1e-5)
    assert out.counts.tolist() == [[1, 0], [1, 1]]


def test_dead_vertices_are_nan_and_spoil_no_other(betas):
    clean = presented(betas).ncsnr()
    betas[:, :, 0], betas[3, 1, 1], betas[:, :, 2] = np.nan, np.inf, 7.0
    found = presented(betas)
    for values in (found.ncsnr(), found.split_half()):
        assert np.isnan(values[:3]).all() and np.isfinite(values[3:]).all()
    assert found.ncsnr()[3:] == pytest.approx(clean[3:])


def test_intersubject_leaves_the_subject_out_and_ignores_scale():
    rng = np.random.default_rng(2)
    own, a, b = rng.normal(size=(3, 40, 5))
    found = reliability.intersubject(own, [1000 * a + 7, b])
    z = [(x - x.mean(axis=0)) / x.std(axis=0) for x in (a, b)]
    for vertex in range(5):
        assert found[vertex] == pytest.approx(np.corrcoef(own[:, vertex], (z[0] + z[1])[:, vertex])[0, 1])
