"""Ridge against scikit-learn: fit, cross-validation over stimuli, choice of penalty."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge as Reference
from sklearn.model_selection import PredefinedSplit

from brainflix.errors import InputError
from brainflix.models.ridge import Ridge, RidgeSettings, fit_ridge, stimulus_folds

PENALTIES = (0.1, 3.0, 100.0, 3000.0)


def study(features: int, *, stimuli: int = 24, repeats: int = 3, targets: int = 17, noise: float = 1.0):
    """Trials of stimuli whose features carry their target, plus noise."""
    rng = np.random.default_rng([features, stimuli])
    y = rng.standard_normal((stimuli, targets)).astype(np.float32) + 5
    stimulus = rng.permutation(np.repeat(np.arange(stimuli), repeats))[:-2]  # unequal repeats
    x = y[stimulus] @ rng.standard_normal((targets, features))
    x = x + 3 * noise * rng.standard_normal(x.shape)
    return x.astype(np.float32) * rng.uniform(0.1, 9, features).astype(np.float32), y, stimulus


def fitted(features: int, penalties=PENALTIES):
    x, y, stimulus = study(features)
    fold = stimulus_folds(["a"] * len(y), 4)
    return x, y, stimulus, fold, fit_ridge(x, y, stimulus, fold, RidgeSettings(penalties, 4))


@pytest.mark.parametrize("features", [10, 200])  # fewer and more than the 70 trials
def test_predictions_equal_sklearn_on_standardised_features(features):
    x, y, stimulus, _, ridge = fitted(features, penalties=(30.0,))
    scale = (x - x.mean(0)) / x.std(0)
    reference = Reference(alpha=30.0, solver="svd").fit(scale.astype(np.float64), y[stimulus])
    new = study(features, stimuli=9)[0]
    expected = reference.predict((new - x.mean(0)) / x.std(0))
    np.testing.assert_allclose(ridge.predict(new), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("features", [4, 10, 200])  # below a fold's 17 trials, between, above all
def test_cross_validated_errors_equal_refitting_without_each_fold(features):
    x, y, stimulus, fold, ridge = fitted(features)
    scaled = ((x - x.mean(0)) / x.std(0)).astype(np.float64)
    for penalty, error in zip(PENALTIES, ridge.errors, strict=True):
        squares = 0.0
        for train, test in PredefinedSplit(fold[stimulus]).split():
            assert not set(stimulus[train]) & set(stimulus[test])
            reference = Reference(alpha=penalty, solver="svd").fit(scaled[train], y[stimulus[train]])
            squares += np.square(reference.predict(scaled[test]) - y[stimulus[test]]).sum()
        assert error == pytest.approx(squares / (len(x) * y.shape[1]), rel=1e-4)


def test_the_penalty_with_the_least_error_is_used():
    *_, ridge = fitted(200)
    assert ridge.penalty == PENALTIES[int(np.argmin(ridge.errors))]


def test_noise_asks_for_a_larger_penalty():
    def chosen(noise):
        x, y, stimulus = study(40, noise=noise)
        return fit_ridge(x, y, stimulus, stimulus_folds(["a"] * 24, 4), RidgeSettings(PENALTIES, 4)).penalty

    assert chosen(0.01) < chosen(10.0)


@pytest.mark.parametrize("features", [10, 200])
def test_what_is_kept_is_the_smaller_form_and_predicts_the_same(features):
    x, *_, ridge = fitted(features)
    tensors = ridge.tensors()
    assert ("left" in tensors) == (features == 200)
    assert len(tensors["right"]) == min(features, 24)
    again = Ridge.from_tensors(tensors, penalty=ridge.penalty)
    np.testing.assert_array_equal(again.predict(x), ridge.predict(x))


def test_constant_features_and_duplicated_trials_do_no_harm():
    x, y, stimulus = study(30)
    x[:, 3] = 7.0
    x, stimulus = np.concatenate([x, x]), np.concatenate([stimulus, stimulus])
    ridge = fit_ridge(x, y, stimulus, stimulus_folds(["a"] * 24, 4), RidgeSettings(PENALTIES, 4))
    assert np.isfinite(ridge.predict(x)).all()


def test_folds_are_blocks_of_equal_size_within_each_dataset():
    folds = stimulus_folds(["b"] * 6 + ["a"] * 9, 3)
    assert folds.tolist() == [*[0, 0, 1, 1, 2, 2], *[0, 0, 0, 1, 1, 1, 2, 2, 2]]


def test_fewer_stimuli_than_folds_are_refused_in_words():
    with pytest.raises(InputError, match="at least 5 training stimuli of had, found 4"):
        stimulus_folds(["bmd"] * 9 + ["had"] * 4, 5)
