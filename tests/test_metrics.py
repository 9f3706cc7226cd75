"""Metrics against independent truth: skimage, enumeration, and the peers' own sampling procedure."""

import itertools
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from brainflix import metrics


def clips(seed, *, frames=2, rows=33, columns=40):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 256, (frames, rows, columns, 3), dtype=np.uint8)
    noise = rng.normal(0, 40, true.shape)
    return np.clip(true + noise, 0, 255).astype(np.uint8), true


def skimage_ssim(predicted, true):
    options = {"data_range": 255, "channel_axis": -1}
    return np.mean([structural_similarity(p, t, **options) for p, t in zip(predicted, true, strict=True)])


@pytest.mark.parametrize("seed", range(3))
def test_ssim_equals_skimage_per_frame(seed):
    predicted, true = clips(seed)
    assert metrics.ssim(predicted, true) == pytest.approx(skimage_ssim(predicted, true), abs=1e-12)


def test_ssim_equals_skimage_on_flat_and_saturated_frames():
    for a, b in itertools.product((0, 3, 128, 255), repeat=2):
        x, y = (np.full((1, 9, 9, 3), value, np.uint8) for value in (a, b))
        y[0, 4, 4] ^= 1
        assert metrics.ssim(x, y) == pytest.approx(skimage_ssim(x, y), abs=1e-12)


def test_ssim_of_a_clip_with_itself_is_one():
    _, true = clips(0)
    assert metrics.ssim(true, true) == pytest.approx(1, abs=1e-9)


def test_ssim_refuses_other_shapes_types_and_tiny_frames(unchecked_shapes):
    _, true = clips(0)
    for bad in (true[:1], true.astype(np.float32)):
        with pytest.raises(ValueError, match="expected two uint8 clips"):
            metrics.ssim(bad, true)
    with pytest.raises(ValueError, match="smaller than the window"):
        metrics.ssim(true[:, :5], true[:, :5])


def enumerated(higher, *, classes, truths, ways, top):
    """Success over every possible draw of distractors: the definition itself."""
    outranks = [True] * higher + [False] * (classes - truths - higher)
    draws = list(itertools.combinations(outranks, ways - 1))
    return sum(sum(draw) < top for draw in draws) / len(draws)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_n_way_closed_form_equals_enumeration(data):
    classes = data.draw(st.integers(5, 11))
    truths = data.draw(st.integers(1, 3))
    ways = data.draw(st.integers(2, classes - truths + 1))
    top = data.draw(st.integers(1, ways))
    higher = np.arange(classes - truths + 1)
    found = metrics.n_way_success(higher, classes=classes, truths=truths, ways=ways, top=top)
    expected = [enumerated(a, classes=classes, truths=truths, ways=ways, top=top) for a in higher]
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_n_way_at_full_size_equals_exact_integers():
    found = metrics.n_way_success(np.array([0, 10, 100, 997]), classes=1000, truths=3, ways=50)
    exact = [comb(997 - a, 49) / comb(997, 49) for a in (0, 10, 100, 997)]
    np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-300)


def test_n_way_refuses_more_ways_than_classes():
    with pytest.raises(ValueError, match="distractors among 10 classes"):
        metrics.n_way_success(np.array([0]), classes=10, truths=3, ways=9)


def peers_n_way(predicted, true, *, ways, trials, truths, rng):
    """The peers' procedure for one image: draw distractors, look for any ground-truth class on top."""
    classes = np.argsort(true)[-truths:]
    others = [c for c in range(len(predicted)) if c not in classes]
    wins = 0
    for _ in range(trials):
        drawn = rng.choice(others, ways - 1, replace=False)
        wins += any(np.argmax([*predicted[drawn], predicted[c]]) == ways - 1 for c in classes)
    return wins / trials


@pytest.mark.parametrize("rule, truths", [("top1", 1), ("any3", 3)])
@pytest.mark.parametrize("ways", [2, 10])
def test_n_way_is_the_expectation_of_the_peers_sampling(rule, truths, ways):
    rng = np.random.default_rng(7)
    true = rng.normal(size=(4, 3, 60))
    predicted = true + rng.normal(scale=1.5, size=true.shape)
    exact = metrics.n_way(predicted, true, np.arange(4)[None], ways=ways, rule=rule)[0]
    trials, options = 1000, {"ways": ways, "truths": truths, "rng": rng}
    sampled = [
        np.mean([peers_n_way(predicted[i, f], true[i, f], trials=trials, **options) for f in range(3)])
        for i in range(4)
    ]
    np.testing.assert_allclose(exact, sampled, atol=4 * 0.5 / np.sqrt(3 * trials))


