"""One tiny study per dataset, spelt out by hand in the published layout; each returns what it wrote."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import h5py
import numpy as np

from tests.datasets import raw

BMD = {
    "betas": "versionB",
    "glm": None,
    "train_clips": 4,
    "test_clips": 2,
    "train_repeats": 2,
    "test_repeats": 3,
    "nan_share": 0.05,
}
HAD = {"cycles": 2, "split": "seeded", "split_seed": 0, "glm": None, "nan_share": 0.05}
CC2017 = {
    "train_segments": 1,
    "test_segments": 2,
    "train_repeats": 1,
    "test_repeats": 1,
    "clips": 240,
    "normalisation": "train",
    "nan_share": 0.05,
}
HCP = {"runs": ["REST1_LR", "REST2_RL"], "window_volumes": 10, "window_seconds": None, "nan_share": 0.05}
MOSAIC = {"study": "BMD", "train_trials": 5, "test_trials": 4, "nan_share": 0.05}
OPTIONS = {"bmd": BMD, "had": HAD, "cc2017": CC2017, "hcp": HCP, "mosaic": MOSAIC}
SUBJECT = {"bmd": "01", "had": "01", "cc2017": "1", "hcp": "100307", "mosaic": "01"}


def write_bmd(root: Path) -> dict[str, np.ndarray]:
    """Subject 01: pickled pairs of float64 betas and clip names; four vertices of NaN and infinity."""
    folder = root / "derivatives/versionB/fsLR32k/GLM/sub-01/prepared_betas"
    folder.mkdir(parents=True)
    betas = {}
    for split, first, shape in (("train", 1, (4, 2, 91_282)), ("test", 1001, (2, 3, 91_282))):
        values = np.random.default_rng(first).normal(size=shape)
        values[:, :, 53:55], values[0, 1, 60], values[1, 0, 61] = np.nan, np.inf, -np.inf
        names = [f"vid{n:04d}" for n in range(first, first + shape[0])]
        path = folder / f"sub-01_organized_betas_task-{split}_normalized.pkl"
        path.write_bytes(pickle.dumps((values, names), protocol=4))
        betas[split] = values
        for name in names:
            raw.write_movie(root / "stimuli" / split / f"{name[3:]}.mp4", raw.numbered(20), fps=15)
    metadata = root / "derivatives/stimuli_metadata"
    metadata.mkdir(parents=True)
    clips = ["0001", "0002", "0003", "0004", "1001", "1002"]
    entries = {c: {"text_descriptions": [f"clip {c}, sentence {i}" for i in range(5)]} for c in clips}
    entries["0001"]["objects"] = ["ball", "dog"]  # older copies are flat, newer ones nested
    entries["0002"]["objects"] = [["ball"], ["dog", "cat"]]
    (metadata / "annotations.json").write_text(json.dumps(entries))
    return betas


def had_clip(action: int, cycle: int) -> str:
    """Movie of an action's clip, below stimuli/: class folders have spaces and hyphens."""
    folder = f"Action-{action} of many"
    return f"{folder}/v_{folder}_id_-x{action}c{cycle}_start_{cycle}.0_label_1.mp4"


def write_had(root: Path, *, newer: bool = True) -> dict[int, np.ndarray]:
    """Subject 01, two cycles; ``newer``: the column that version 1.1 added. Movies are empty files."""
    rng = np.random.default_rng(5)
    betas = {}
    for cycle in (1, 2):
        actions = rng.permutation(np.arange(1, 181))
        for run in range(3):
            lines = ["onset\tduration\ttrial_type" + ("\tresponse" if newer else "") + "\tresponse_time\tstim_file"]
            for i, action in enumerate(actions[60 * run : 60 * (run + 1)]):
                middle = "\t1" if newer else ""
                lines.append(f"{4.7 * i:.3f}\t2.01\t{action}.0{middle}\tn/a\t{had_clip(action, cycle)}")
            func = root / "sub-01/ses-action01/func"
            func.mkdir(parents=True, exist_ok=True)
            number = 3 * (cycle - 1) + run + 1
            name = f"sub-01_ses-action01_task-action_run-{number:02d}_events.tsv"
            (func / name).write_text("\n".join(lines) + "\n")
        results = root / "derivatives/ciftify/sub-01/results"
        betas[cycle] = raw.noise((180, 59_412), seed=cycle)
        stem = f"ses-action01_task-action_cycle-{cycle}"
        raw.write_maps(results / f"{stem}_beta.dscalar.nii", betas[cycle])
        names = [Path(had_clip(action, cycle)).name for action in range(1, 181)]
        (results / f"{stem}_label.txt").write_text("\n".join(names) + "\n")
        for action in range(1, 181):
            movie = root / "stimuli" / had_clip(action, cycle)
            movie.parent.mkdir(parents=True, exist_ok=True)
            movie.touch()
    return betas


