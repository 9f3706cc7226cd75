"""A real resting-state run as an HCP subject: checked, parcellated, and learned from by masked brain modelling."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from brainflix import artifacts, atlas
from brainflix.datasets.hcp import REPETITION_TIME_SECONDS
from brainflix.errors import InputError
from brainflix.models.mbm import MbmSettings
from brainflix.steps.check import check
from brainflix.steps.index import index
from brainflix.steps.parcellate import parcellate
from brainflix.steps.pretrain import PretrainSettings, pretrain
from brainflix.training import TrainingSettings
from tests.datasets import raw
from tests.real import rest
from tests.real.downloads import fetch

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SHA256 = "aec3854a9ad2ed8f05ee4da04943307833135320c990688ba7f16def1ce0132c"
SUBJECT, RUN, VOLUMES, WINDOW = "010188", "REST1_LR", 600, 10
OPTIONS = {"runs": [RUN], "window_volumes": WINDOW, "window_seconds": None, "nan_share": 0.05}
MODEL = MbmSettings(
    patch=64, width=64, depth=1, heads=4, mlp_ratio=1.0, decoder_width=32, decoder_depth=1, decoder_heads=4,
    mask_ratio=0.5, pool="patches",
)  # fmt: skip
TRAINING = TrainingSettings(
    epochs=20, batch=15, accumulate=1, learning_rate=2e-3, warmup_epochs=1, weight_decay=0.05, betas=(0.9, 0.95),
    clip_norm=0.8, precision="float32", compile=False, blocks=None,
)  # fmt: skip


def place(root: Path, subject: str) -> Path:
    folder = root / subject / "MNINonLinear/Results" / f"rfMRI_{RUN}"
    return folder / f"rfMRI_{RUN}_Atlas_MSMAll_hp2000_clean.dtseries.nii"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """(root, series (91282, 600)): the run at HCP's repetition time, its cortex real, without a subcortex."""
    folder = tmp_path_factory.mktemp("rest")
    wheel = fetch("brainspace==0.3.0", tmp_path_factory.mktemp("brainspace"), sha256=SHA256)
    cortex = rest.at_times(rest.cortex_series(wheel, folder), REPETITION_TIME_SECONDS)[:, :VOLUMES]
    series = np.zeros((atlas.GRAYORDINATES, VOLUMES), np.float32)
    series[: atlas.CORTEX] = cortex
    root = folder / "HCP_1200"
    raw.write_series(place(root, SUBJECT), series.T, step_seconds=REPETITION_TIME_SECONDS)
    # Another subject, as it was recorded: another repetition time than HCP's.
    raw.write_series(place(root, "010189"), series.T[:WINDOW], step_seconds=rest.REPETITION_TIME_SECONDS)
    return root, series


@pytest.fixture(scope="module")
def responses(study, tmp_path_factory):
    """The file that parcellate makes of it."""
    root, _ = study
    folder = tmp_path_factory.mktemp("results")
    ask = {"dataset": "hcp", "root": root, "subjects": [SUBJECT], "options": OPTIONS}
    index(**ask, out=folder / "stimuli.tsv")
    parcellate(name="hcp", **ask, stimuli=folder / "stimuli.tsv", out=folder / "responses.h5")
    return folder / "responses.h5"


def run_check(root, subject, tmp_path, capsys):
    overlay = tmp_path / "overlay.yaml"
    entry = {"root": str(root), "subjects": [subject], "options": OPTIONS}
    overlay.write_text(yaml.safe_dump({"datasets": {"hcp": entry}}))
    with contextlib.suppress(InputError):  # raised after the report is printed
        check(configfile=[overlay], only=["hcp"], json=True, paper=ROOT / "config/paper.yaml")
    return json.loads(capsys.readouterr().out)["datasets"]["hcp"]


def test_check_finds_it_right(study, tmp_path, capsys):
    report = run_check(study[0], SUBJECT, tmp_path, capsys)
    assert report["ok"] and report["state"] == "real" and report["found"] == {"responses": 1}
    assert report["bytes"] > 4 * VOLUMES * atlas.GRAYORDINATES


def test_check_notices_that_it_was_recorded_at_another_rate(study, tmp_path, capsys):
    report = run_check(study[0], "010189", tmp_path, capsys)
    assert not report["ok"] and "expected a repetition time of 0.72 s, found 1.4 s" in report["problems"][0]


def test_rows_are_windows_of_the_scaled_run(study, responses):
    samples = artifacts.read(responses, kind="responses")
    assert samples.values.shape == (VOLUMES // WINDOW, 13_156) and samples.about["simulated"] is False
    assert samples.about["nan_vertices"] == [0], "every vertex of the 41 areas carries a signal"
    vertices = atlas.vertices("glasser41")[:500]
    scaled = stats.zscore(study[1][vertices].astype(float), axis=1)
    expected = scaled.reshape(len(vertices), -1, WINDOW).mean(axis=2).T
    assert np.allclose(samples.values[:, :500], expected, atol=1e-4)


def test_areas_resemble_their_twins_in_the_other_hemisphere(responses):
    """What is known of any resting brain, and is lost if vertices are mixed up anywhere on the way."""
    values, vertices = artifacts.read(responses, kind="responses").values, atlas.vertices("glasser41")
    courses = {"left": [], "right": []}
    for columns in atlas.roi_slices("glasser41").values():
        is_left = vertices[columns] < atlas.LEFT_CORTEX
        courses["left"].append(values[:, columns][:, is_left].mean(axis=1))
        courses["right"].append(values[:, columns][:, ~is_left].mean(axis=1))
    n = len(courses["left"])
    between = np.corrcoef(courses["left"], courses["right"])[:n, n:]
    assert between[0, 0] > 0.9, "V1"
    assert np.diag(between).mean() > between.mean() + 0.3


def test_masked_brain_modelling_learns_from_it(responses, tmp_path):
    pretrain(
        responses=[responses],
        out=tmp_path / "encoder.safetensors",
        settings=PretrainSettings(model=MODEL, training=TRAINING),
        seed=0,
        checkpoints=tmp_path / "checkpoints",
        threads=1,
    )
    loss = pd.read_csv(tmp_path / "checkpoints/curve.csv")["loss"]
    assert loss.iloc[-1] < 0.8 * loss.iloc[0], loss.tolist()
    weights, header = artifacts.load_weights(tmp_path / "encoder.safetensors", kind="encoder")
    assert header["simulated"] is False and header["vertices"] == 13_156
    assert all(np.isfinite(array).all() for array in weights.values())
