"""Step measure: clip by clip, beside predicting the mean."""

import numpy as np
import pytest

from brainflix import artifacts
from brainflix.errors import InputError
from brainflix.steps.measure import measure

COLUMNS = ["stimulus", "mse", "correlation", "rank", "mse_of_mean"]


def measured(toy, tmp_path, predictions):
    measure(predictions=toy / predictions, targets=toy / "z.h5", out=tmp_path / "z.csv")
    return artifacts.read_table(tmp_path / "z.csv", columns=COLUMNS)


def test_scores_equal_numpy_on_every_test_clip(toy, tmp_path):
    table = measured(toy, tmp_path, "z-predicted.h5")
    true = artifacts.read(toy / "z.h5", kind="targets")
    true = true.where(true.rows["split"] == "test")
    predicted = artifacts.read(toy / "z-predicted.h5", kind="predictions").values
    assert list(table["stimulus"]) == list(true.rows["stimulus"])
    np.testing.assert_allclose(table["mse"], np.mean((predicted - true.values) ** 2, axis=(1, 2, 3, 4)), rtol=1e-6)
    expected = [np.corrcoef(p.ravel(), t.ravel())[0, 1] for p, t in zip(predicted, true.values, strict=True)]
    np.testing.assert_allclose(table["correlation"], expected, rtol=1e-5)


def test_the_truth_is_perfect_and_the_mean_is_its_own_baseline(toy, tmp_path):
    perfect = measured(toy, tmp_path, "z.h5")
    assert (perfect["mse"] == 0).all() and (perfect["rank"] == 1).all()
    average = measured(toy, tmp_path, "z-mean.h5")
    np.testing.assert_allclose(average["mse"], average["mse_of_mean"], rtol=1e-6)
    assert (average["rank"] == 3.5).all()


def test_predictions_of_another_shape_are_refused_by_name(toy, tmp_path):
    with pytest.raises(InputError, match=r"b-predicted.h5: expected targets of shape \(3, 4, 4, 4\)"):
        measured(toy, tmp_path, "b-predicted.h5")
    assert not list(tmp_path.iterdir())