def write_cc2017(root: Path) -> dict[str, np.ndarray]:
    """Subject 1: seg1 and test1 of 245 volumes, test2 of 246. Movies are empty files."""
    series = {}
    for seed, (movie, volumes) in enumerate({"seg1": 245, "test1": 245, "test2": 246}.items()):
        data = np.random.default_rng(seed).integers(900, 1100, (volumes, 91_282), dtype=np.int16)
        data[:, 53] = 1000  # a vertex without signal
        folder = root / "video_fmri_dataset/subject1/fmri" / movie / "cifti"
        raw.write_series(folder / f"{movie}_1_Atlas.dtseries.nii", data, step_seconds=2.0)
        stimulus = root / "video_fmri_dataset/stimuli" / f"{movie}.mp4"
        stimulus.parent.mkdir(parents=True, exist_ok=True)
        stimulus.touch()
        series[movie] = data
    return series


def write_hcp(root: Path) -> dict[str, np.ndarray]:
    """Subject 100307: one run named as in S1200, one as in the 2025 release, of 25 and 31 volumes."""
    series = {}
    names = {"REST1_LR": "Atlas_MSMAll_hp2000_clean", "REST2_RL": "Atlas_MSMAll_hp2000_clean_rclean_tclean"}
    for seed, (run, name) in enumerate(names.items()):
        series[run] = raw.noise((25 + 6 * seed, 91_282), seed=seed)
        folder = root / "100307/MNINonLinear/Results" / f"rfMRI_{run}"
        raw.write_series(folder / f"rfMRI_{run}_{name}.dtseries.nii", series[run], step_seconds=0.72)
    return series


def write_mosaic(root: Path) -> dict[str, np.ndarray]:
    """Subject 01 of BMD as MOSAIC packs it: three train clips (one with a repeat less), two test clips of two."""
    stems = {
        "0001": "yt-b_x_12",
        "0002": "yt-a_rep-1",
        "0003": "flickr_phase-test_3",
        "1001": "giphy-9",
        "1002": "vine_7",
    }
    entries = {
        clip: {"MiT_filename": f"playing/{stem}.mp4", "text_descriptions": [f"clip {clip}, {i}" for i in range(5)]}
        for clip, stem in stems.items()
    }
    path = root / "derivatives/stimuli_metadata/annotations.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(entries))
    trials = [
        ("1002", "test", 2),
        ("1001", "test", 2),
        ("0003", "train", 2),
        ("0001", "train", 1),
        ("0002", "train", 2),
    ]
    written, rng = {}, np.random.default_rng(11)
    with h5py.File(root / "sub-01_BMD.hdf5", "w") as file:
        betas = file.create_group("betas", track_order=True)
        for clip, split, repeats in trials:
            raw.write_movie(root / "stimuli" / split / f"{clip}.mp4", raw.numbered(20), fps=15)
            for repeat in range(repeats):
                values = rng.normal(size=91_282)
                values[[53, 60]] = np.nan, np.inf
                key = f"sub-01_BMD_stimulus-{stems[clip]}_phase-{split}_rep-{repeat}"
                betas.create_dataset(key, data=values).attrs["nan_indices"] = np.array([53, 60])
                written[clip, repeat + 1] = values
        file["nan_indices_all"] = np.array([60, 53])
    return written


WRITE = {"bmd": write_bmd, "had": write_had, "cc2017": write_cc2017, "hcp": write_hcp, "mosaic": write_mosaic}
