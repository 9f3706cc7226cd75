"""pretrain, align, embed, regress, predict and the baselines, on a study small enough to check by eye."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainflix import artifacts
from brainflix.artifacts import Samples
from brainflix.errors import InputError
from brainflix.models.losses import ContrastiveSettings
from brainflix.models.mbm import MbmSettings
from brainflix.steps.align import AlignSettings, align
from brainflix.steps.average import average
from brainflix.steps.embed import embed
from brainflix.steps.gaussian import gaussian
from brainflix.steps.predict import predict
from brainflix.steps.pretrain import PretrainSettings, pretrain
from brainflix.steps.regress import regress
from brainflix.training import TrainingSettings

VERTICES, WIDTH = 50, 16
TRAINING = {
    "epochs": 3, "batch": 16, "accumulate": 1, "learning_rate": 3e-3, "warmup_epochs": 0.5,
    "weight_decay": 0.05, "betas": [0.9, 0.95], "clip_norm": 0.8, "precision": "float32",
    "compile": False, "blocks": None,
}  # fmt: skip
MODEL = MbmSettings(
    patch=8, width=WIDTH, depth=1, heads=2, mlp_ratio=1.0, decoder_width=8, decoder_depth=1, decoder_heads=2,
    mask_ratio=0.5, pool="patches",
)  # fmt: skip
PRETRAIN = PretrainSettings(model=MODEL, training=TrainingSettings(**TRAINING))
LOSS = ContrastiveSettings(temperature=0.1, symmetric=True, positives="stimulus", centre_targets=True)
OFF = {
    "largest_scale": None, "sample_captions": False, "projector_hidden": None, "adapter_rank": None,
    "held_out": None, "mbm_weight": 0.0,
}  # fmt: skip
ALIGN = AlignSettings(loss=LOSS, **OFF, training=TrainingSettings(**TRAINING))
RIDGE = {
    "penalties": [1.0, 10.0, 100.0], "selection": "shared", "folds": 3, "repeats": "single",
    "target_components": None, "match_variance": False,
}  # fmt: skip
MLP = {
    "hidden": 16, "blocks": 1, "dropout": 0.1, "target_components": 2, "repeats": "single", "variance_folds": None,
    "training": TRAINING,
}  # fmt: skip


class Study:
    """Two datasets, two subjects each: responses are a noisy mixture of what a stimulus's targets say."""

    def __init__(self, folder: Path, *, simulated: bool = True) -> None:
        self.folder, self.simulated = folder, simulated
        self.rng = np.random.default_rng(0)
        self.facts = {f"{d}-{i:02}": self.rng.standard_normal(3) for d in ("bmd", "cc") for i in range(24)}
        self.mixing = {n: self.rng.standard_normal((3, n)) for n in (VERTICES, 12, WIDTH, 9)}
        for dataset in ("bmd", "cc"):
            self.write_targets(dataset, "z", (3, 4))
            self.write_targets(dataset, "text", (9,))
            for subject in ("01", "02"):
                self.write_responses(dataset, subject)

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(*parts)

    def stimuli(self, dataset: str) -> pd.DataFrame:
        names = sorted(n for n in self.facts if n.startswith(dataset))
        return pd.DataFrame({"stimulus": names, "split": ["train"] * 16 + ["test"] * 8})

    def write_targets(self, dataset: str, name: str, shape: tuple[int, ...]) -> None:
        rows = self.stimuli(dataset)
        values = np.stack([self.facts[s] @ self.mixing[int(np.prod(shape))] for s in rows["stimulus"]])
        axes = ("channel", "row") if len(shape) == 2 else ("width",)
        about = {"dataset": dataset, "simulated": self.simulated, "model": name, "revision": "0"}
        samples = Samples("targets", values.reshape(-1, *shape).astype(np.float32), rows, axes, "a.u.", about)
        artifacts.write(self.path(dataset, f"{name}.h5"), samples)

    def write_responses(self, dataset: str, subject: str, change=lambda values, rows: values) -> Path:
        rng = np.random.default_rng([len(dataset), int(subject)])
        rows = self.stimuli(dataset).loc[np.repeat(np.arange(24), 2)].reset_index(drop=True)
        rows = rows.assign(repeat=np.tile([1, 2], 24), run="1").sample(frac=1, random_state=1).reset_index(drop=True)
        clean = np.stack([self.facts[s] @ self.mixing[VERTICES] for s in rows["stimulus"]])
        values = change((clean + rng.standard_normal(clean.shape)).astype(np.float32), rows)
        about = {
            "dataset": dataset,
            "subject": subject,
            "simulated": self.simulated,
            "space": "glasser41-abc",
        }
        path = self.path(dataset, f"sub-{subject}.h5")
        artifacts.write(path, Samples("responses", values, rows, ("vertex",), "z", about))
        return path

    @property
    def responses(self) -> list[Path]:
        return [self.path(d, f"sub-{s}.h5") for d in ("bmd", "cc") for s in ("01", "02")]

    def targets(self, name: str) -> list[Path]:
        return [self.path(d, f"{name}.h5") for d in ("bmd", "cc")]


