"""Predictions beside truth: right rows, right mean, readable complaints."""

import numpy as np
import pandas as pd
import pytest

from brainflix import artifacts, pairs
from brainflix.artifacts import Samples
from brainflix.errors import InputError


def targets(n=150, *, dataset="toy"):
    """150 clips, every third one a test clip, in a shuffled order."""
    order = np.random.default_rng(0).permutation(n)
    rows = pd.DataFrame({"stimulus": [f"{i:03d}" for i in order], "split": ["train", "train", "test"] * (n // 3)})
    values = np.random.default_rng(1).normal(3.0, 2.0, (n, 2, 5)).astype(np.float32)
    return Samples("targets", values, rows, ("token", "width"), "1", {"dataset": dataset, "simulated": True})


@pytest.fixture
def files(tmp_path):
    truth = targets()
    test = truth.where(truth.rows["split"] == "test")
    order = np.argsort(test.rows["stimulus"].to_numpy())
    rows = test.rows.iloc[order].reset_index(drop=True)
    guess = Samples("predictions", test.values[order] + 1, rows, truth.axes, "1", truth.about)
    artifacts.write(tmp_path / "true.h5", truth)
    artifacts.write(tmp_path / "guess.h5", guess)
    return tmp_path


def test_every_prediction_meets_its_own_truth(files):
    found = pairs.read_pairs(files / "guess.h5", files / "true.h5")
    assert len(found.stimuli) == 50 and found.stimuli == sorted(found.stimuli)
    np.testing.assert_allclose(found.predicted - found.true, 1, atol=1e-5)


def test_targets_stand_for_a_perfect_prediction_of_the_test_clips(files):
    found = pairs.read_pairs(files / "true.h5", files / "true.h5")
    assert len(found.stimuli) == 50
    np.testing.assert_array_equal(found.predicted, found.true)


def test_moments_are_of_training_rows_only():
    truth = targets()
    train = truth.values[truth.rows["split"] == "train"].astype(float)
    mean, variance = pairs.train_moments(truth)
    np.testing.assert_allclose(mean, train.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(variance, train.var(axis=0), rtol=1e-10)


def test_predictions_for_another_dataset_are_refused(files):
    artifacts.write(files / "other.h5", targets(dataset="other"))
    with pytest.raises(InputError, match="disagree on 'dataset'"):
        pairs.read_pairs(files / "guess.h5", files / "other.h5")


@pytest.mark.parametrize("key, value", [("model", "other"), ("settings", {"frames": 15}), ("revision", "2")])
def test_predictions_of_targets_that_were_made_differently_are_refused(files, key, value):
    truth = targets()
    truth.about[key] = value
    artifacts.write(files / "other.h5", truth)
    with pytest.raises(InputError, match=f"disagree on '{key}'"):
        pairs.read_pairs(files / "guess.h5", files / "other.h5")


def test_missing_clips_are_counted_and_one_is_named(files):
    truth = artifacts.read(files / "true.h5", kind="targets")
    few = truth.where(~truth.rows["stimulus"].isin(["005", "009", "011"]))
    with pytest.raises(InputError, match=r"a.h5: expected a row for each of 3 clips, found no 005 and 1 others"):
        pairs.select(few, ["001", "005", "009"], where="a.h5")


def test_the_first_caption_is_the_one_of_lowest_number(tmp_path):
    table = pd.DataFrame({"stimulus": ["a", "b", "a"], "caption_index": [1, 0, 0], "caption": ["x", "y", "z"]})
    artifacts.write_table(tmp_path / "captions.tsv", table)
    assert pairs.first_captions(tmp_path / "captions.tsv") == {"a": "z", "b": "y"}
