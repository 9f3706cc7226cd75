"""BMD and HAD from their series: every trial is estimated, named and scaled as the published betas are."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import compute_regressor

from brainflix import artifacts, atlas
from brainflix.datasets import bmd_series, had_series
from brainflix.datasets.bmd import Options
from brainflix.errors import InputError
from brainflix.settings import build
from brainflix.surfaces import cortex_axis, write_series
from tests.datasets import studies
from tests.models.test_glm import SETTINGS

RIDGE = replace(SETTINGS, estimator="ridge", ridge_penalty=1e-6, high_pass=0.01)
SPLIT = {"0001": "train", "0002": "train", "1001": "test"}
CHOSEN = np.arange(0, atlas.CORTEX, 997)


@pytest.fixture
def small_bmd(tmp_path, monkeypatch):
    """Two sessions of two train runs and a test run; (root, true responses by run and order of trials)."""
    monkeypatch.setattr(bmd_series, "SESSIONS", (2, 3))
    monkeypatch.setattr(bmd_series, "RUNS", {"train": 2, "test": 1})
    monkeypatch.setattr(bmd_series, "VOLUMES", {"train": 40, "test": 40})
    rng, true = np.random.default_rng(0), {}
    for session in (2, 3):
        for split, run in bmd_series._session(tmp_path, "01", session, RIDGE):
            clips = ["1001", "1001"] if split == "test" else list(rng.permutation(["0001", "0002"]))
            onsets, files = [8.0, 24.0, 40.0], [f"{split}/{clips[0]}.mp4", "n/a", f"{split}/{clips[1]}.mp4"]
            events = pd.DataFrame({"onset": onsets, "duration": 3.0, "stim_file": files})
            run.events.parent.mkdir(parents=True, exist_ok=True)
            events.to_csv(run.events, sep="\t", index=False)
            times = 1.75 * np.arange(40)
            design = [compute_regressor(([t], [3.0], [1.0]), "spm", times)[0][:, 0] for t in onsets]
            betas = session + rng.normal(size=(3, atlas.CORTEX))  # another mean in each session
            series = 500 * (1 + np.stack(design, axis=1) @ betas / 100)
            write_series(run.series, series, repetition_time=1.75, axis=cortex_axis())
            true[run.events.name.removesuffix("_events.tsv")] = (clips, betas[[0, 2]][:, CHOSEN])
    return tmp_path, true


def test_bmd_is_scaled_by_the_train_trials_of_each_session(small_bmd):
    root, true = small_bmd
    found = bmd_series.responses(root, "01", RIDGE, SPLIT, {"train": 4, "test": 4}, CHOSEN, nan_share=0.05)
    assert found.rows["run"].unique().tolist() == list(true)
    assert found.rows["stimulus"].tolist() == [clip for clips, _ in true.values() for clip in clips]
    assert found.rows.groupby("stimulus")["repeat"].apply(list).tolist() == [[1, 2, 3, 4]] * 3
    values, row = np.concatenate([block.values for block in found.blocks]), 0
    for session in ("ses-02", "ses-03"):
        runs = [betas for name, (_, betas) in true.items() if session in name]
        train = np.concatenate(runs[:2])
        expected = (np.concatenate(runs) - train.mean(axis=0)) / train.std(axis=0, ddof=1)
        part, row = values[row : row + len(expected)], row + len(expected)
        assert part[:4].mean(axis=0) == pytest.approx(0, abs=1e-4)
        assert part[:4].std(axis=0, ddof=1) == pytest.approx(1, abs=1e-4)
        assert np.median(np.abs(part - expected)) < 0.05


def test_bmd_names_what_its_events_get_wrong(small_bmd):
    root, _ = small_bmd
    ask = (root, "01", RIDGE)
    with pytest.raises(InputError, match="expected clip 0001 3 times in the events, found 4"):
        bmd_series.responses(*ask, SPLIT, {"train": 3, "test": 4}, CHOSEN, nan_share=0.05)
    with pytest.raises(InputError, match="expected train clips, found 0001: test"):
        bmd_series.responses(*ask, {**SPLIT, "0001": "test"}, {"train": 4, "test": 4}, CHOSEN, nan_share=0.05)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"betas": "series"}, "glm: expected settings with betas: series"),
        ({"glm": vars(RIDGE)}, "glm: expected settings with betas: series, and null otherwise"),
        ({"betas": "series", "glm": {**vars(RIDGE), "estimator": "glmsingle"}}, "lss or ridge"),
    ],
)
def test_options_that_do_not_go_together_are_refused(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        build(Options, {**studies.BMD, **changes}, where="options")


def test_had_by_our_glm_holds_the_true_responses(phantom_root):
    """One cycle of the simulated study, its lead-in of 12 s added: correlation as the written ncsnr allows."""
    root, vertices = phantom_root("had"), np.sort(atlas.vertices("glasser41"))[::8]
    features = artifacts.read(root / "phantom/features.h5", kind="features")
    clips = [name.split("/")[-1].removesuffix(".mp4") for name in features.rows["stimulus"]]
    settings = replace(RIDGE, ridge_penalty=0.1, high_pass=0.005)
    ask = (root, "01", range(1, 2), settings)
    found = had_series.responses(*ask, dict.fromkeys(clips, "train"), vertices, nan_share=0.05)
    values = np.concatenate([block.values for block in found.blocks])
    assert values.shape == (180, len(vertices)) and len(had_series.files(*ask)) == 6
    truth, _ = artifacts.load_weights(root / "phantom/truth-sub-01.safetensors", kind="phantom-truth")
    order = [clips.index(clip) for clip in found.rows["stimulus"]]
    signal = features.values[order] @ truth["tuning"][vertices].astype(np.float32).T
    z = [(x - x.mean(axis=0)) / x.std(axis=0) for x in (values, signal)]
    ncsnr = truth["ncsnr"][vertices]
    assert (z[0] * z[1]).mean() == pytest.approx((ncsnr / np.sqrt(1 + ncsnr**2)).mean(), abs=0.05)


def test_had_chooses_no_response_by_test_trials(phantom_root):
    root = phantom_root("had")
    features = artifacts.read(root / "phantom/features.h5", kind="features")
    clips = [name.split("/")[-1].removesuffix(".mp4") for name in features.rows["stimulus"]]
    library, split_of = replace(RIDGE, hrf="library"), dict.fromkeys(clips, "test")
    found = had_series.responses(root, "01", range(1, 2), library, split_of, CHOSEN, nan_share=0.05)
    with pytest.raises(InputError, match="a run without test trials to choose by, found test trials in every run"):
        next(iter(found.blocks))