@pytest.fixture
def study(tmp_path) -> Study:
    return Study(tmp_path)


def run_pretrain(study: Study, out: Path, **changes) -> Path:
    given = {
        "responses": study.responses, "out": out, "settings": PRETRAIN, "seed": 1,
        "checkpoints": out.parent / "checkpoints" / out.name, "threads": 1,
    }  # fmt: skip
    pretrain(**{**given, **changes})
    return out


def run_align(study: Study, init: Path, out: Path, **changes) -> Path:
    given = {
        "init": init, "responses": study.responses, "targets": study.targets("text"), "out": out,
        "settings": ALIGN, "seed": 1, "checkpoints": out.parent / "checkpoints" / out.name, "threads": 1,
    }  # fmt: skip
    align(**{**given, **changes})
    return out


def run_regress(study: Study, out: Path, **changes) -> Path:
    given = {
        "features": study.responses, "targets": study.targets("z"), "model": "ridge", "settings": RIDGE,
        "seed": 1, "out": out, "checkpoints": out.parent / "checkpoints" / out.name, "threads": 1,
    }  # fmt: skip
    regress(**{**given, **changes})
    return out


def chain(study: Study, folder: Path) -> list[Path]:
    """Every file the chain makes, for subject 01 of bmd, z by MLP."""
    encoder = run_pretrain(study, folder / "encoder.safetensors")
    aligned = run_align(study, encoder, folder / "aligned.safetensors")
    embeddings = [folder / f"embeddings-{i}.h5" for i in range(4)]
    embed(encoder=aligned, responses=study.responses, out=embeddings, threads=1, batch=20)
    regressor = run_regress(study, folder / "z.safetensors", features=embeddings, model="mlp", settings=MLP)
    predict(regressor=regressor, features=embeddings[:1], out=[folder / "z.h5"], threads=1)
    return [encoder, aligned, *embeddings, regressor, folder / "z.h5"]


def bytes_of(paths: list[Path]) -> list[bytes]:
    return [p.read_bytes() for p in paths]


def errors(predictions: Path, study: Study, dataset: str = "bmd") -> float:
    """Mean squared error over the variance of the test targets."""
    predicted = artifacts.read(predictions, kind="predictions")
    truth = artifacts.read(study.path(dataset, "z.h5"), kind="targets")
    true = truth.where(truth.rows["stimulus"].isin(predicted.rows["stimulus"]))
    assert predicted.rows["stimulus"].tolist() == true.rows["stimulus"].tolist()
    return float(np.square(predicted.values - true.values).mean() / true.values.var(axis=0).mean())


def test_the_chain_gives_the_same_bytes_twice(study):
    first, second = (bytes_of(chain(study, study.path(name))) for name in ("a", "b"))
    assert first == second


def test_test_responses_change_no_byte_of_anything_fitted(study):
    before = chain(study, study.path("a"))

    def spoil(values, rows):
        values[rows["split"] == "test"] = 1e6
        return values

    for dataset in ("bmd", "cc"):
        for subject in ("01", "02"):
            study.write_responses(dataset, subject, spoil)
    after = chain(study, study.path("b"))
    fitted = [i for i, p in enumerate(before) if p.suffix == ".safetensors"]
    assert len(fitted) == 3
    for i in fitted:
        assert before[i].read_bytes() == after[i].read_bytes()
    assert before[-1].read_bytes() != after[-1].read_bytes()  # the predictions do depend on them


def test_files_say_where_they_come_from(study):
    made = chain(study, study.path("a"))
    header = artifacts.load_weights(made[1], kind="encoder")[1]
    assert [stage["step"] for stage in header["stages"]] == ["pretrain", "align"]
    assert header["stages"][0]["on"] == [["bmd", "01"], ["bmd", "02"], ["cc", "01"], ["cc", "02"]]
    about = artifacts.read(made[-1], kind="predictions").about
    assert (about["dataset"], about["subject"], about["simulated"], about["model"]) == (
        "bmd",
        "01",
        True,
        "z",
    )
    assert about["regressor"]["model"] == "mlp"


