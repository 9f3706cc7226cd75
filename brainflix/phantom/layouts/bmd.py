"""BOLD Moments (OpenNeuro ds005165): raw events, annotations, clips, and the betas of versionB in fsLR32k.

Not written: volumes (``bold.nii``), fMRIPrep series, field maps, single-session GLMs; rest and localizer runs, and with
them ``task-localizer_events.json`` and ``sub-XX_contrasts_tvalues.pkl``; ``llm_frame_annotations.json``.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import numpy as np

from brainflix.artifacts import replacing
from brainflix.atlas import CORTEX, GRAYORDINATES, vertices
from brainflix.errors import InputError
from brainflix.phantom import brain
from brainflix.phantom.layouts.bmd_stimuli import clip_of, write_stimuli
from brainflix.phantom.pickles import mapped_pickle
from brainflix.phantom.signals import noise, noise_ceiling
from brainflix.phantom.study import Study, write_bids_top, write_json, write_text

LIMITS = {"train_clips": 1000, "train_repeats": 3, "test_clips": 102, "test_repeats": 10}
QUIRKS = {
    "mp4-h264": "clips in derivatives/stimuli_metadata/mp4_h264, as in version 1.0.0",
    "flat-clips": "clips side by side in stimuli/",
    "frame-folders": "a folder of pictures per clip, numbered from 1 without zeros, in stimuli/frames",
    "flat-annotations": "answers on objects in one list, as in older copies",
    "infinite-betas": "vertices that are constant over train trials only: test trials are infinite",
    "group41": "the authors' dict of the 41 areas beside the organised betas",
}
FIRST_NUMBER = {"train": 1, "test": 1001}
RUNS = {"train": 10, "test": 3}  # of each session
SESSIONS = (2, 3, 4, 5)  # session 1 held localizers and rest
TRIALS_PER_ODDBALL = 3
SECONDS, TRIAL_SECONDS, REPETITION_TIME = 3.0, 4.002, 1.75


def write(study: Study) -> None:
    """Write the whole tree under ``study.root``."""
    counts = study.counts(LIMITS)
    if counts["train_clips"] * counts["train_repeats"] < 3 * len(SESSIONS):
        raise InputError.about(
            "settings of the bmd phantom, counts",
            expected=f"at least {3 * len(SESSIONS)} train trials, as sessions are normalised by theirs",
            found=f"{counts['train_clips']} clips x {counts['train_repeats']}",
        )
    clips = {
        split: [clip_of(study, split, FIRST_NUMBER[split] + i) for i in range(counts[f"{split}_clips"])]
        for split in RUNS
    }
    everything = clips["train"] + clips["test"]
    subjects = study.settings.subjects
    write_bids_top(study.root, name="BOLD Moments Dataset", subjects=subjects, version="1.0.4")
    _write_tasks(study)
    write_stimuli(study, everything)
    features = {s: study.features.of_clips([c.scene for c in clips[s]], SECONDS) for s in RUNS}
    study.write_features([f"{c.number:04d}" for c in everything], np.concatenate(list(features.values())))
    for subject in subjects:
        schedule = schedule_of(study, subject, counts)
        _write_events(study, subject, schedule)
        _write_betas(study, subject, schedule, features, counts)


def _write_tasks(study: Study) -> None:
    """Meaning of the events' columns, one file per task at the top of the tree."""
    columns = {
        "onset": {"Units": "s"},
        "duration": {"Units": "s"},
        "stim_file": {"Description": "clip, relative to stimuli/; n/a for oddballs"},
        "trial_type": {"Levels": {"train": "training clip", "test": "test clip", "oddball": "target of the task"}},
        "value": {"Description": "0"},
    }
    for split in RUNS:
        write_json(study.root / f"task-{split}_events.json", columns)


def schedule_of(study: Study, subject: str, counts: dict[str, int]) -> dict[tuple[int, str], np.ndarray]:
    """Which clips (0-based within their split) are shown in which session, in order."""
    rng = study.rng(subject, 0)
    return {
        (session, split): rng.permutation(_shown(counts[f"{split}_clips"], counts[f"{split}_repeats"], position))
        for position, session in enumerate(SESSIONS)
        for split in RUNS
    }


