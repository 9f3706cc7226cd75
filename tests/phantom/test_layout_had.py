"""The simulated Human Action Dataset, file by file, against what is known of OpenNeuro ds004488 1.1.1."""

import re
from pathlib import Path

import av
import nibabel as nib
import numpy as np
import pandas as pd
import pytest

RESULTS = "derivatives/ciftify/sub-01/results"


@pytest.fixture(scope="module")
def root(phantom_root):
    return phantom_root("had")


@pytest.fixture(scope="module")
def events(root):
    """Raw events by run number; raw names have two digits."""
    name = "sub-01/ses-action01/func/sub-01_ses-action01_task-action_run-{:02d}_events.tsv"
    return {run: pd.read_csv(root / name.format(run), sep="\t") for run in (1, 2, 3)}


def test_events_have_the_columns_of_version_1_1_1(events):
    for table in events.values():
        assert list(table) == ["onset", "duration", "trial_type", "response", "response_time", "stim_file"]
        assert len(table) == 60
        assert set(table["response"]) <= {1, -1}
        assert table["onset"].between(0, 280.05).all() and (np.diff(table["onset"]) > 3.9).all()
        assert table["duration"].between(1.9, 2.1).all()


def test_every_class_comes_once_in_a_cycle_and_matches_its_folder(root, events):
    table = pd.concat(events.values())
    assert sorted(table["trial_type"]) == [float(i) for i in range(1, 181)]
    folders = sorted(p.name for p in (root / "stimuli").iterdir())  # ASCII order
    assert len(folders) == 180 and any(" " in name for name in folders)
    assert (folders[0], folders[3], folders[45], folders[179]) == ("Archery", "BMX", "Drum corps", "Zumba")
    for label, file in zip(table["trial_type"], table["stim_file"], strict=True):
        folder, name = file.split("/")
        assert folder == folders[int(label) - 1]
        assert re.fullmatch(rf"v_{re.escape(folder)}_id_[\w-]{{11}}_start_\d+\.\d_label_1\.mp4", name)
        assert (root / "stimuli" / file).exists()


def test_clips_last_two_seconds(root):
    for path in sorted((root / "stimuli").rglob("*.mp4"))[::30]:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert len(list(container.decode(video=0))) / stream.average_rate == 2


def test_results_have_unpadded_runs_without_a_subject_prefix(root):
    expected = {f"ses-action01_task-action_run-{run}_Atlas.dtseries.nii" for run in (1, 2, 3)}
    expected |= {f"ses-action01_task-action_cycle-1_{what}" for what in ("beta.dscalar.nii", "label.txt")}
    assert {p.name for p in (root / RESULTS).iterdir()} == expected


def test_series_have_156_volumes_of_two_seconds(root):
    for run in (1, 2, 3):
        image = nib.load(root / RESULTS / f"ses-action01_task-action_run-{run}_Atlas.dtseries.nii")
        assert image.shape == (156, 91_282) and image.get_data_dtype() == np.float32
        assert image.header.get_axis(0).step == 2.0
        assert b"simulated" in image.nifti_header["descrip"].item()


def test_betas_are_180_maps_of_the_cortex_in_the_order_of_the_classes(root):
    stem = root / RESULTS / "ses-action01_task-action_cycle-1"
    image = nib.load(f"{stem}_beta.dscalar.nii")
    assert image.shape == (180, 59_412) and image.get_data_dtype() == np.float32
    labels = Path(f"{stem}_label.txt").read_text().splitlines()
    folders = sorted(p.name for p in (root / "stimuli").iterdir())
    assert len(labels) == 180
    assert all((root / "stimuli" / folder / label).exists() for folder, label in zip(folders, labels, strict=True))


def test_betas_follow_from_the_series_by_an_independent_model_with_the_lead_in(root, events):
    """Least squares with nilearn's own SPM regressors, onset + 12 s; without the 12 s nothing agrees."""
    from nilearn.glm.first_level import make_first_level_design_matrix

    stem = root / RESULTS / "ses-action01_task-action"
    written = np.asanyarray(nib.load(f"{stem}_cycle-1_beta.dscalar.nii").dataobj)[:, :100]

    def agreement(lead_in):
        ours = np.zeros_like(written)
        for run, table in events.items():
            series = np.asanyarray(nib.load(f"{stem}_run-{run}_Atlas.dtseries.nii").dataobj)[:, :100]
            trials = pd.DataFrame(
                {
                    "onset": table["onset"] + lead_in,
                    "duration": table["duration"],
                    "trial_type": [f"t{int(c):03d}" for c in table["trial_type"]],
                }
            )
            design = make_first_level_design_matrix(
                2.0 * np.arange(156), trials, hrf_model="spm", drift_model="polynomial", drift_order=2
            )
            betas = np.linalg.lstsq(design.to_numpy(), series, rcond=None)[0]
            for i, name in enumerate(design.columns[:60]):
                ours[int(name[1:]) - 1] = betas[i]
        return np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, written.T, strict=True)])

    assert agreement(12.0) > 0.8
    assert agreement(0.0) < 0.3