@pytest.mark.parametrize("split", ["train", "overlap"])
def test_embeddings_have_the_rows_of_their_responses_in_their_order(study, split):
    def relabel(values, rows):
        rows.loc[rows["stimulus"] == "bmd-03", "split"] = split  # "overlap": clips of HAD that nobody learns from
        return values

    study.write_responses("bmd", "01", relabel)
    encoder = run_pretrain(study, study.path("e.safetensors"))
    embed(encoder=encoder, responses=study.responses[:1], out=[study.path("x.h5")], threads=1)
    made = artifacts.read(study.path("x.h5"), kind="embeddings")
    rows = artifacts.read(study.responses[0], kind="responses").rows
    pd.testing.assert_frame_equal(made.rows, rows)
    assert made.values.shape == (48, WIDTH)


def test_alignment_needs_a_projector_only_where_widths_differ(study):
    encoder = run_pretrain(study, study.path("e.safetensors"))
    narrow = artifacts.load_weights(run_align(study, encoder, study.path("a.safetensors")), kind="encoder")[0]
    assert narrow["projector.weight"].shape == (9, WIDTH)
    for dataset in ("bmd", "cc"):
        study.write_targets(dataset, "text", (WIDTH,))
    equal = artifacts.load_weights(run_align(study, encoder, study.path("b.safetensors")), kind="encoder")[0]
    assert not any(name.startswith("projector") for name in equal)


def test_alignment_lowers_its_loss(study):
    encoder = run_pretrain(study, study.path("e.safetensors"))
    longer = AlignSettings(loss=LOSS, **OFF, training=TrainingSettings(**{**TRAINING, "epochs": 20}))
    run_align(study, encoder, study.path("a.safetensors"), settings=longer)
    curve = pd.read_csv(study.path("checkpoints", "a.safetensors", "curve.csv"))
    assert curve["loss"].iloc[-1] < 0.8 * curve["loss"].iloc[0]


def test_ridge_from_responses_decodes_targets_and_averages_repeats(study):
    regressor = run_regress(
        study, study.path("z.safetensors"), features=study.responses[:1], targets=study.targets("z")[:1]
    )
    predict(regressor=regressor, features=study.responses[:1], out=[study.path("p.h5")], threads=1)
    made = artifacts.read(study.path("p.h5"), kind="predictions")
    assert made.values.shape == (8, 3, 4)
    assert made.axes == ("channel", "row")
    assert errors(study.path("p.h5"), study) < 0.2
    # Ridge is linear: the mean prediction is the prediction from the mean response.
    averaged = artifacts.read(study.responses[0], kind="responses")
    means = averaged.values[averaged.rows["split"] == "test"]
    names = averaged.rows["stimulus"][averaged.rows["split"] == "test"].to_numpy()
    rows = pd.DataFrame({"stimulus": sorted(set(names)), "split": "test"})
    values = np.stack([means[names == s].mean(axis=0) for s in rows["stimulus"]])
    artifacts.write(study.path("m.h5"), Samples("responses", values, rows, ("vertex",), "z", averaged.about))
    predict(regressor=regressor, features=[study.path("m.h5")], out=[study.path("q.h5")], threads=1)
    np.testing.assert_allclose(artifacts.read(study.path("q.h5"), kind="predictions").values, made.values, atol=1e-4)


def test_an_mlp_decodes_targets_from_responses(study):
    longer = {**MLP, "training": {**TRAINING, "epochs": 40}}
    regressor = run_regress(study, study.path("z.safetensors"), model="mlp", settings=longer)
    predict(regressor=regressor, features=study.responses[:1], out=[study.path("p.h5")], threads=1)
    assert errors(study.path("p.h5"), study) < 0.5


def test_the_mean_is_that_of_the_training_targets(study):
    average(targets=study.path("bmd", "z.h5"), out=study.path("m.h5"))
    made = artifacts.read(study.path("m.h5"), kind="predictions")
    truth = artifacts.read(study.path("bmd", "z.h5"), kind="targets")
    assert made.rows["stimulus"].tolist() == [f"bmd-{i}" for i in range(16, 24)]
    for row in made.values:
        np.testing.assert_allclose(row, truth.values[:16].mean(axis=0), rtol=1e-5)