def _shown(clips: int, repeats: int, position: int) -> np.ndarray:
    """Clips of one session: repeats are dealt evenly over the four sessions, in turn by clip.

    >>> np.bincount(np.concatenate([_shown(4, 3, p) for p in range(4)])).tolist()
    [3, 3, 3, 3]
    """
    base, rest = divmod(repeats, len(SESSIONS))
    turns = [(np.arange(clips) + k * len(SESSIONS) // max(rest, 1)) % len(SESSIONS) for k in range(rest)]
    times = base + sum((turn == position).astype(int) for turn in turns)
    return np.repeat(np.arange(clips), times)


def _write_events(study: Study, subject: str, schedule: dict[tuple[int, str], np.ndarray]) -> None:
    rng = study.rng(subject, 1)
    for (session, split), shown in schedule.items():
        folder = study.root / f"sub-{subject}" / f"ses-{session:02d}" / "func"
        for run, part in enumerate(np.array_split(shown, RUNS[split]), start=1):
            stem = folder / f"sub-{subject}_ses-{session:02d}_task-{split}_run-{run}"
            write_text(Path(f"{stem}_events.tsv"), _events(rng, part + FIRST_NUMBER[split], split))
            sidecar = {"RepetitionTime": REPETITION_TIME, "TaskName": split, "Simulated": True}
            write_json(Path(f"{stem}_bold.json"), sidecar)


def _events(rng: np.random.Generator, numbers: np.ndarray, split: str) -> str:
    trials = [(f"{split}/{number:04d}.mp4", split) for number in numbers]
    for _ in range(round(len(numbers) / TRIALS_PER_ODDBALL)):
        trials.insert(int(rng.integers(1, len(trials) + 1)), ("n/a", "oddball"))
    lines = ["onset\tduration\tstim_file\ttrial_type\tvalue"]
    lines += [
        f"{TRIAL_SECONDS * (i + 1):.3f}\t{SECONDS:.3f}\t{file}\t{kind}\t0" for i, (file, kind) in enumerate(trials)
    ]
    return "\n".join(lines) + "\n"


def _write_betas(
    study: Study,
    subject: str,
    schedule: dict[tuple[int, str], np.ndarray],
    features: dict[str, np.ndarray],
    counts: dict[str, int],
) -> None:
    """Organised betas, noise ceilings and the truth; one session in memory at a time."""
    tuning = study.tuning(subject)
    ratio = brain.by_group(study.settings.ncsnr, where="settings of the bmd phantom, ncsnr") * tuning.spread
    with ExitStack() as stack:
        arrays = {split: stack.enter_context(_organized(study, subject, split, counts)) for split in RUNS}
        repeats = {split: np.zeros(counts[f"{split}_clips"], int) for split in RUNS}
        for split, shown, betas in sessions(study, subject, schedule, features, tuning.weights, ratio):
            for clip, values in zip(shown, betas, strict=True):
                arrays[split][clip, repeats[split][clip]] = values
                repeats[split][clip] += 1
        ncsnr = {split: noise_ceiling(arrays[split]) for split in RUNS}
        for split in RUNS:
            _write_noise_ceilings(study, subject, split, ncsnr[split], counts[f"{split}_repeats"])
        if "group41" in study.quirks:
            _write_group41(study, subject, arrays, ncsnr)
    signal = {split: (tuning.weights @ features[split].T).std(axis=1) for split in RUNS}
    truth = {f"ncsnr_{split}": ratio * signal[split] for split in RUNS}
    truth |= {"tuning": tuning.weights.astype(np.float16), "dead_vertices": study.dead_vertices(subject)}
    study.write_truth(subject, truth)


def _prepared(study: Study, subject: str, name: str) -> Path:
    folder = study.root / "derivatives/versionB/fsLR32k/GLM" / f"sub-{subject}" / "prepared_betas"
    return folder / f"sub-{subject}_{name}.pkl"


def _organized(study: Study, subject: str, split: str, counts: dict[str, int]) -> AbstractContextManager[np.ndarray]:
    """The pickle of organised betas of a split, open for writing: (clips, repeats, 91,282)."""
    clips, repeats = counts[f"{split}_clips"], counts[f"{split}_repeats"]
    return mapped_pickle(
        _prepared(study, subject, f"organized_betas_task-{split}_normalized"),
        shape=(clips, repeats, GRAYORDINATES),
        dtype="float64",
        names=[f"vid{FIRST_NUMBER[split] + i:04d}" for i in range(clips)],
    )


def sessions(
    study: Study,
    subject: str,
    schedule: dict[tuple[int, str], np.ndarray],
    features: dict[str, np.ndarray],
    weights: np.ndarray,
    ratio: np.ndarray,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(split, clips, betas (trials, 91,282)) of every session, each vertex normalised by the train trials."""
    noise_scale = 1 / np.sqrt(1 + np.pad(ratio, (0, GRAYORDINATES - CORTEX)) ** 2)
    weights = weights * (ratio * noise_scale[:CORTEX])[:, None]
    dead, share = study.dead_vertices(subject), study.settings.mode_share
    for session in SESSIONS:
        train, test = schedule[session, "train"], schedule[session, "test"]
        seen = np.concatenate([features["train"][train], features["test"][test]])
        betas = noise(study.rng(subject, 2, session), study.modes, len(seen), mode_share=share)
        betas *= noise_scale[:, None]
        betas[:CORTEX] += weights @ seen.T
        betas[dead, : len(train) if "infinite-betas" in study.quirks else None] = 0
        betas = _normalized(betas, len(train))
        yield "train", train, betas[: len(train)]
        yield "test", test, betas[len(train) :]


def _normalized(betas: np.ndarray, train: int) -> np.ndarray:
    """z-score (91,282, trials) in place by the first ``train`` trials, as (trials, 91,282).

    A vertex without signal becomes 0 / 0 = NaN, as in the released files, or infinite in test trials that have one.
    """
    mean = betas[:, :train].mean(axis=1, keepdims=True)
    scale = betas[:, :train].std(axis=1, ddof=1, keepdims=True)
    betas -= mean
    with np.errstate(invalid="ignore", divide="ignore"):
        betas /= scale
    return np.ascontiguousarray(betas.T)


def _write_noise_ceilings(study: Study, subject: str, split: str, ncsnr: np.ndarray, repeats: int) -> None:
    """Two pickles of (ncsnr, noise ceiling in percent), both float64 (91,282,): of one trial and of the mean."""
    for trials in sorted({1, repeats}):
        name = f"noiseceiling_task-{split}_n-{trials}"
        _write_pickle(_prepared(study, subject, name), (ncsnr, _percent(ncsnr, trials)))


def _write_group41(study: Study, subject: str, arrays: dict[str, np.ndarray], ncsnr: dict[str, np.ndarray]) -> None:
    """What the authors decoded from: betas of the 41 areas, clips in order of their numbers."""
    index, content = vertices("glasser41"), {}
    for split, array in arrays.items():
        content[f"{split}_data_allvoxel"] = np.stack([clip[:, index] for clip in array])
        content[f"{split}_noiseceiling_allvoxel"] = _percent(ncsnr[split][index], array.shape[1])
    content["roi_indices_hcp"] = index
    folder = study.root / f"sub-{subject}" / "prepared_allvoxel_pkl"
    _write_pickle(folder / "Group41_betas-GLMsingle_type-typed_z=1.pkl", content)


def _percent(ncsnr: np.ndarray, trials: int) -> np.ndarray:
    """Noise ceiling of the mean of so many trials, in percent of the variance."""
    return 100 * ncsnr**2 / (ncsnr**2 + 1 / trials)


def _write_pickle(path: Path, content: object) -> None:
    with replacing(path) as partial, open(partial, "wb") as file:
        pickle.dump(content, file, protocol=4)