@pytest.mark.parametrize(
    "rule, ways, chance", [("top1", 2, 1 / 2), ("top1", 50, 1 / 50), ("any3", 2, 3 / 4), ("any3", 50, 3 / 52)]
)
def test_n_way_of_unrelated_scores_is_at_the_known_chance(rule, ways, chance):
    rng = np.random.default_rng(0)
    predicted, true = rng.normal(size=(2, 400, 2, 200))
    found = metrics.n_way(predicted, true, np.arange(400)[None], ways=ways, rule=rule)
    standard_error = found.std() / np.sqrt(found.size)
    assert abs(found.mean() - chance) < 4 * standard_error


def test_n_way_pairs_predictions_with_the_partner_asked_for():
    scores = np.eye(4)[:, None]
    partners = np.array([[0, 1, 2, 3], [1, 0, 3, 2]])
    found = metrics.n_way(scores, scores, partners, ways=4, rule="top1")
    np.testing.assert_array_equal(found[0], 1)
    # The partner's class ties with the two other losers and only the own class outranks it; all 3 are drawn.
    np.testing.assert_allclose(found[1], 0, atol=1e-12)


def test_outranking_counts_strictly_higher_classes_only():
    scores = np.array([[0.1, 0.3, 0.3, 0.2]])
    np.testing.assert_array_equal(metrics.outranking(scores), [[3, 0, 0, 2]])


@pytest.fixture
def targets():
    rng = np.random.default_rng(3)
    true = rng.normal(1.0, 1.0, (6, 2, 5, 7)).astype(np.float32)
    predicted = (0.5 * true + rng.normal(size=true.shape)).astype(np.float32)
    return predicted, true, rng.normal(size=true.shape[1:])


def test_pairwise_scores_equal_scoring_pair_by_pair(targets, monkeypatch):
    monkeypatch.setattr(metrics, "_FEATURES_AT_ONCE", 16)
    predicted, true, centre = targets
    squared, cosine = metrics.pairwise_distances(predicted, true, centre=centre)
    correlations = metrics.pairwise_correlation(predicted, true)
    for i, j in itertools.product(range(6), repeat=2):
        p, t = predicted[i].astype(float).ravel(), true[j].astype(float).ravel()
        assert squared[i, j] == pytest.approx(np.mean((p - t) ** 2))
        assert correlations[i, j] == pytest.approx(np.corrcoef(p, t)[0, 1])
        p, t = p - centre.ravel(), t - centre.ravel()
        assert cosine[i, j] == pytest.approx(p @ t / np.linalg.norm(p) / np.linalg.norm(t))


def test_scores_of_own_pairs_equal_the_diagonal(targets):
    predicted, true, centre = targets
    squared, _ = metrics.pairwise_distances(predicted, true, centre=centre)
    np.testing.assert_allclose(metrics.mean_squared_error(predicted, true), np.diag(squared))
    np.testing.assert_allclose(
        metrics.correlation(predicted, true), np.diag(metrics.pairwise_correlation(predicted, true))
    )


def test_the_truth_itself_has_no_error_and_is_always_retrieved(targets):
    _, true, centre = targets
    _, cosine = metrics.pairwise_distances(true, true, centre=centre)
    assert np.all(metrics.mean_squared_error(true, true) == 0)
    assert np.all(metrics.retrieval(cosine, np.arange(6), top=1) == 1)
    assert np.all(metrics.retrieval_rank(cosine, np.arange(6)) == 1)


def test_predicting_the_centre_retrieves_at_exactly_chance(targets):
    _, true, centre = targets
    constant = np.broadcast_to(centre.astype(np.float32), true.shape)
    _, cosine = metrics.pairwise_distances(constant, true, centre=centre)
    np.testing.assert_allclose(metrics.retrieval(cosine, np.arange(6), top=1), 1 / 6)
    np.testing.assert_allclose(metrics.retrieval(cosine, np.arange(6), top=5), 5 / 6)
    np.testing.assert_allclose(metrics.retrieval_rank(cosine, np.arange(6)), 3.5)


def test_retrieval_counts_ties_by_their_expectation():
    similarity = np.array([[0.9, 0.5, 0.5, 0.1]])
    truth = np.array([1])
    found = [metrics.retrieval(similarity, truth, top=k)[0] for k in (1, 2, 3)]
    np.testing.assert_allclose(found, [0, 0.5, 1])
    assert metrics.retrieval_rank(similarity, truth)[0] == 2.5


def test_a_constant_prediction_correlates_with_nothing():
    found = metrics.correlation(np.ones((1, 4)), np.arange(4.0)[None])
    assert found[0] == 0
