"""The simulated MOSAIC files, against what MOSAIC's own packing writes for BMD."""

import json
import re

import h5py
import numpy as np
import pytest

COUNTS = {"train": (8, 3), "test": (4, 4)}


@pytest.fixture(scope="module")
def root(phantom_root):
    return phantom_root("mosaic")


@pytest.fixture(scope="module")
def file(root):
    with h5py.File(root / "sub-01_BMD.hdf5") as opened:
        yield opened


def test_the_file_has_groups_and_attributes_of_a_subject(file):
    assert set(file) == {"betas", "nan_indices_all"}
    assert (file.attrs["subjectID"], file.attrs["dataset_name"]) == ("sub-01", "BOLDMomentsDataset")
    assert {"preprocessing_pipeline", "beta_pipeline", "publication_url", "owner_name"} <= set(file.attrs)
    assert file.attrs["simulated"]


def test_trials_are_named_test_first_with_repeats_from_0(root, file):
    annotations = json.loads((root / "derivatives/stimuli_metadata/annotations.json").read_text())
    stems = {clip: entry["MiT_filename"].split("/")[-1].removesuffix(".mp4") for clip, entry in annotations.items()}
    expected = [
        f"sub-01_BMD_stimulus-{stems[f'{first + i:04d}']}_phase-{split}_rep-{repeat}"
        for split, first in (("test", 1001), ("train", 1))
        for i in range(COUNTS[split][0])
        for repeat in range(COUNTS[split][1])
    ]
    assert list(file["betas"]) == expected
    for clip, entry in annotations.items():
        assert (root / "stimuli" / entry["set"] / f"{clip}.mp4").exists()


def test_a_trial_is_a_vector_of_doubles_that_says_again_what_its_name_does(file):
    for name, trial in file["betas"].items():
        stem, split, repeat = re.fullmatch(r"sub-01_BMD_stimulus-(.+)_phase-(\w+)_rep-(\d)", name).groups()
        assert trial.shape == (91_282,) and trial.dtype == np.float64
        assert (trial.attrs["phase"], trial.attrs["repetition"]) == (split, int(repeat))
        assert trial.attrs["presented_stimulus_filename"] == f"{stem}.mp4"
        assert np.array_equal(trial.attrs["nan_indices"], np.flatnonzero(~np.isfinite(trial[...])))
    assert set(file["nan_indices_all"][...]) == set(trial.attrs["nan_indices"]) != set()


def test_repeats_of_a_clip_resemble_each_other_more_than_other_clips(file):
    """In the early visual areas of the known brain."""
    from brainflix.phantom.brain import groups

    early = groups() == "early"
    trials = np.stack([t[...][: len(early)][early] for n, t in file["betas"].items() if "phase-test" in n])
    trials = np.nan_to_num(trials).reshape(4, 4, -1)
    same = np.mean([np.corrcoef(clip)[np.triu_indices(4, 1)].mean() for clip in trials])
    other = np.mean([np.corrcoef(trials[:, r])[np.triu_indices(4, 1)].mean() for r in range(4)])
    assert same > other + 0.05
