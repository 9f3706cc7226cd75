"""Zero-shot on a small phantom: of the subject who is decoded, training rows reach no byte of anything."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from brainflix import artifacts, paths
from brainflix import config as names
from brainflix.artifacts import Samples
from brainflix.config import Binding
from brainflix.settings import build
from brainflix.steps.align import AlignSettings, align
from brainflix.steps.embed import embed
from brainflix.steps.index import index
from brainflix.steps.parcellate import parcellate
from brainflix.steps.predict import predict
from brainflix.steps.pretrain import PretrainSettings, pretrain
from brainflix.steps.regress import regress
from tests.workflow.conftest import ROOT

HELD_OUT = Binding("bmd", "01")
REGRESSOR, ENCODERS = "zero-shot-brainflix", ("mbm-zero-shot", "aligned-zero-shot-brainflix")
OPTIONS = {
    "betas": "versionB", "glm": None, "train_clips": 40, "test_clips": 4, "train_repeats": 3, "test_repeats": 2,
    "nan_share": 0.05,
}  # fmt: skip
SMALL = {
    "pretrain": {
        "model": {"patch": 1645, "width": 16, "depth": 1, "heads": 2, "decoder_width": 8, "decoder_depth": 1,
                  "decoder_heads": 2},
        "training": {"epochs": 1, "batch": 16, "warmup_epochs": 0, "precision": "float32"},
    },
    "align": {"training": {"epochs": 2, "batch": 16, "warmup_epochs": 0, "precision": "float32"}, "mbm_weight": 0.1},
    "recipes": {"brainflix": {"adapter_rank": 2, "projector_hidden": 8}},
    "mlp": {"hidden": 8, "blocks": 1, "training": {"epochs": 1, "batch": 16}},
}  # fmt: skip


@pytest.fixture(scope="module")
def config():
    """The paper's, of a dataset with two subjects, with small networks."""
    found = names.load([ROOT / "config" / "paper.yaml"])
    names._lay_over(found, SMALL)
    found["datasets"]["bmd"]["subjects"] = ["01", "02"]
    found["cohorts"]["hcp-others"] = {"own-dataset": "others"}
    return found


@pytest.fixture(scope="module")
def study(phantom_root, tmp_path_factory):
    """Responses of both subjects to a simulated BMD, and targets of its clips."""
    folder, root = tmp_path_factory.mktemp("zero-shot") / "results/bmd", phantom_root("bmd")
    common = {"dataset": "bmd", "root": root, "options": OPTIONS}
    (folder / "responses").mkdir(parents=True)
    index(**common, subjects=["01", "02"], out=folder / "stimuli.tsv")
    for subject in ("01", "02"):
        stem = folder / "responses" / f"sub-{subject}"
        parcellate(
            name="bmd", **common, subjects=[subject], stimuli=folder / "stimuli.tsv",
            out=stem.with_suffix(".h5"), qc=stem.with_suffix(".qc.tsv"),
        )  # fmt: skip
    rows = artifacts.read_table(folder / "stimuli.tsv", columns=["stimulus", "split"])[["stimulus", "split"]]
    (folder / "targets").mkdir()
    for target, count, shape, more in (("e-openclip-each", 2, (9,), {"each": True}), ("b-blip", 1, (3, 4), {})):
        table = pd.DataFrame(np.repeat(rows.to_numpy(), count, axis=0), columns=rows.columns)
        values = np.random.default_rng(count).standard_normal((len(table), *shape)).astype(np.float32)
        axes = ("token", "width")[-len(shape) :]
        about = {"dataset": "bmd", "simulated": True, "model": target, "revision": "0", "settings": {}, **more}
        artifacts.write(folder / "targets" / f"{target}.h5", Samples("targets", values, table, axes, "1", about))
    return folder.parents[1]


def fit(config, folder):
    """Encoders and regressor for the held-out subject, from the files that the config says; returns theirs."""
    made = []
    for encoder in ENCODERS:
        at = wildcards(config, "encoders", encoder, encoder=encoder)
        out = folder / paths.ENCODER.format(**vars(at)) / "encoder.safetensors"
        common = {"seed": 0, "threads": 1, "out": out, "checkpoints": folder / "checkpoints" / encoder}
        common["responses"] = inside(folder, paths.learned_responses(config, at))
        if "init" in config["encoders"][encoder]:
            [common["init"]] = inside(folder, paths.initial_encoder(config, at))
            common |= {"targets": inside(folder, paths.learned_texts(config, at))}
            align(**common, settings=build(AlignSettings, names.alignment(config, encoder), where="settings"))
        else:
            pretrain(**common, settings=build(PretrainSettings, config["pretrain"], where="settings"))
        made.append(out)
    at = wildcards(config, "regressors", REGRESSOR, regressor=REGRESSOR, target="b-blip")
    features = inside(folder, paths.learned_features(config, at))
    for path in features:
        embedded(folder, made[-1], path)
    out = folder / paths.REGRESSOR.format(**vars(at)) / "b-blip.safetensors"
    regress(
        features=features, targets=inside(folder, paths.learned_targets(config, at)), model="mlp",
        settings=config["mlp"], seed=0, out=out, checkpoints=folder / "checkpoints" / REGRESSOR, threads=1,
    )  # fmt: skip
    return [*made, out]


def wildcards(config, layer, name, **more):
    return SimpleNamespace(scope=names.scope(config, layer, name, HELD_OUT), seed=0, **more)


def inside(folder, found):
    return [folder / path for path in found]


def embedded(folder, encoder, path):
    """Write the embeddings at ``path``, whose name says of whom."""
    embed(encoder=encoder, responses=[folder / "results/bmd/responses" / path.name], out=[path], threads=1)
    return path


def decode(folder, made):
    """Predictions for the held-out subject."""
    features = embedded(folder, made[1], made[1].parent / "bmd" / "sub-01.h5")
    predict(regressor=made[2], features=[features], out=[folder / "b.h5"], threads=1)
    return folder / "b.h5"


def linked(study, folder, change):
    """The study with the training rows of the held-out subject changed."""
    for file in study.rglob("*.*"):
        target = folder / file.relative_to(study)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(file)
    path = folder / "results/bmd/responses/sub-01.h5"
    samples = artifacts.read(path, kind="responses")
    samples.values[samples.rows["split"] == "train"] = change
    path.unlink()
    artifacts.write(path, samples)
    return folder


def test_the_training_rows_of_the_held_out_subject_reach_nothing(config, study, tmp_path):
    made = fit(config, study)
    assert all("not-bmd-01" in str(path) for path in made)
    other = linked(study, tmp_path / "changed", 1e3)
    again = fit(config, other)
    assert [p.read_bytes() for p in made] == [p.read_bytes() for p in again]
    assert decode(study, made).read_bytes() == decode(other, again).read_bytes()


def test_training_rows_of_the_held_out_subject_that_are_no_numbers_are_never_read(config, study, tmp_path):
    made = fit(config, study)
    poisoned = fit(config, linked(study, tmp_path / "poisoned", np.nan))  # reading them would be refused
    assert [p.read_bytes() for p in made] == [p.read_bytes() for p in poisoned]


def test_the_held_out_subject_is_decoded_through_the_adapters_of_others(config, study):
    made = fit(config, study)
    header = artifacts.load_weights(made[1], kind="encoder")[1]
    assert header["adapters"] == [["bmd", "02"]]
    predictions = artifacts.read(decode(study, made), kind="predictions")
    assert predictions.values.shape == (4, 3, 4) and predictions.about["subject"] == "01"
    assert predictions.about["regressor"]["on"] == [["bmd", "02"]]
