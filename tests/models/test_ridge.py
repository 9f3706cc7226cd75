"""Ridge against scikit-learn and plain refitting: fits, cross-validation over stimuli, choice of penalties."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge as Reference
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, GroupKFold

from brainflix.errors import InputError
from brainflix.models.left_out import stimulus_folds
from brainflix.models.ridge import Ridge, RidgeSettings, fit_ridge

PENALTIES = (0.1, 3.0, 100.0, 3000.0)
SELECTIONS = ("shared", "per_target")


def study(features: int, *, stimuli: int = 24, repeats: int = 3, targets: int = 17, noise: float = 1.0):
    """Trials of stimuli whose features carry their target, plus noise."""
    rng = np.random.default_rng([features, stimuli])
    y = rng.standard_normal((stimuli, targets)).astype(np.float32) + 5
    y += 2 * rng.standard_normal((stimuli, targets)).astype(np.float32) * np.linspace(0, 1, targets, dtype=np.float32)
    stimulus = rng.permutation(np.repeat(np.arange(stimuli), repeats))
    if repeats > 1:
        stimulus = stimulus[:-2]  # unequal repeats
    x = y[stimulus] @ rng.standard_normal((targets, features))
    x = x + 3 * noise * rng.standard_normal(x.shape)
    return x.astype(np.float32) * rng.uniform(0.1, 9, features).astype(np.float32), y, stimulus


def chosen(penalties=PENALTIES, *, selection="shared", folds=4, components=None, match_variance=False):
    return RidgeSettings(tuple(penalties), selection, folds, "single", components, match_variance)


def fold_of(y, folds):
    return stimulus_folds(["a"] * len(y), [f"{i:03}" for i in range(len(y))], folds)


def fitted(features: int, penalties=PENALTIES, **options):
    x, y, stimulus = study(features)
    how = chosen(penalties, **options)
    fold = fold_of(y, how.folds)
    return x, y, stimulus, fold, fit_ridge(x, y, stimulus, fold, how)


def standardised(x, like=None):
    like = x if like is None else like
    scale = like.std(0, dtype=float)
    return (x.astype(float) - like.mean(0, dtype=float)) / np.where(scale == 0, 1, scale)


def left_out(x, y, stimulus, fold, penalty):
    """Predictions (n, t) of refitting without each fold, the plain way."""
    z, predicted = standardised(x), np.empty((len(x), y.shape[1]))
    for f in np.unique(fold):
        test = fold[stimulus] == f
        assert not set(stimulus[test]) & set(stimulus[~test])
        reference = Reference(alpha=penalty, solver="svd").fit(z[~test], y[stimulus[~test]].astype(float))
        predicted[test] = reference.predict(z[test]).reshape(-1, y.shape[1])
    return predicted


def left_out_squares(x, y, stimulus, fold, penalties=PENALTIES):
    """Sums of squared errors (penalties, t)."""
    errors = [left_out(x, y, stimulus, fold, p) - y[stimulus] for p in penalties]
    return np.square(errors).sum(axis=1)


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("features", [10, 200])  # fewer and more than the 70 trials
def test_predictions_equal_sklearn_on_standardised_features(features, selection):
    x, y, stimulus, _, ridge = fitted(features, penalties=(30.0,), selection=selection)
    reference = Reference(alpha=30.0, solver="svd").fit(standardised(x), y[stimulus].astype(float))
    new = study(features, stimuli=9)[0]
    expected = reference.predict(standardised(new, like=x))
    np.testing.assert_allclose(ridge.predict(new), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert ridge.errors == ()  # nothing to choose


@pytest.mark.parametrize("folds", [4, None])
@pytest.mark.parametrize("features", [4, 10, 200])  # below a fold's 17 trials, between, above all
def test_cross_validated_errors_equal_refitting_without_each_fold(features, folds):
    x, y, stimulus, fold, ridge = fitted(features, folds=folds)
    expected = left_out_squares(x, y, stimulus, fold).sum(axis=1) / (len(x) * y.shape[1])
    np.testing.assert_allclose(ridge.errors, expected, rtol=1e-6)
    assert ridge.penalty == PENALTIES[int(np.argmin(expected))]


@pytest.mark.parametrize("folds", [4, None])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_errors_hold_where_the_fit_is_nearly_perfect(selection, folds):
    tiny = (1e-7, 1e-3)
    x, y, stimulus, fold, ridge = fitted(200, tiny, selection=selection, folds=folds)
    assert np.abs(ridge.predict(x) - y[stimulus]).max() < 1e-3
    expected = left_out_squares(x, y, stimulus, fold, tiny).sum(axis=1) / (len(x) * y.shape[1])
    np.testing.assert_allclose(ridge.errors, expected, rtol=1e-4)


@pytest.mark.parametrize("folds", [4, None])
@pytest.mark.parametrize("features", [4, 10, 200])
def test_each_target_gets_the_penalty_with_its_own_least_error(features, folds):
    x, y, stimulus, fold, ridge = fitted(features, folds=folds, selection="per_target")
    squares = left_out_squares(x, y, stimulus, fold)
    best = np.array(PENALTIES)[np.argmin(squares, axis=0)]
    assert len(set(best)) > 1
    np.testing.assert_array_equal(ridge.penalty, best)
    np.testing.assert_allclose(ridge.errors, squares.sum(axis=1) / squares.size * 4 / len(x), rtol=1e-6)
    reference = Reference(alpha=best, solver="svd").fit(standardised(x), y[stimulus].astype(float))
    expected = reference.predict(standardised(x))
    np.testing.assert_allclose(ridge.predict(x), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("per_target", [False, True])
@pytest.mark.parametrize("features", [8, 60])  # fewer and more than the 40 stimuli
def test_leave_one_out_of_single_trials_is_that_of_sklearn(features, per_target):
    x, y, stimulus = study(features, stimuli=40, repeats=1)
    selection = "per_target" if per_target else "shared"
    ridge = fit_ridge(x, y, stimulus, fold_of(y, None), chosen(selection=selection, folds=None))
    reference = RidgeCV(alphas=PENALTIES, alpha_per_target=per_target).fit(standardised(x), y[stimulus].astype(float))
    np.testing.assert_array_equal(ridge.penalty, reference.alpha_)
    new = study(features, stimuli=9)[0]
    expected = reference.predict(standardised(new, like=x))
    np.testing.assert_allclose(ridge.predict(new), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("features", [10, 200])
def test_folds_over_stimuli_are_sklearns_search_with_grouped_folds(features):
    x, y, stimulus = study(features)
    counts = np.bincount(stimulus)
    keep = np.isin(stimulus, np.flatnonzero(counts == 3)[:20])  # equal folds: the search averages over folds
    x, (seen, stimulus) = x[keep], np.unique(stimulus[keep], return_inverse=True)
    y = y[seen]
    splits = list(GroupKFold(5).split(x, groups=stimulus))
    fold = np.empty(len(y), int)
    for number, (_, test) in enumerate(splits):
        fold[stimulus[test]] = number
    search = GridSearchCV(
        Reference(solver="svd"), {"alpha": PENALTIES}, cv=splits, scoring="neg_mean_squared_error"
    ).fit(standardised(x), y[stimulus].astype(float))
    ridge = fit_ridge(x, y, stimulus, fold, chosen(folds=5))
    assert ridge.penalty == search.best_params_["alpha"]
    np.testing.assert_allclose(ridge.errors, -search.cv_results_["mean_test_score"], rtol=1e-6)
    expected = search.predict(standardised(x))
    np.testing.assert_allclose(ridge.predict(x), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("features", [10, 60])
def test_folds_per_target_are_those_of_himalaya(features):
    ridges = pytest.importorskip("himalaya.ridge")
    from himalaya.backend import set_backend

    set_backend("numpy")
    x, y, stimulus = study(features, stimuli=40, repeats=1)
    x, y = x[np.argsort(stimulus)], y.astype(float)
    fold = fold_of(y, 4)
    splits = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(4)]
    reference = ridges.RidgeCV(alphas=np.array(PENALTIES), fit_intercept=True, cv=splits).fit(standardised(x), y)
    ridge = fit_ridge(x, y, np.arange(40), fold, chosen(selection="per_target"))
    np.testing.assert_allclose(ridge.penalty, reference.best_alphas_, rtol=1e-12)
    expected = reference.predict(standardised(x))
    np.testing.assert_allclose(ridge.predict(x), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@st.composite
def problems(draw):
    """Any shape there may be: few or many features, some of them constant, repeats, one target, any folds."""
    stimuli, repeats = draw(st.integers(3, 12)), draw(st.integers(1, 3))
    features, targets = draw(st.integers(1, 30)), draw(st.sampled_from([1, 2, 9]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    stimulus = rng.permutation(np.concatenate([np.arange(stimuli), rng.integers(0, stimuli, stimuli * (repeats - 1))]))
    y = rng.standard_normal((stimuli, targets)) * rng.uniform(0.1, 10, targets) + 3
    x = y[stimulus] @ rng.standard_normal((targets, features)) + rng.standard_normal((len(stimulus), features))
    x[:, : draw(st.integers(0, features))] = rng.standard_normal()
    folds = draw(st.one_of(st.none(), st.integers(2, stimuli)))
    return x.astype(np.float32), y.astype(np.float32), stimulus, folds


@settings(max_examples=60, deadline=None)
@given(problems())
def test_whatever_the_shape_errors_are_those_of_refitting(problem):
    x, y, stimulus, folds = problem
    fold = fold_of(y, folds)
    expected = left_out_squares(x, y, stimulus, fold)
    fits = {way: fit_ridge(x, y, stimulus, fold, chosen(selection=way, folds=folds)) for way in SELECTIONS}
    sums = expected.sum(axis=1)
    for ridge in fits.values():
        np.testing.assert_allclose(np.array(ridge.errors) * len(x) * y.shape[1], sums, rtol=1e-5)
        assert ridge.predict(x).shape == (len(x), y.shape[1])
    picked = PENALTIES.index(fits["shared"].penalty)
    assert sums[picked] <= sums.min() * (1 + 1e-6)
    own = [PENALTIES.index(p) for p in fits["per_target"].penalty]
    assert (expected[own, np.arange(len(own))] <= expected.min(axis=0) * (1 + 1e-6)).all()


def test_noise_asks_for_a_larger_penalty():
    def penalty(noise):
        x, y, stimulus = study(40, noise=noise)
        return fit_ridge(x, y, stimulus, fold_of(y, 4), chosen()).penalty

    assert penalty(0.01) < penalty(10.0)


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("features", [10, 200])
def test_what_is_kept_is_small_and_predicts_the_same(features, selection):
    x, *_, ridge = fitted(features, selection=selection)
    before = ridge.predict(x)
    tensors = ridge.tensors()
    assert len(tensors["right"]) <= min(len(x), 10 if features == 10 else 70)
    again = Ridge.from_tensors(tensors, ridge.facts())
    np.testing.assert_allclose(again.predict(x), before, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(again.penalty, ridge.penalty)


def test_targets_are_read_by_columns_and_copied_for_no_prediction(monkeypatch):
    monkeypatch.setattr("brainflix.models.moments.BLOCK", 5)

    class Watched:
        def __init__(self, values):
            self.values, self.shape, self.widest = values, values.shape, 0

        def __getitem__(self, key):
            self.widest = max(self.widest, self.values[key].shape[1])
            return self.values[key]

    for features in (10, 200):
        for selection in SELECTIONS:
            for components in (None, 4):
                x, y, stimulus = study(features)
                how = chosen(selection=selection, components=components, match_variance=True)
                fit = partial(fit_ridge, x, stimulus=stimulus, fold=fold_of(y, 4), settings=how)
                watched = Watched(y)
                ridge = fit(targets=watched)
                np.testing.assert_allclose(ridge.predict(x), fit(targets=y).predict(x), rtol=1e-5, atol=1e-4)
                assert watched.widest == 5


def axes_of(y, stimulus):
    """Principal axes of the stimuli's targets, centred as the trials are."""
    return np.linalg.svd(y - y[stimulus].mean(axis=0, dtype=float), full_matrices=False)[2]


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("features", [10, 200])
def test_all_components_are_the_targets_themselves(features, selection):
    x, *_, direct = fitted(features, penalties=(30.0,), selection=selection)
    within = fitted(features, penalties=(30.0,), selection=selection, components=1000)[-1]
    assert within.tensors()["right"].shape == (17, 17)
    np.testing.assert_allclose(within.predict(x), direct.predict(x), rtol=1e-5, atol=1e-4)


