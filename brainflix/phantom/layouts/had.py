"""Human Action Dataset (OpenNeuro ds004488, version 1.1.1): clips by class, raw events, series and betas.

A class of the simulated study is a kind of object, a way of moving and a background; 6 x 5 x 6 make the 180.
Betas are what the authors' GLM makes of the written series: per cycle of three runs, one regressor per clip
(SPM's response, onset + 12 s), drifts of second order per run, ridge with alpha .1; not z-scored.

Not written: anatomy, field maps, volumes, fMRIPrep's outputs and ciftify's surfaces.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.linalg import block_diag, toeplitz

from brainflix.atlas import CORTEX
from brainflix.phantom import brain
from brainflix.phantom.cifti import write_scalars, write_series
from brainflix.phantom.clips import write_clip
from brainflix.phantom.layouts.had_classes import CLASSES
from brainflix.phantom.signals import response_matrix
from brainflix.phantom.study import BASELINE, PER_UNIT, Study, write_bids_top, write_json, write_text
from brainflix.phantom.world import BACKGROUNDS, KINDS, MOTIONS, Scene, sample_scene

LIMITS = {"cycles": 4}
QUIRKS = {
    "events-1.0.0": "events without the column `response`, as in version 1.0.0",
    "second-session": "series of runs of a session ses-action02 that has no raw data, as subject 03 has",
    "same-video": "by their names, clips of the first class were cut from one video, half a second apart",
}
RUNS_PER_CYCLE, TRIALS, VOLUMES, REPETITION_TIME = 3, 60, 156, 2.0
LEAD_IN_SECONDS, SLOT_SECONDS, SLOTS = 12.0, 4.0, 70  # 60 of 70 slots hold a clip
SECONDS, FPS = 2.0, 30
RIDGE_ALPHA, DRIFT_ORDER = 0.1, 2
SPORTS = 0.7  # share of classes that count as sport in the subject's task
COLUMNS = {
    "onset": {"Units": "s", "Description": "from the end of a lead-in of 12 s"},
    "duration": {"Units": "s"},
    "trial_type": {"Description": "class, 1 to 180 in ASCII order of the names"},
    "response": {"Levels": {"1": "sport", "-1": "not sport"}},
    "response_time": {"Units": "s"},
    "stim_file": {"Description": "clip, relative to stimuli/"},
}
LETTERS = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))


@dataclass(frozen=True)
class Trial:
    """One clip as one subject saw it.

    Attributes:
        label: 0-based rank of the class.
        onset: seconds after the lead-in.
    """

    label: int
    name: str
    scene: Scene
    onset: float
    duration: float


def write(study: Study) -> None:
    """Write the whole tree under ``study.root``."""
    cycles = study.counts(LIMITS)["cycles"]
    subjects = study.settings.subjects
    write_bids_top(study.root, name="Human Action Dataset", subjects=subjects, version="1.1.1")
    write_json(study.root / "task-action_bold.json", _sidecar())
    write_json(study.root / "task-action_events.json", COLUMNS)
    stimuli, features = [], []
    for subject in subjects:
        runs = [run for cycle in range(cycles) for run in runs_of_cycle(study, subject, cycle)]
        for number, run in enumerate(runs, start=1):
            _write_clips(study, run)
            write_events(study, subject, number, run)
        seen = [study.features.of_clips([trial.scene for trial in run], SECONDS) for run in runs]
        write_subject(study, subject, runs, seen)
        stimuli += [_file_name(trial) for run in runs for trial in run]
        features += seen
    study.write_features(stimuli, np.concatenate(features))


def scene_of(label: int, rng: np.random.Generator) -> Scene:
    """A scene of a class: its kind, motion and background, everything else at random."""
    kind, rest = divmod(label, len(MOTIONS) * len(BACKGROUNDS))
    motion, background = divmod(rest, len(BACKGROUNDS))
    scene = sample_scene(rng)
    while scene.motion != MOTIONS[motion]:  # the amplitude depends on the motion
        scene = sample_scene(rng)
    return replace(scene, kind=KINDS[kind], background=BACKGROUNDS[background])


def runs_of_cycle(study: Study, subject: str, cycle: int) -> list[list[Trial]]:
    """Three runs of 60 trials, in which each class comes once."""
    rng = study.rng(subject, 0, cycle)
    order = rng.permutation(len(CLASSES)).reshape(RUNS_PER_CYCLE, TRIALS)
    return [
        [
            _trial(study, subject, cycle, label, SLOT_SECONDS * slot, rng)
            for label, slot in zip(run.tolist(), np.sort(rng.permutation(SLOTS)[:TRIALS]).tolist(), strict=True)
        ]
        for run in order
    ]


def _trial(study: Study, subject: str, cycle: int, label: int, onset: float, rng: np.random.Generator) -> Trial:
    clip = (study.subject_number(subject) * LIMITS["cycles"] + cycle) * len(CLASSES) + label
    identity = "".join(rng.choice(LETTERS, 11))
    second = round(float(rng.uniform(0, 200)), 1)
    if "same-video" in study.quirks and label == 0:
        identity, second = f"same-vid-{subject}", 10 + 0.5 * cycle
    return Trial(
        label=label,
        name=f"v_{CLASSES[label]}_id_{identity}_start_{second}_label_1.mp4",
        scene=scene_of(label, study.scene_rng(clip)),
        onset=onset + float(rng.uniform(0, 0.04)) + (0.1 if onset else 0.0),
        duration=SECONDS + float(rng.uniform(-0.01, 0.02)),
    )


def _file_name(trial: Trial) -> str:
    return f"{CLASSES[trial.label]}/{trial.name}"


def _write_clips(study: Study, run: list[Trial]) -> None:
    s = study.settings
    for trial in run:
        path = study.root / "stimuli" / _file_name(trial)
        write_clip(path, trial.scene, frames=round(SECONDS * FPS), fps=FPS, pixels=s.pixels, crf=s.crf)


def _sidecar() -> dict[str, object]:
    return {"RepetitionTime": REPETITION_TIME, "TaskName": "action", "Simulated": True}


def write_events(study: Study, subject: str, number: int, run: list[Trial]) -> None:
    """Raw events; run numbers have two digits here and one in the derivatives."""
    rng = study.rng(subject, 1, number)
    columns = [name for name in COLUMNS if name != "response" or "events-1.0.0" not in study.quirks]
    lines = ["\t".join(columns)]
    for trial in run:
        values = {
            "onset": trial.onset,
            "duration": trial.duration,
            "trial_type": float(trial.label + 1),
            "response": 1 if trial.label < SPORTS * len(CLASSES) else -1,
            "response_time": rng.uniform(0.5, 1.8),
            "stim_file": _file_name(trial),
        }
        lines.append("\t".join(f"{values[name]}" for name in columns))
    folder = study.root / f"sub-{subject}" / "ses-action01" / "func"
    stem = folder / f"sub-{subject}_ses-action01_task-action_run-{number:02d}"
    write_text(Path(f"{stem}_events.tsv"), "\n".join(lines) + "\n")
    write_json(Path(f"{stem}_bold.json"), _sidecar())


def write_subject(study: Study, subject: str, runs: list[list[Trial]], seen: list[np.ndarray]) -> None:
    """Series of every run, betas of every cycle, and the truth."""
    tuning = study.tuning(subject)
    where = "settings of the had phantom, reliability"
    reliability = brain.by_group(study.settings.reliability, where=where)
    ratio = np.sqrt(reliability / (1 - reliability)) * tuning.spread
    share = ratio**2 / (1 + ratio**2)
    amplitude = np.mean([_design(run).var(axis=0).sum() for run in runs])  # of a series whose trials have variance 1
    weights = tuning.weights * np.sqrt(share / amplitude)[:, None]
    folder = study.root / "derivatives" / "ciftify" / f"sub-{subject}" / "results"
    ncsnr = []
    for cycle in range(len(runs) // RUNS_PER_CYCLE):
        chosen = range(cycle * RUNS_PER_CYCLE, (cycle + 1) * RUNS_PER_CYCLE)
        cortex = []
        for run in chosen:
            series = _series(study, subject, run, weights @ (seen[run].T @ _design(runs[run]).T), share)
            path = folder / f"ses-action01_task-action_run-{run + 1}_Atlas.dtseries.nii"
            write_series(path, series, repetition_time=REPETITION_TIME)
            cortex.append(series[:CORTEX])
        trials = [trial for run in chosen for trial in runs[run]]
        estimator = _estimator([runs[run] for run in chosen])
        _write_betas(folder, cycle, trials, np.concatenate(cortex, axis=1), estimator)
        design = block_diag(*[_design(runs[run]) for run in chosen])
        features = np.concatenate([seen[run] for run in chosen])
        signal = (weights @ (estimator @ design @ features).T).std(axis=1)
        ncsnr.append(signal / (np.sqrt(1 - share) * _noise_gain(study, estimator)))
    if "second-session" in study.quirks:
        series = _series(study, subject, len(runs), np.zeros((CORTEX, VOLUMES), np.float32), share)
        path = folder / "ses-action02_task-action_run-1_Atlas.dtseries.nii"
        write_series(path, series, repetition_time=REPETITION_TIME)
    truth = {"tuning": tuning.weights.astype(np.float16), "ncsnr": np.mean(ncsnr, axis=0), "reliability": share}
    study.write_truth(subject, truth)


def _design(run: list[Trial]) -> np.ndarray:
    """One regressor per trial: float32 (156, 60). A volume is stamped with its beginning."""
    onsets = np.array([trial.onset for trial in run]) + LEAD_IN_SECONDS
    durations = np.array([trial.duration for trial in run])
    return response_matrix(REPETITION_TIME * np.arange(VOLUMES), onsets, durations)


def _series(study: Study, subject: str, run: int, signal: np.ndarray, share: np.ndarray) -> np.ndarray:
    """A run: signal (59,412, 156) on the cortex, noise and drift everywhere; float32 (91,282, 156)."""
    rng = study.rng(subject, 2, run)
    values = study.series_noise(rng, VOLUMES, REPETITION_TIME)
    values[:CORTEX] *= np.sqrt(1 - share)[:, None]
    values[:CORTEX] += signal
    values += study.slow_drift(rng, VOLUMES)
    values *= np.float32(PER_UNIT)
    values += np.float32(BASELINE)
    return values


def _estimator(runs: list[list[Trial]]) -> np.ndarray:
    """The GLM of a cycle as one matrix: float32 (180 betas, 468 volumes); rows in order of the trials."""
    drifts = np.polynomial.legendre.legvander(np.linspace(-1, 1, VOLUMES), DRIFT_ORDER)
    basis = np.linalg.qr(block_diag(*[drifts] * len(runs)))[0]
    design = block_diag(*[_design(run) for run in runs]).astype(float)
    design -= basis @ (basis.T @ design)  # so the estimator ignores drifts and baselines
    gram = design.T @ design + RIDGE_ALPHA * np.eye(design.shape[1])
    return np.linalg.solve(gram, design.T).astype(np.float32)


def _noise_gain(study: Study, estimator: np.ndarray) -> float:
    """Standard deviation of a beta that sees nothing but noise of variance 1."""
    s, lags = study.settings, REPETITION_TIME * np.arange(VOLUMES)
    run = (1 - s.mode_share) * s.autocorrelation**lags + s.mode_share * s.mode_autocorrelation**lags
    covariance = block_diag(*[toeplitz(run)] * RUNS_PER_CYCLE)
    return float(np.sqrt(np.einsum("bt,tu,bu->b", estimator, covariance, estimator, optimize=True).mean()))


def _write_betas(folder: Path, cycle: int, trials: list[Trial], series: np.ndarray, estimator: np.ndarray) -> None:
    """180 maps in order of the classes, in percent of the baseline, and the clips' names in the same order."""
    order = np.argsort([trial.label for trial in trials])
    percent = (series - np.float32(BASELINE)) * np.float32(100 / BASELINE)
    names = [trials[i].name for i in order]
    stem = f"ses-action01_task-action_cycle-{cycle + 1}"
    write_scalars(folder / f"{stem}_beta.dscalar.nii", percent @ estimator[order].T, names=names)
    write_text(folder / f"{stem}_label.txt", "".join(f"{name}\n" for name in names))
