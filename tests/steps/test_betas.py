"""Single-trial betas from files: known responses come back, and the simulated HAD's as well as its noise allows."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import compute_regressor

from brainflix import artifacts, atlas, surfaces
from brainflix.datasets.recordings import Recording
from brainflix.datasets.series import read_run
from brainflix.errors import InputError
from brainflix.models import glm
from brainflix.models.glm_settings import GlmSettings
from brainflix.steps.betas import betas

SETTINGS = GlmSettings(
    estimator="ridge",
    ridge_penalty=1e-9,
    hrf="canonical",
    high_pass=0.01,
    slice_time=0.0,
    onset_shift_seconds=2.0,
    confounds=("motion", "wm_csf"),
    motion="basic",
)
VOLUMES, SECONDS, TRIALS = 60, 2.0, 8
COLUMNS = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"] + ["csf", "white_matter"]


def write_run(folder, number, rng):
    """A run of 59,412 vertices: trials of known response, an oddball, motion; its betas (8, 59412) in percent."""
    onsets = np.arange(9) * 12.0 + rng.uniform(0, 1, 9)
    names = [f"{number}-{i}.mp4" for i in range(4)] + ["n/a"] + [f"{number}-{i}.mp4" for i in range(4, 8)]
    events = pd.DataFrame({"onset": onsets, "duration": 2.0, "stim_file": names})
    events.to_csv(folder / f"run-{number}_events.tsv", sep="\t", index=False)
    times = SECONDS * np.arange(VOLUMES)
    design = np.stack([compute_regressor(([t + 2], [2.0], [1.0]), "spm", times)[0][:, 0] for t in onsets], axis=1)
    true = rng.normal(size=(9, atlas.CORTEX)).astype(np.float32)
    motion = rng.normal(size=(VOLUMES, 8))
    percent = design @ true + motion @ rng.normal(size=(8, atlas.CORTEX)) * 0.5
    series = 1000 * (1 + percent / 100)
    series[:, 7] = 1000.0  # a vertex without signal
    path = folder / f"run-{number}.dtseries.nii"
    surfaces.write_series(path, series, repetition_time=SECONDS, axis=surfaces.cortex_axis())
    confounds = pd.DataFrame(motion, columns=COLUMNS)
    confounds["framewise_displacement"] = np.nan
    confounds.to_csv(folder / f"run-{number}_desc-confounds_timeseries.tsv", sep="\t", index=False, na_rep="n/a")
    return np.delete(true, 4, axis=0)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two runs in a folder, and their betas (16, 59412)."""
    folder, rng = tmp_path_factory.mktemp("task"), np.random.default_rng(0)
    return folder, np.concatenate([write_run(folder, number, rng) for number in (1, 2)])


def ask(folder, out, settings=SETTINGS, **changes):
    files = {
        "series": [folder / f"run-{n}.dtseries.nii" for n in (1, 2)],
        "events": [folder / f"run-{n}_events.tsv" for n in (1, 2)],
        "confounds": [folder / f"run-{n}_desc-confounds_timeseries.tsv" for n in (1, 2)],
    }
    outputs = {"out": out / "b.dscalar.nii", "trials": out / "t.tsv", "hrf": out / "h.dscalar.nii"}
    betas(**{**files, "label": "stim_file", "settings": settings, **outputs, **changes})
    return nib.load(outputs["out"])


def test_known_responses_come_back_with_their_names(study, tmp_path):
    folder, true = study
    image = ask(folder, tmp_path)
    found = image.get_fdata()
    assert np.isnan(found[:, 7]).all()
    alive = np.arange(atlas.CORTEX) != 7
    scale = np.polyfit(true[:, alive].ravel(), found[:, alive].ravel(), 1)[0]
    assert scale == pytest.approx(1, abs=0.02)  # percent of the run's mean, not of the baseline
    assert np.corrcoef(true[:, alive].ravel(), found[:, alive].ravel())[0, 1] > 0.995
    trials = artifacts.read_table(tmp_path / "t.tsv", columns=["run", "onset", "duration", "stimulus"])
    expected = [f"{run}-{i}.mp4" for run in (1, 2) for i in range(TRIALS)]
    assert list(trials["stimulus"]) == list(image.header.get_axis(0).name) == expected
    assert trials["run"].tolist() == ["run-1"] * 8 + ["run-2"] * 8 and (trials["onset"] >= 2).all()
    assert (nib.load(tmp_path / "h.dscalar.nii").get_fdata() == 1).all()