def test_a_shared_penalty_is_the_same_in_a_whole_basis():
    direct, within = fitted(200)[-1], fitted(200, components=1000)[-1]
    assert within.penalty == direct.penalty
    np.testing.assert_allclose(within.errors, direct.errors, rtol=1e-6)


def test_few_components_predict_the_leading_part_of_the_targets():
    x, y, stimulus, _, direct = fitted(200, penalties=(30.0,))
    within = fitted(200, penalties=(30.0,), components=3)[-1]
    axes = axes_of(y, stimulus)[:3]
    expected = (direct.predict(x) - direct.intercept) @ axes.T @ axes + direct.intercept
    np.testing.assert_allclose(within.predict(x), expected, rtol=1e-5, atol=1e-4)
    assert within.tensors()["left"].shape == (200, 3)


def test_a_penalty_per_target_is_one_per_component_in_a_basis():
    x, y, stimulus, fold, within = fitted(200, selection="per_target", components=3)
    scores = (y - y[stimulus].mean(axis=0, dtype=float)) @ axes_of(y, stimulus)[:3].T
    best = np.argmin(left_out_squares(x, scores, stimulus, fold), axis=0)
    np.testing.assert_array_equal(within.penalty, np.array(PENALTIES)[best])


@pytest.mark.parametrize("components", [None, 1000])
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("features", [10, 200])
def test_matched_predictions_of_left_out_stimuli_vary_as_the_targets_do(features, selection, components):
    x, y, stimulus, fold, plain = fitted(features, selection=selection, components=components)
    response = np.unique(2 * stimulus + np.arange(len(x)) % 2, return_inverse=True)[1]  # two subjects
    how = chosen(selection=selection, components=components, match_variance=True)
    ridge = fit_ridge(x, y, stimulus, fold, how, response=response)
    axes = np.eye(17) if components is None else axes_of(y, stimulus)
    scores = (y - y[stimulus].mean(axis=0, dtype=float)) @ axes.T
    penalty = np.broadcast_to(plain.penalty, 17)
    columns = [left_out(x, scores[:, [i]], stimulus, fold, penalty[i]) for i in range(17)]
    predicted = np.concatenate(columns, axis=1) @ axes
    groups = [np.flatnonzero(response == r) for r in range(response.max() + 1)]
    averaged = np.stack([predicted[g].mean(axis=0) for g in groups])
    wanted = np.stack([y[stimulus[g[0]]] for g in groups])
    gain = wanted.std(axis=0) / averaged.std(axis=0)
    expected = (plain.predict(x) - plain.intercept) * gain + plain.intercept
    np.testing.assert_allclose(ridge.predict(x), expected, rtol=1e-4, atol=1e-3)


