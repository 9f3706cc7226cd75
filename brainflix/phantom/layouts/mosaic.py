"""MOSAIC's packing of BOLD Moments: one HDF5 file per subject, a dataset per trial; clips and annotations as BMD's.

A trial is float64 over 91,282 grayordinates, named by the clip's name in Moments in Time, its split and its repeat from
0; test trials come first, and groups keep the order in which they were filled. Attributes say again what the name does,
and which grayordinates are no numbers.

Not written: the group of noise ceilings, and the other seven studies.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import h5py
import numpy as np

from brainflix.artifacts import replacing
from brainflix.atlas import GRAYORDINATES
from brainflix.phantom import brain
from brainflix.phantom.layouts import bmd
from brainflix.phantom.layouts.bmd_stimuli import Clip, clip_of, write_stimuli
from brainflix.phantom.study import LABEL, Study, write_text

STUDY = "BMD"
ATTRIBUTES = {
    "visual_angle": 5,
    "sex": "n/a",
    "age": "n/a",
    "publication_url": "https://www.nature.com/articles/s41467-024-50310-3",
    "github_url": "https://github.com/blahner/mosaic-preprocessing",
    "owner_name": "brainflix phantom",
    "owner_email": "n/a",
    "dataset_name": "BOLDMomentsDataset",
    "preprocessing_pipeline": "fMRIPrepv23.2.0",
    "beta_pipeline": "GLMsinglev1.2",
    "simulated": True,
}


def write(study: Study) -> None:
    """Write the whole tree under ``study.root``."""
    counts = study.counts(bmd.LIMITS)
    clips = {
        split: [clip_of(study, split, first + i) for i in range(counts[f"{split}_clips"])]
        for split, first in bmd.FIRST_NUMBER.items()
    }
    everything = clips["train"] + clips["test"]
    write_text(study.root / "README", f"MOSAIC, {STUDY}\n\n{LABEL}")
    write_stimuli(study, everything)
    features = {s: study.features.of_clips([c.scene for c in clips[s]], bmd.SECONDS) for s in clips}
    study.write_features([f"{c.number:04d}" for c in everything], np.concatenate(list(features.values())))
    for subject in study.settings.subjects:
        _write_subject(study, subject, clips, features, counts)


def _write_subject(
    study: Study, subject: str, clips: dict[str, list[Clip]], features: dict[str, np.ndarray], counts: dict[str, int]
) -> None:
    """A subject's file, session by session into trials laid out beforehand, and the truth."""
    tuning = study.tuning(subject)
    ratio = brain.by_group(study.settings.ncsnr, where="settings of the mosaic phantom, ncsnr") * tuning.spread
    schedule = bmd.schedule_of(study, subject, counts)
    path = study.root / f"sub-{subject}_{STUDY}.hdf5"
    with replacing(path) as partial, h5py.File(partial, "w") as file:
        file.attrs.update({**ATTRIBUTES, "subjectID": f"sub-{subject}"})
        trials = _empty_trials(file, subject, clips, counts)
        shown_before: Counter[tuple[str, int]] = Counter()
        unusable: set[int] = set()
        for split, shown, betas in bmd.sessions(study, subject, schedule, features, tuning.weights, ratio):
            for clip, values in zip(shown.tolist(), betas, strict=True):
                trial = trials[split, clip, shown_before[split, clip]]
                shown_before[split, clip] += 1
                trial[...] = values
                trial.attrs["nan_indices"] = no_numbers = np.flatnonzero(~np.isfinite(values))
                unusable.update(no_numbers.tolist())
        file["nan_indices_all"] = np.array(sorted(unusable), dtype=np.int64)
    truth = {f"ncsnr_{split}": ratio * (tuning.weights @ features[split].T).std(axis=1) for split in clips}
    truth |= {"tuning": tuning.weights.astype(np.float16), "dead_vertices": study.dead_vertices(subject)}
    study.write_truth(subject, truth)


def _empty_trials(
    file: h5py.File, subject: str, clips: dict[str, list[Clip]], counts: dict[str, int]
) -> dict[tuple[str, int, int], h5py.Dataset]:
    """Datasets by split, clip (from 0 in its split) and repeat (from 0), in the order of MOSAIC's own files."""
    betas, found = file.create_group("betas", track_order=True), {}
    for split in ("test", "train"):
        for position, clip in enumerate(clips[split]):
            name = Path(clip.source)
            for repeat in range(counts[f"{split}_repeats"]):
                key = f"sub-{subject}_{STUDY}_stimulus-{name.stem}_phase-{split}_rep-{repeat}"
                trial = betas.create_dataset(key, shape=(GRAYORDINATES,), dtype="<f8", track_order=True)
                trial.attrs.update({"phase": split, "repetition": repeat, "presented_stimulus_filename": name.name})
                found[split, position, repeat] = trial
    return found