def test_without_confounds_motion_stays_in_the_betas(study, tmp_path):
    folder, true = study
    found = ask(folder, tmp_path, replace(SETTINGS, confounds=()), confounds=None).get_fdata()
    alive = np.arange(atlas.CORTEX) != 7
    assert np.corrcoef(true[:, alive].ravel(), found[:, alive].ravel())[0, 1] < 0.9


def test_the_simulated_had_is_estimated_as_well_as_its_noise_allows(phantom_root):
    """Correlation over trials of estimate and true response: ncsnr / sqrt(1 + ncsnr^2), averaged within .05."""
    root = phantom_root("had")
    results, func = root / "derivatives/ciftify/sub-01/results", root / "sub-01/ses-action01/func"
    settings = replace(SETTINGS, ridge_penalty=0.1, onset_shift_seconds=12.0, confounds=(), high_pass=0.005)
    vertices, estimates, names = np.sort(atlas.vertices("glasser41"))[::8], [], []
    for number in (1, 2, 3):
        recording = Recording(
            results / f"ses-action01_task-action_run-{number}_Atlas.dtseries.nii",
            func / f"sub-01_ses-action01_task-action_run-{number:02d}_events.tsv",
            None,
        )
        run, series = read_run(recording, settings=settings, label="stim_file", vertices=vertices)
        chosen = np.zeros(len(vertices), int)
        estimates.append(glm.single_trials(run, series, glm.canonical(), chosen, settings=settings))
        names += run.names
    features = artifacts.read(root / "phantom/features.h5", kind="features")
    row = {name: i for i, name in enumerate(features.rows["stimulus"])}
    truth, _ = artifacts.load_weights(root / "phantom/truth-sub-01.safetensors", kind="phantom-truth")
    signal = features.values[[row[name] for name in names]] @ truth["tuning"][vertices].astype(np.float32).T
    z = [(x - x.mean(axis=0)) / x.std(axis=0) for x in (np.concatenate(estimates), signal)]
    found, ncsnr = (z[0] * z[1]).mean(axis=0), truth["ncsnr"][vertices]
    expected = ncsnr / np.sqrt(1 + ncsnr**2)
    assert found.mean() == pytest.approx(expected.mean(), abs=0.05)
    assert np.corrcoef(found, expected)[0, 1] > 0.8


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"events": ["run-1_events.tsv"]}, "events: expected 2 files, one per run, found 1"),
        ({"events": ["run-1_events.tsv", "nothing.tsv"]}, "nothing.tsv: expected a file of the run, found nothing"),
        (
            {"label": "trial_type"},
            "run-1_events.tsv: expected columns onset, duration, trial_type, found no trial_type",
        ),
        ({"confounds": None}, "confounds: expected a table of confounds for each run, found none"),
        ({"confounds": ["run-1.dtseries.nii"] * 2}, "expected a name that ends in _desc-confounds_timeseries.tsv"),
        ({"settings": {"confounds": ("compcor",)}}, "expected fMRIPrep's confounds for compcor"),
        ({"settings": {"onset_shift_seconds": 90.0}}, "run-1_events.tsv: expected onsets from 0 s"),
        ({"settings": {"hrf": "library"}}, "learn-from: expected the runs without test trials"),
        ({"settings": {"hrf": "library"}, "learn_from": [3]}, "learn-from: expected runs 1 to 2, found 3"),
        ({"settings": {"estimator": "glmsingle"}, "learn_from": [1]}, "every run, as glmsingle chooses"),
        ({"series": ["maps.dscalar.nii"] * 2}, "maps.dscalar.nii: expected a series with a repetition time"),
    ],
)
def test_wrong_input_is_refused_in_one_sentence(study, tmp_path, changes, sentence):
    folder, _ = study
    if "series" in changes:
        surfaces.write_maps(folder / "maps.dscalar.nii", np.ones((2, atlas.CORTEX)), ["a", "b"])
    files = {
        k: [folder / name for name in v] for k, v in changes.items() if k in ("events", "confounds", "series") and v
    }
    settings = replace(SETTINGS, **changes.get("settings", {}))
    with pytest.raises(InputError) as error:
        ask(folder, tmp_path, **{**changes, **files, "settings": settings})
    assert sentence in str(error.value) and "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
