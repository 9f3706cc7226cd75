"""CC2017 (Purdue, Wen et al. 2018): films of eight minutes, and one series per showing.

Timing. Each showing is 12 s of the still first frame, the film, and 12 s of the still last frame. Recordings of
``seg*`` and ``test1`` begin 2 s after the film and have 245 volumes; those of ``test2`` to ``test5`` begin with
it and have 246. A volume is stamped with the *end* of its two seconds; so clip k (2k to 2k + 2 s of the film)
lies 6 s before the stamp of volume k + 1 (245) or k + 2 (246), which is the published pairing. In repeat 9 of
subject 3's ``test2`` the recording lags: clip k goes with volume k + 7.

Not written: anatomy, and the volumes in ``mni`` and ``raw``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from brainflix.atlas import CORTEX
from brainflix.errors import InputError
from brainflix.phantom import brain
from brainflix.phantom.cifti import write_series
from brainflix.phantom.clips import write_film
from brainflix.phantom.features import Features
from brainflix.phantom.signals import response_matrix
from brainflix.phantom.study import BASELINE, LABEL, PER_UNIT, Study, write_text
from brainflix.phantom.world import Scene, sample_scene

LIMITS = {"train_segments": 18, "test_segments": 5, "train_repeats": 2, "test_repeats": 10}
FOLDER = "video_fmri_dataset"
FPS, FILM_SECONDS, STILL_SECONDS, REPETITION_TIME = 30, 480, 12.0, 2.0
SHOT_SECONDS = (4.0, 12.0)
LAGGING_RUN, LAG_SECONDS = ("3", "test2", 9), 10.0
KINDS = (("seg", "train"), ("test", "test"))
TEST_NUMBER, REFERENCE_NUMBER = 100, 999


class Shot(NamedTuple):
    """A scene, and how long it is on, in tenths of a second."""

    scene: Scene
    tenths: int


def write(study: Study) -> None:
    """Write the whole tree under ``study.root``."""
    counts = study.counts(LIMITS)
    if study.settings.rate % 10:
        where = "settings of the cc2017 phantom, rate"
        raise InputError.about(
            where, expected="a multiple of 10, as shots last tenths of a second", found=f"{study.settings.rate}"
        )
    names = [f"{kind}{k}" for kind, key in KINDS for k in range(1, counts[f"{key}_segments"] + 1)]
    films = {name: film(study.scene_rng(film_number(name))) for name in names}
    root = study.root / FOLDER
    write_text(root / "README", f"Video-fMRI dataset (CC2017)\n\n{LABEL}")
    _write_films(study, films)
    timelines = {name: timeline(study.features, shots) for name, shots in films.items()}
    _write_features(study, timelines)
    usual = timeline(study.features, film(study.scene_rng(REFERENCE_NUMBER)))
    for subject in study.settings.subjects:
        _write_subject(study, subject, timelines, usual, counts)


def film_number(name: str) -> int:
    """A film's number in seeds.

    >>> film_number("seg3"), film_number("test3")
    (3, 103)
    """
    return TEST_NUMBER + int(name[4:]) if name.startswith("test") else int(name[3:])


def film(rng: np.random.Generator) -> list[Shot]:
    """Shots of 4 to 12 s that fill 480 s."""
    shortest, longest = (round(10 * seconds) for seconds in SHOT_SECONDS)
    shots, left = [], 10 * FILM_SECONDS
    while left:
        length = int(rng.integers(shortest, longest + 1))
        if left - length < shortest:  # the rest would be too short for a shot
            length = left if left <= longest else left - shortest
        shots.append(Shot(sample_scene(rng), length))
        left -= length
    return shots


def timeline(features: Features, shots: Sequence[Shot]) -> np.ndarray:
    """Features of a showing with its stills, every 1/rate s from -12 to 492 s: float32 (504 rate, n_features)."""
    moment, stills = 1 / features.rate, round(STILL_SECONDS * features.rate)
    first = features.of_frames(shots[0].scene, 0.0, moment)
    end = shots[-1].tenths / 10
    last = features.of_frames(shots[-1].scene, end - moment, end)
    film_ = [features.of_frames(shot.scene, 0.0, shot.tenths / 10) for shot in shots]
    return np.concatenate([first.repeat(stills, axis=0), *film_, last.repeat(stills, axis=0)])


def volumes(name: str) -> int:
    """Volumes of a recording of a film."""
    return 245 if name.startswith("seg") or name == "test1" else 246


def volume_stamps(name: str, *, lag_seconds: float = 0.0) -> np.ndarray:
    """Seconds of the film at which each volume of a recording is complete."""
    count = volumes(name)
    start = FILM_SECONDS + STILL_SECONDS - REPETITION_TIME * count
    return start - lag_seconds + REPETITION_TIME * np.arange(1, count + 1)


def _bold(features: Features, timeline_: np.ndarray, stamps: np.ndarray) -> np.ndarray:
    """Features as the BOLD signal follows them: float32 (n_stamps, n_features)."""
    onsets = np.arange(len(timeline_)) / features.rate - STILL_SECONDS
    return response_matrix(stamps, onsets, 1 / features.rate) @ timeline_


def _write_films(study: Study, films: dict[str, list[Shot]]) -> None:
    s = study.settings
    for name, shots in films.items():
        path = study.root / FOLDER / "stimuli" / f"{name}.mp4"
        frames = [(shot.scene, shot.tenths * FPS // 10) for shot in shots]
        write_film(path, frames, fps=FPS, pixels=s.pixels, crf=s.crf)


def _write_features(study: Study, timelines: dict[str, np.ndarray]) -> None:
    """Mean features of every two seconds of the films."""
    stills, step = (round(s * study.features.rate) for s in (STILL_SECONDS, REPETITION_TIME))
    starts = range(0, FILM_SECONDS, int(REPETITION_TIME))
    stimuli = [f"{name}_begin-{t:03d}_end-{t + 2:03d}" for name in timelines for t in starts]
    means = [t[stills:-stills].reshape(len(starts), step, -1).mean(axis=1) for t in timelines.values()]
    study.write_features(stimuli, np.concatenate(means))


def _write_subject(
    study: Study,
    subject: str,
    timelines: dict[str, np.ndarray],
    usual: np.ndarray,
    counts: dict[str, int],
) -> None:
    """All series of a subject, and the truth: tuning, and the share of signal variance in a showing."""
    tuning = study.tuning(subject)
    where = "settings of the cc2017 phantom, reliability"
    reliability = brain.by_group(study.settings.reliability, where=where)
    ratio = np.sqrt(reliability / (1 - reliability)) * tuning.spread
    share = ratio**2 / (1 + ratio**2)
    spread = (tuning.weights @ _bold(study.features, usual, volume_stamps("seg1")).T).std(axis=1)
    weights = tuning.weights * (np.sqrt(share) / spread)[:, None]
    variance: dict[str, list[np.ndarray]] = {"seg": [], "test": []}
    for name, timeline_ in timelines.items():
        kind = name.rstrip("0123456789")
        signal = weights @ _bold(study.features, timeline_, volume_stamps(name)).T
        variance[kind].append(signal.var(axis=1))
        for repeat in range(1, counts["train_repeats" if kind == "seg" else "test_repeats"] + 1):
            if (subject, name, repeat) == LAGGING_RUN:
                stamps = volume_stamps(name, lag_seconds=LAG_SECONDS)
                _write_run(study, subject, name, repeat, weights @ _bold(study.features, timeline_, stamps).T, share)
            else:
                _write_run(study, subject, name, repeat, signal, share)
    truth = {"tuning": tuning.weights.astype(np.float16)}
    for kind, values in variance.items():
        truth[f"reliability_{kind}"] = np.mean(values, axis=0) / (np.mean(values, axis=0) + 1 - share)
    study.write_truth(subject, truth)


def _write_run(study: Study, subject: str, name: str, repeat: int, signal: np.ndarray, share: np.ndarray) -> None:
    """One showing: signal (59,412, volumes) on the cortex, noise and drift everywhere."""
    rng = study.rng(subject, film_number(name), repeat)
    values = study.series_noise(rng, signal.shape[1], REPETITION_TIME)
    values[:CORTEX] *= np.sqrt(1 - share)[:, None]
    values[:CORTEX] += signal
    values += study.slow_drift(rng, signal.shape[1])
    values *= np.float32(PER_UNIT)
    values += np.float32(BASELINE)
    folder = study.root / FOLDER / f"subject{subject}" / "fmri" / name / "cifti"
    write_series(folder / f"{name}_{repeat}_Atlas.dtseries.nii", values, repetition_time=REPETITION_TIME)