def test_random_responses_are_noise_with_the_rows_of_the_test_responses(study):
    for seed in (1, 2):
        gaussian(responses=study.responses[0], seed=seed, out=study.path(f"g{seed}.h5"))
    gaussian(responses=study.responses[1], seed=1, out=study.path("h.h5"))
    made, other, stranger = (artifacts.read(study.path(f), kind="responses") for f in ("g1.h5", "g2.h5", "h.h5"))
    real = artifacts.read(study.responses[0], kind="responses")
    assert made.rows["stimulus"].tolist() == real.rows["stimulus"][real.rows["split"] == "test"].tolist()
    assert made.values.mean() == pytest.approx(0, abs=0.1)
    assert made.values.std() == pytest.approx(1, abs=0.1)
    for unlike in (other, stranger):
        assert abs(np.corrcoef(made.values.ravel(), unlike.values.ravel())[0, 1]) < 0.15


def test_random_responses_are_nobodys(study):
    gaussian(responses=study.responses[0], seed=1, out=study.path("g.h5"))
    about = artifacts.read(study.path("g.h5"), kind="responses").about
    assert about["subject"] == "gaussian" and about["rows_of"] == "01"
    assert "noise" in about["normalisation"] and "nan_vertices" not in about
    regressor = run_regress(study, study.path("z.safetensors"))
    predict(regressor=regressor, features=[study.path("g.h5")], out=[study.path("p.h5")], threads=1)
    assert artifacts.read(study.path("p.h5"), kind="predictions").about["subject"] == "gaussian"


@pytest.mark.parametrize("run, name", [(run_regress, "z"), (None, "text")])
def test_targets_of_two_makings_are_not_learned_from(study, run, name):
    path = study.path("cc", f"{name}.h5")
    other = artifacts.read(path, kind="targets")
    other.about["settings"] = {"frames": 15}
    artifacts.write(path, other)
    with pytest.raises(InputError, match="disagree on 'settings'"):
        if run:
            run(study, study.path("out.safetensors"))
        else:
            run_align(study, run_pretrain(study, study.path("e.safetensors")), study.path("out.safetensors"))


def test_random_responses_decode_to_nothing(study):
    regressor = run_regress(study, study.path("z.safetensors"))
    gaussian(responses=study.responses[0], seed=1, out=study.path("g.h5"))
    predict(regressor=regressor, features=[study.path("g.h5")], out=[study.path("p.h5")], threads=1)
    assert errors(study.path("p.h5"), study) > 0.5


def test_an_interrupted_pretraining_resumes_to_the_same_bytes(study):
    whole = run_pretrain(study, study.path("whole.safetensors"))
    part = study.path("part.safetensors")
    for _ in range(40):
        try:
            run_pretrain(study, part, max_seconds=0.0)
        except SystemExit as stopped:
            assert stopped.code == 75
            assert not part.exists()
        else:
            break
    assert part.read_bytes() == whole.read_bytes()


def test_a_resumed_run_with_another_rate_is_refused(study):
    out = study.path("e.safetensors")
    with pytest.raises(SystemExit):
        run_pretrain(study, out, max_seconds=0.0)
    faster = PretrainSettings(model=MODEL, training=TrainingSettings(**{**TRAINING, "learning_rate": 1e-2}))
    with pytest.raises(InputError, match="learning_rate"):
        run_pretrain(study, out, settings=faster)
    study.write_responses("bmd", "01", lambda values, rows: values + 1)
    with pytest.raises(InputError, match="data was"):
        run_pretrain(study, out)


def test_nan_in_a_response_is_named(study):
    def spoil(values, rows):
        values[int(np.flatnonzero(rows["split"] == "train")[0]), 3] = np.nan
        return values

    path = study.write_responses("bmd", "02", spoil)
    with pytest.raises(
        InputError, match=f"{path}: expected finite values, found NaN or infinity in row .*stimulus 'bmd-"
    ):
        run_pretrain(study, study.path("e.safetensors"))
    assert not study.path("e.safetensors").exists()


def test_a_training_stimulus_without_target_is_named(study):
    whole = artifacts.read(study.path("cc", "z.h5"), kind="targets")
    artifacts.write(study.path("cc", "z.h5"), whole.where(whole.rows["stimulus"] != "cc-03"))
    with pytest.raises(InputError, match=r"cc/z.h5: expected a target of split 'train' for stimulus 'cc-03' of 'cc'"):
        run_regress(study, study.path("z.safetensors"))