def test_constant_features_and_duplicated_trials_do_no_harm():
    x, y, stimulus = study(30)
    x[:, 3] = 7.0
    x, stimulus = np.concatenate([x, x]), np.concatenate([stimulus, stimulus])
    ridge = fit_ridge(x, y, stimulus, fold_of(y, 4), chosen())
    assert np.isfinite(ridge.predict(x)).all()


def test_targets_that_do_not_vary_are_predicted_as_they_are():
    x, y, stimulus = study(30)
    y[:, 2] = 5
    ridge = fit_ridge(x, y, stimulus, fold_of(y, 4), chosen(selection="per_target", match_variance=True))
    np.testing.assert_allclose(ridge.predict(x)[:, 2], 5, rtol=1e-5)


def test_folds_are_blocks_of_equal_size_within_each_dataset():
    folds = stimulus_folds(["b"] * 6 + ["a"] * 9, [f"{i:02}" for i in range(15)], 3)
    assert folds.tolist() == [*[0, 0, 1, 1, 2, 2], *[0, 0, 0, 1, 1, 1, 2, 2, 2]]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30)), min_size=1, unique=True), st.integers(2, 5))
def test_no_clip_is_in_two_folds(clips, folds):
    dataset, names = zip(*sorted(clips), strict=True)
    names = [f"clip {n}" for n in names]
    for k in (folds, None):
        try:
            found = stimulus_folds(dataset, names, k)
        except InputError:
            fewest = len(set(names)) if k is None else min(dataset.count(d) for d in set(dataset))
            assert fewest < (k or 2)
            continue
        by_name = {name: {f for f, n in zip(found, names, strict=True) if n == name} for name in names}
        assert all(len(f) == 1 for f in by_name.values())
        assert len(set(found)) > 1 and (k is None or max(found) < k)
        if k is None:
            assert len(set(found)) == len(set(names))


def test_fewer_stimuli_than_folds_are_refused_in_words():
    with pytest.raises(InputError, match="at least 5 training stimuli of had, found 4"):
        stimulus_folds(["bmd"] * 9 + ["had"] * 4, [f"{i:02}" for i in range(13)], 5)
    with pytest.raises(InputError, match="at least 2 training stimuli, found 1"):
        stimulus_folds(["bmd", "bmd-mosaic"], ["0001", "0001"], None)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"penalties": ()}, r"settings.penalties: expected positive numbers, found \[\]"),
        ({"penalties": (0.0, 1.0)}, r"settings.penalties: expected positive numbers, found \[0.0, 1.0\]"),
        ({"penalties": (float("nan"),)}, r"settings.penalties: expected positive numbers, found \[nan\]"),
        ({"folds": 1}, "settings.folds: expected 2 or more, or null, found 1"),
        ({"components": 0}, "settings.target_components: expected 1 or more, or null, found 0"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_words(change, complaint):
    with pytest.raises(InputError, match=complaint):
        chosen(**change)
