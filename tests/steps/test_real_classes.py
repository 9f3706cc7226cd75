"""Describe, generate and evaluate with the real model classes: random weights, except the classifier's."""

import numpy as np
import pytest

from brainflix import artifacts
from brainflix.artifacts import Samples
from brainflix.steps.describe import describe
from brainflix.steps.evaluate import evaluate
from brainflix.steps.extract import extract
from brainflix.steps.generate import generate
from tests.frozen.models import SIZES, save_blip, save_generator

from . import study, test_describe, test_evaluate, test_generate

TOKENS = (SIZES.pixels // SIZES.patch) ** 2 + 1
SHAPES = {"z": (4, 3, 4, 4), "b": (TOKENS, SIZES.width)}


@pytest.fixture(scope="module")
def folder(toy, tmp_path_factory):
    """Checkpoints, and targets of the shapes that they take."""
    path = tmp_path_factory.mktemp("real")
    save_generator(path / "generator")
    save_blip(path / "blip")
    rows = artifacts.read(toy / "z.h5", kind="targets", load=False).rows
    for key, shape in SHAPES.items():
        values = np.random.default_rng(4).standard_normal((len(rows), *shape)).astype(np.float32)
        about = {**study.ABOUT, "model": "random", "settings": {}}
        artifacts.write(path / f"{key}.h5", Samples("targets", values, rows, study.AXES[key], "1", about))
    (path / "phantom.json").write_text("{}")
    extract(
        name="toy",
        dataset="toy",
        root=path,
        stimuli=toy / "stimuli.tsv",
        target_kind="classes",
        backbone="efficientnet-lite0",
        settings={"frames": 2, "pixels": study.PIXELS, "precision": "float32"},
        threads=1,
        out=path / "y.h5",
    )
    return path


@pytest.mark.slow
def test_from_embeddings_to_scores(toy, folder, tmp_path):
    describe(
        stimuli=toy / "stimuli.tsv",
        condition=folder / "b.h5",
        captioner=str(folder / "blip"),
        settings=test_describe.SETTINGS,
        clips=3,
        clips_seed=0,
        threads=1,
        out=tmp_path / "captions.tsv",
    )
    captions = artifacts.read_table(tmp_path / "captions.tsv", columns=["stimulus", "caption"])
    assert captions["caption"].str.split().str.len().between(1, 20).all()
    generate(
        captions=tmp_path / "captions.tsv",
        latents=folder / "z.h5",
        targets=folder / "z.h5",
        generator=str(folder / "generator"),
        variant="oracle",
        subject="any",
        settings=test_generate.SETTINGS,
        seed=0,
        checkpoints=tmp_path / "checkpoints",
        threads=1,
        out=tmp_path / "videos.h5",
    )
    videos = artifacts.read(tmp_path / "videos.h5", kind="videos")
    assert videos.values.shape == (3, 3, 32, 32, 3) and list(videos.rows["stimulus"]) == list(captions["stimulus"])
    evaluate(
        videos=tmp_path / "videos.h5",
        stimuli=toy / "stimuli.tsv",
        classes=folder / "y.h5",
        classifier="efficientnet-lite0",
        b_predictions=folder / "b.h5",
        b_targets=folder / "b.h5",
        settings=test_evaluate.SETTINGS,
        threads=1,
        out=tmp_path / "scores.csv",
    )
    scores = artifacts.read_table(tmp_path / "scores.csv", columns=test_evaluate.COLUMNS)
    assert np.isfinite(scores[["value", "chance"]].to_numpy(float)).all()
    assert (scores.loc[scores["metric"] == "b_mse", "value"] == 0).all()
    assert len(scores[scores["metric"] == "nway_50_top1"]) == 3