def test_a_dataset_without_targets_is_named(study):
    with pytest.raises(InputError, match=r"expected a target .* of 'cc', found none"):
        run_regress(study, study.path("z.safetensors"), targets=study.targets("z")[:1])


def test_simulated_and_real_data_do_not_mix(study, tmp_path):
    real = Study(tmp_path / "real", simulated=False)
    with pytest.raises(InputError, match="simulated"):
        run_pretrain(study, study.path("e.safetensors"), responses=[study.responses[0], real.responses[1]])
    with pytest.raises(InputError, match="simulated"):
        run_regress(study, study.path("z.safetensors"), targets=real.targets("z"))


def test_features_of_another_encoder_are_refused(study):
    for seed in (1, 2):
        encoder = run_pretrain(study, study.path(f"e{seed}.safetensors"), seed=seed)
        embed(encoder=encoder, responses=study.responses[:1], out=[study.path(f"x{seed}.h5")], threads=1)
    regressor = run_regress(
        study, study.path("z.safetensors"), features=[study.path("x1.h5")], targets=study.targets("z")[:1]
    )
    with pytest.raises(InputError, match=r"x2.h5: expected features of the regressor's encoder"):
        predict(regressor=regressor, features=[study.path("x2.h5")], out=[study.path("p.h5")], threads=1)


def test_responses_on_other_vertices_are_refused(study):
    encoder = run_pretrain(study, study.path("e.safetensors"))
    other = artifacts.read(study.responses[0], kind="responses")
    other = Samples("responses", other.values, other.rows, other.axes, "z", {**other.about, "space": "glasser41-xyz"})
    artifacts.write(study.responses[0], other)
    with pytest.raises(InputError, match="space"):
        embed(encoder=encoder, responses=study.responses[:1], out=[study.path("x.h5")], threads=1)


def test_an_encoder_of_other_vertices_is_refused_before_any_work(study):
    encoder = run_pretrain(study, study.path("e.safetensors"))
    shorter = artifacts.read(study.responses[0], kind="responses")
    path = study.path("shorter.h5")
    artifacts.write(path, Samples("responses", shorter.values[:, 1:], shorter.rows, ("vertex",), "z", shorter.about))
    expected = "e.safetensors: expected an encoder of 49 vertices as in .*shorter.h5, found one of 50"
    with pytest.raises(InputError, match=expected):
        embed(encoder=encoder, responses=[path], out=[study.path("x.h5")], threads=1)
    with pytest.raises(InputError, match=expected):
        run_align(study, encoder, study.path("a.safetensors"), responses=[path])
    with pytest.raises(InputError, match=expected):
        run_pretrain(study, study.path("p.safetensors"), responses=[path], init=encoder)
    assert not any(study.path(name).exists() for name in ("x.h5", "a.safetensors", "p.safetensors"))


def test_one_response_is_too_few_for_any_training(study):
    first = artifacts.read(study.responses[0], kind="responses")
    one = first.where(np.arange(len(first.rows)) == int(np.flatnonzero(first.rows["split"] == "train")[0]))
    path = study.path("one.h5")
    artifacts.write(path, one)
    encoder = run_pretrain(study, study.path("e.safetensors"))
    with pytest.raises(InputError, match="pretrain: expected at least a batch of 16 training rows, found 1"):
        run_pretrain(study, study.path("p.safetensors"), responses=[path])
    with pytest.raises(InputError, match="align: expected at least a batch of 16 training rows, found 1"):
        run_align(study, encoder, study.path("a.safetensors"), responses=[path])
    for model, settings in (("ridge", RIDGE), ("mlp", MLP)):
        with pytest.raises(InputError, match="expected responses to at least 2 training stimuli, found those to one"):
            run_regress(study, study.path("z.safetensors"), features=[path], model=model, settings=settings)


def test_a_contrast_of_single_rows_is_refused():
    training = TrainingSettings(**{**TRAINING, "accumulate": 16})
    with pytest.raises(InputError, match="at least two rows at a time, to contrast, found batch 16 with accumulate 16"):
        AlignSettings(loss=LOSS, **OFF, training=training)


@pytest.mark.parametrize("settings", [{"penalties": [1.0]}, {**RIDGE, "fold": 3}, {"penalties": "x", "folds": 2}])
def test_settings_with_missing_unknown_or_wrong_keys_are_refused(study, settings):
    with pytest.raises(InputError, match="settings"):
        run_regress(study, study.path("z.safetensors"), settings=json.loads(json.dumps(settings)))
