"""Runs of a task as they come: a CIFTI series, events, and what fMRIPrep says of motion and noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from brainflix import atlas
from brainflix.datasets import cifti
from brainflix.datasets.base import require
from brainflix.datasets.events import read_events
from brainflix.datasets.recordings import Recording, check_recordings
from brainflix.errors import InputError
from brainflix.models import glm
from brainflix.models.glm import Run
from brainflix.models.glm_settings import GlmSettings

CONFOUNDS_END = ("_desc-confounds_timeseries.tsv", "_desc-confounds_regressors.tsv")
NOT_A_TRIAL = ("", "n/a")


def read_run(
    recording: Recording, *, settings: GlmSettings, label: str, vertices: np.ndarray | None = None
) -> tuple[Run, np.ndarray]:
    """Read one run.

    Args:
        label: column of the events that names the stimulus; a row with "n/a" or nothing there is no trial: it is
            modelled and not estimated.
        vertices: grayordinates wanted; None is all of the file.

    Returns:
        (run, series of the volumes that count in percent of their mean: float32
        (n_kept, n_vertices), NaN where the mean is 0).

    Raises:
        InputError: a file is missing or damaged, no trial is in the events, or an event lies outside the run.
    """
    header = series_header(recording.series)
    expected = recording.volumes or header.maps
    require(header.maps == expected, str(recording.series), expected=f"{expected} volumes", found=header.maps)
    seconds = header.maps * header.step_seconds
    wanted = vertices if vertices is not None else np.arange(header.grayordinates)
    events = read_events(
        recording.events, columns=["duration", label], run_seconds=seconds - settings.onset_shift_seconds
    )
    is_trial = ~events[label].isin(NOT_A_TRIAL).to_numpy()
    require(is_trial.any(), str(recording.events), expected=f"trials named in column {label}", found="none")
    onsets = events["onset"].to_numpy(float) + settings.onset_shift_seconds
    durations = _durations(recording.events, events["duration"])
    confounds, kept = read_confounds(recording.confounds, header.maps, settings)
    run = Run(
        names=tuple(events[label][is_trial]),
        times=header.step_seconds * (np.arange(header.maps) + settings.slice_time),
        onsets=onsets[is_trial],
        durations=durations[is_trial],
        other_onsets=onsets[~is_trial],
        other_durations=durations[~is_trial],
        confounds=confounds,
        high_pass=settings.high_pass,
        kept=kept,
    )
    values = cifti.read(header, wanted, n_rows=header.maps, transform=lambda series: series)[kept]
    return run, _percent(values)


def trial_blocks(
    recordings: Sequence[Recording], *, settings: GlmSettings, label: str, vertices: np.ndarray, learn: Sequence[bool]
) -> Iterator[tuple[Recording, tuple[str, ...], np.ndarray]]:
    """Responses to single trials, run by run: (recording, names of its trials, float32 (n_trials, n_vertices)).

    Args:
        label, vertices: as `read_run` has them.
        learn: of each run, whether no test trial is in it; a response is chosen from the library on these.

    Raises:
        InputError: like `read_run`; or a response is to be chosen and every run has test trials.
    """
    check_recordings(recordings)
    how = {"settings": settings, "label": label, "vertices": vertices}
    hrfs, chosen = glm.canonical(), np.zeros(len(vertices), np.int64)
    if settings.hrf == "library":
        where, expected = "option glm, hrf: library", "a run without test trials to choose by"
        require(any(learn), where, expected=expected, found="test trials in every run")
        known = [read_run(recording, **how) for recording, free in zip(recordings, learn, strict=True) if free]
        hrfs = glm.library()
        chosen = glm.choose([run for run, _ in known], [values for _, values in known], hrfs)
    for recording in recordings:
        run, values = read_run(recording, **how)
        yield recording, tuple(run.names), glm.single_trials(run, values, hrfs, chosen, settings=settings)


def series_header(path: Path) -> cifti.Header:
    """Header of a series on fsLR-32k with or without subcortex.

    Raises:
        InputError: another file, or one without a repetition time.
    """
    try:
        header = cifti.read_header(path, grayordinates=atlas.CORTEX)
    except InputError:
        header = cifti.read_header(path, grayordinates=atlas.GRAYORDINATES)
    require(bool(header.step_seconds), str(path), expected="a series with a repetition time", found="maps")
    return header


def read_confounds(path: Path | None, volumes: int, settings: GlmSettings) -> tuple[np.ndarray, np.ndarray]:
    """Confounds (n_volumes, n_confounds), chosen by nilearn, and the volumes that count.

    Raises:
        InputError: the table is missing, is not fMRIPrep's or lacks columns, or has another number of volumes.
    """
    if path is None or not settings.confounds:
        require(not settings.confounds, "confounds", expected="a table of confounds for each run", found="none")
        return np.empty((volumes, 0)), np.arange(volumes)
    end = next((end for end in CONFOUNDS_END if path.name.endswith(end)), None)
    require(end is not None, str(path), expected=f"a name that ends in {CONFOUNDS_END[0]}", found=path.name)
    require(path.exists(), str(path), expected="fMRIPrep's confounds", found="nothing")
    from nilearn.interfaces.fmriprep import load_confounds

    image = path.with_name(path.name.removesuffix(end) + "_desc-preproc_bold.nii.gz")  # only its name is used
    options = {"motion": settings.motion} if "motion" in settings.confounds else {}
    try:
        table, kept = load_confounds(str(image), strategy=settings.confounds, demean=True, **options)
    except (ValueError, KeyError, pd.errors.ParserError) as error:
        expected = f"fMRIPrep's confounds for {', '.join(settings.confounds)}"
        raise InputError.about(path, expected=expected, found=str(error)) from error
    require(len(table) == volumes, str(path), expected=f"{volumes} rows, one per volume", found=len(table))
    return table.to_numpy(float), np.arange(volumes) if kept is None else np.asarray(kept)


def _durations(path: Path, column: pd.Series) -> np.ndarray:
    durations = pd.to_numeric(column, errors="coerce").to_numpy(float)
    require(bool((durations >= 0).all()), str(path), expected="durations in seconds", found="others")
    return durations


def _percent(values: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = values.mean(axis=0, dtype=np.float64)
        return ((values / np.where(mean == 0, np.nan, mean) - 1) * 100).astype(np.float32)
