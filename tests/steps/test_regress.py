"""regress and predict: repeats, matched variance, the paper's targets, and what they refuse."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from brainflix import artifacts, cli
from brainflix.artifacts import Samples
from brainflix.models.ridge import RidgeSettings, fit_ridge
from brainflix.settings import build
from brainflix.steps.predict import predict

from .test_encode import MLP, RIDGE, TRAINING, VERTICES, Study, errors, run_regress

CHANGES = {
    "shared": {},
    "per target": {"selection": "per_target"},
    "one at a time": {"folds": None},
    "averaged": {"repeats": "averaged"},
    "components": {"target_components": 3},
    "variance": {"match_variance": True},
}


@pytest.fixture
def study(tmp_path) -> Study:
    return Study(tmp_path)


def averaged(study: Study) -> list:
    """The responses with one row a subject and stimulus, the mean of the repeats, as files."""
    paths = []
    for path in study.responses:
        whole = artifacts.read(path, kind="responses")
        names = whole.rows["stimulus"].to_numpy()
        rows = whole.rows.drop_duplicates("stimulus").reset_index(drop=True)
        values = np.stack([whole.values[names == name].mean(axis=0) for name in rows["stimulus"]])
        paths.append(path.with_name(f"mean-{path.name}"))
        artifacts.write(paths[-1], Samples("responses", values, rows, ("vertex",), "z", whole.about))
    return paths


def predicted(study: Study, regressor, features=None) -> np.ndarray:
    out = study.path(f"{regressor.stem}-predicted.h5")
    predict(regressor=regressor, features=[features or study.responses[0]], out=[out], threads=1)
    return artifacts.read(out, kind="predictions").values


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_way_of_ridge_decodes(study, change):
    regressor = run_regress(study, study.path("z.safetensors"), settings={**RIDGE, **change})
    predict(regressor=regressor, features=study.responses[:1], out=[study.path("p.h5")], threads=1)
    assert errors(study.path("p.h5"), study) < 0.2


@pytest.mark.parametrize("model, settings", [("ridge", RIDGE), ("mlp", MLP)])
def test_learning_from_averaged_repeats_is_learning_from_averaged_responses(study, model, settings):
    settings = {**settings, "repeats": "averaged"}
    one = run_regress(study, study.path("a.safetensors"), model=model, settings=settings)
    means = averaged(study)
    other = run_regress(study, study.path("b.safetensors"), model=model, settings=settings, features=means)
    for path in (study.responses[0], means[0]):
        np.testing.assert_allclose(predicted(study, one, path), predicted(study, other, path), rtol=1e-4, atol=1e-4)
    single = run_regress(study, study.path("c.safetensors"), model=model, settings={**settings, "repeats": "single"})
    assert np.abs(predicted(study, one) - predicted(study, single)).max() > 1e-3


def test_ridge_of_the_step_is_that_of_the_arrays(study):
    """Rows of four files find their targets in two, whatever the order."""
    regressor = run_regress(study, study.path("z.safetensors"), features=study.responses[::-1])
    parts, y = [artifacts.read(p, kind="responses") for p in study.responses], {}
    for path in study.targets("z"):
        targets = artifacts.read(path, kind="targets")
        y |= dict(zip(targets.rows["stimulus"], targets.values.reshape(-1, 12), strict=True))
    rows = pd.concat([p.rows for p in parts], ignore_index=True)
    train = (rows["split"] == "train").to_numpy()
    names, stimulus = np.unique(rows["stimulus"].to_numpy(str)[train], return_inverse=True)
    x = np.concatenate([p.values for p in parts])
    fold = np.tile(np.arange(16) * 3 // 16, 2)  # bmd, then cc
    settings = build(RidgeSettings, RIDGE, where="settings")
    ridge = fit_ridge(x[train], np.stack([y[n] for n in names]), stimulus, fold, settings)
    first = parts[0].rows["split"].to_numpy() == "test"
    expected = pd.DataFrame(ridge.predict(parts[0].values[first])).groupby(parts[0].rows["stimulus"][first].to_numpy())
    made = predicted(study, regressor).reshape(8, 12)
    np.testing.assert_allclose(made, expected.mean().to_numpy(), rtol=1e-4, atol=1e-4)


def test_a_default_leaves_no_trace_in_a_header(study):
    header = artifacts.load_weights(run_regress(study, study.path("a.safetensors")), kind="regressor")[1]
    assert header["settings"] == {"penalties": [1.0, 10.0, 100.0], "folds": 3}
    settings = {**RIDGE, "selection": "per_target", "repeats": "averaged"}
    other = run_regress(study, study.path("b.safetensors"), settings=settings)
    tensors, header = artifacts.load_weights(other, kind="regressor")
    assert header["settings"]["selection"] == "per_target" and header["settings"]["repeats"] == "averaged"
    assert set(tensors["penalty"]) <= set(RIDGE["penalties"]) and "penalty" not in header


def test_an_mlp_with_matched_variance_is_the_same_stretched(study):
    training = {**TRAINING, "epochs": 20}
    plain = run_regress(study, study.path("a.safetensors"), model="mlp", settings={**MLP, "training": training})
    settings = {**MLP, "training": training, "variance_folds": 3}
    matched = run_regress(study, study.path("b.safetensors"), model="mlp", settings=settings)
    tensors, again = (artifacts.load_weights(p, kind="regressor")[0] for p in (matched, plain))
    gain = tensors.pop("affine.gain")
    assert gain.shape == (12,) and (gain > 1).all()  # a regression shrinks
    assert set(tensors) == set(again)
    for name, values in again.items():
        np.testing.assert_array_equal(values, tensors[name])
    mean = tensors["affine.target_mean"].reshape(3, 4)
    expected = (predicted(study, plain) - mean) * gain.reshape(3, 4) + mean
    np.testing.assert_allclose(predicted(study, matched), expected, rtol=1e-4, atol=1e-4)
    assert not list(study.folder.rglob("left-out.safetensors"))


def test_the_gain_of_an_mlp_is_that_of_networks_trained_without_each_fold(study):
    settings = {**MLP, "target_components": None}
    features, targets = study.responses[:1], study.targets("z")[:1]
    once = {"model": "mlp", "features": features, "targets": targets}
    whole = run_regress(study, study.path("a.safetensors"), settings={**settings, "variance_folds": 2}, **once)
    rows = artifacts.read(features[0], kind="responses")
    truth = artifacts.read(targets[0], kind="targets")
    found = []
    for half in (range(8), range(8, 16)):
        names = {f"bmd-{i:02}" for i in half}
        known = rows.where((rows.rows["split"] == "train") & ~rows.rows["stimulus"].isin(names))
        asked = rows.where(rows.rows["stimulus"].isin(names))
        asked.rows["split"] = "test"
        for name, part in (("known.h5", known), ("asked.h5", asked)):
            artifacts.write(study.path(name), part)
        fold = run_regress(
            study, study.path("f.safetensors"), settings=settings, **{**once, "features": [study.path("known.h5")]}
        )
        found.append(predicted(study, fold, study.path("asked.h5")).reshape(8, 12))
    wanted = truth.values[:16].reshape(16, 12).std(axis=0)
    gain = artifacts.load_weights(whole, kind="regressor")[0]["affine.gain"]
    np.testing.assert_allclose(gain, wanted / np.concatenate(found).std(axis=0), rtol=1e-4)


def test_an_interrupted_mlp_with_matched_variance_resumes_to_the_same_bytes(study):
    settings = {**MLP, "variance_folds": 2}
    whole = run_regress(study, study.path("whole.safetensors"), model="mlp", settings=settings)
    part = study.path("part.safetensors")
    stops = 0
    while not part.exists():
        try:
            run_regress(study, part, model="mlp", settings=settings, max_seconds=0.0)
        except SystemExit as stopped:
            assert stopped.code == 75 and not part.exists()
            stops += 1
    assert stops > 10 and part.read_bytes() == whole.read_bytes()


def test_test_responses_and_targets_have_no_part_in_any_choice(study):
    settings = {**RIDGE, "selection": "per_target", "folds": None, "match_variance": True, "target_components": 5}
    before = run_regress(study, study.path("a.safetensors"), settings=settings).read_bytes()

    def spoil(values, rows):
        values[rows["split"] == "test"] *= 1e3
        return values

    for dataset in ("bmd", "cc"):
        for subject in ("01", "02"):
            study.write_responses(dataset, subject, spoil)
        targets = artifacts.read(study.path(dataset, "z.h5"), kind="targets")
        targets.values[16:] = 1e6
        artifacts.write(study.path(dataset, "z.h5"), targets)
    assert run_regress(study, study.path("b.safetensors"), settings=settings).read_bytes() == before


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        (("channel", "frame", "row", "column"), (4, 15, 33, 33)),
        (("token", "width"), (226, 768)),
        (("token", "width"), (77, 1024)),
    ],
    ids=["z", "b", "c"],
)
@pytest.mark.parametrize("model", ["ridge", "mlp"])
def test_the_papers_targets_keep_their_shape(study, model, axes, shape):
    rng = np.random.default_rng(0)
    rows = study.stimuli("bmd")
    values = rng.standard_normal((24, *shape)).astype(np.float32)
    about = {"dataset": "bmd", "simulated": True, "model": "zeroscope", "revision": "0"}
    artifacts.write(study.path("big.h5"), Samples("targets", values, rows, axes, "1", about))
    settings = {"ridge": RIDGE, "mlp": {**MLP, "hidden": 4, "training": {**TRAINING, "epochs": 1}}}[model]
    regressor = run_regress(
        study, study.path("big.safetensors"), model=model, settings=settings, targets=[study.path("big.h5")],
        features=study.responses[:1],
    )  # fmt: skip
    predict(regressor=regressor, features=study.responses[:1], out=[study.path("p.h5")], threads=1)
    made = artifacts.read(study.path("p.h5"), kind="predictions")
    assert made.values.shape == (8, *shape) and made.axes == axes
    assert np.isfinite(made.values).all()


@pytest.fixture
def refused(study, monkeypatch, capfd):
    """Run `brainflix regress`, which has to be refused; its one line, nothing being left behind."""

    def call(model="ridge", settings=RIDGE, features=None, targets=None) -> str:
        out = study.path("out", "z.safetensors")
        words = ["brainflix", "regress", "--features", *(features or study.responses)]
        words += ["--targets", *(targets or study.targets("z"))]
        words += ["--model", model, "--settings", json.dumps(settings), "--seed", 0, "--threads", 1]
        words += ["--checkpoints", study.path("checkpoints"), "--out", out]
        monkeypatch.setattr(sys, "argv", [str(word) for word in words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capfd.readouterr().err
        assert stop.value.code == 1
        assert said.startswith("brainflix: ") and said.count("\n") == 1, said
        assert not out.exists()
        return said

    return call


def keep(study: Study, stimuli: list[str]) -> list:
    """Responses of one subject to some training stimuli, as a file."""
    whole = artifacts.read(study.responses[0], kind="responses")
    artifacts.write(study.path("few.h5"), whole.where(whole.rows["stimulus"].isin(stimuli)))
    return [study.path("few.h5")]


@pytest.mark.parametrize(("model", "settings"), [("ridge", RIDGE), ("ridge", {**RIDGE, "folds": None}), ("mlp", MLP)])
def test_one_stimulus_teaches_nothing(study, refused, model, settings):
    said = refused(model, settings, keep(study, ["bmd-03"]))
    assert "few.h5: expected responses to at least 2 training stimuli, found those to one ('bmd-03')" in said


@pytest.mark.parametrize(
    ("model", "settings"), [("ridge", {**RIDGE, "folds": 5}), ("mlp", {**MLP, "variance_folds": 5})]
)
def test_fewer_stimuli_than_folds(study, refused, model, settings):
    said = refused(model, settings, keep(study, [f"bmd-{i:02}" for i in range(4)]))
    assert "cross-validation: expected at least 5 training stimuli of bmd, found 4" in said


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("model", "settings"), [("ridge", RIDGE), ("mlp", MLP)])
def test_features_that_are_not_finite(study, refused, model, settings, value):
    def spoil(values, rows):
        values[int(np.flatnonzero(rows["stimulus"] == "bmd-07")[0]), 3] = value
        return values

    path = study.write_responses("bmd", "02", spoil)
    said = refused(model, settings)
    assert f"{path}: expected finite values, found NaN or infinity in row" in said and "'bmd-07'" in said


@pytest.mark.parametrize(("model", "settings"), [("ridge", RIDGE), ("mlp", MLP)])
def test_targets_that_are_not_finite(study, refused, model, settings):
    path = study.path("cc", "z.h5")
    targets = artifacts.read(path, kind="targets")
    targets.values[5, 1, 1] = -np.inf
    artifacts.write(path, targets)
    said = refused(model, settings)
    assert f"{path}: expected finite values, found NaN or infinity in row 5 (stimulus 'cc-05')" in said


def test_targets_whose_shapes_disagree(study, refused):
    study.mixing[5] = study.mixing[12][:, :5]
    study.write_targets("cc", "z", (5,))
    said = refused()
    assert f"{study.path('cc', 'z.h5')}: expected rows of shape (3, 4) as in" in said and "found (5,)" in said


def test_features_whose_widths_disagree(study, refused):
    whole = artifacts.read(study.responses[1], kind="responses")
    narrow = Samples("responses", whole.values[:, :7], whole.rows, ("vertex",), "z", whole.about)
    artifacts.write(study.responses[1], narrow)
    said = refused()
    assert f"{study.responses[1]}: expected rows of shape ({VERTICES},) as in" in said and "found (7,)" in said


def test_a_batch_larger_than_the_data(refused):
    said = refused("mlp", {**MLP, "training": {**TRAINING, "batch": 1000}})
    assert "regress: expected at least a batch of 1000 training rows, found 128" in said


def test_a_penalty_that_is_none(refused):
    said = refused(settings={**RIDGE, "penalties": [0.0]})
    assert "settings.penalties: expected positive numbers, found [0.0]" in said
