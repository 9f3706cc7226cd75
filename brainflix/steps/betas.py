"""Step `betas`: responses to single trials, from series that nobody has turned into betas yet."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from brainflix import artifacts, surfaces
from brainflix.datasets.recordings import Recording, check_recordings
from brainflix.datasets.series import read_run
from brainflix.errors import InputError
from brainflix.models import glm, glmsingle
from brainflix.models.glm_settings import GlmSettings
from brainflix.settings import Settings


def betas(
    *,
    series: list[Path],
    events: list[Path],
    confounds: list[Path] | None = None,
    label: str,
    learn_from: list[int] | None = None,
    settings: Settings[GlmSettings],
    out: Path,
    trials: Path,
    hrf: Path,
) -> None:
    """Estimate the response to every trial of some runs on fsLR-32k.

    Args:
        series: a .dtseries.nii per run.
        events: an events.tsv per run, in the same order.
        confounds: fMRIPrep's confounds per run, in the same order.
        label: column of the events that names the stimulus; rows with n/a there are modelled, not estimated.
        learn_from: numbers (from 1) of the runs without test trials; what is chosen by the data (``hrf:
            library``, ``estimator: glmsingle``) is chosen on these.
        out: CIFTI-2 dscalar, a map per trial, percent of the mean; NaN where a vertex is unusable.
        trials: table with a row per map: run, onset and duration (seconds), stimulus.
        hrf: CIFTI-2 dscalar with one map: the number of each vertex's haemodynamic response in the library.

    Raises:
        InputError: a file is missing or damaged, runs differ in their grayordinates, or nothing says which runs
            may be learnt from.
    """
    recordings = _recordings(series, events, confounds)
    learners = _learners(learn_from, len(recordings), settings)
    runs, values = zip(*(read_run(r, settings=settings, label=label) for r in recordings), strict=True)
    if len({v.shape[1] for v in values}) > 1:
        found = ", ".join(sorted({f"{v.shape[1]:,}" for v in values}))
        raise InputError.about(series[0], expected="the same grayordinates in every run", found=found)
    hrfs = glm.library() if settings.hrf == "library" else glm.canonical()
    chosen = np.zeros(values[0].shape[1], np.int64)
    if settings.estimator == "glmsingle":
        maps = glmsingle.single_trials(runs, values)
    else:
        if learners:
            chosen = glm.choose([runs[i] for i in learners], [values[i] for i in learners], hrfs)
        maps = [glm.single_trials(r, v, hrfs, chosen, settings=settings) for r, v in zip(runs, values, strict=True)]
    rows = [
        (f"run-{number}", onset, duration, name)
        for number, run in enumerate(runs, start=1)
        for onset, duration, name in zip(run.onsets, run.durations, run.names, strict=True)
    ]
    axis = nib.load(series[0]).header.get_axis(1)
    surfaces.write_maps(hrf, chosen[None] + 1, [f"haemodynamic response, 1 to {len(hrfs)}"], axis=axis)
    surfaces.write_maps(out, np.concatenate(maps), [row[-1] for row in rows], axis=axis)
    artifacts.write_table(trials, pd.DataFrame(rows, columns=["run", "onset", "duration", "stimulus"]))


def _recordings(series: list[Path], events: list[Path], confounds: list[Path] | None) -> list[Recording]:
    for name, files in (("events", events), ("confounds", confounds)):
        if files is not None and len(files) != len(series):
            raise InputError.about(name, expected=f"{len(series)} files, one per run", found=str(len(files)))
    found = [Recording(*files) for files in zip(series, events, confounds or [None] * len(series), strict=True)]
    check_recordings(found)
    return found


def _learners(learn_from: list[int] | None, count: int, settings: GlmSettings) -> list[int]:
    """Places of the runs that something is chosen on; none where nothing is chosen."""
    learn_from = learn_from or []
    wrong = [number for number in learn_from if not 1 <= number <= count]
    if wrong:
        raise InputError.about("learn-from", expected=f"runs 1 to {count}", found=str(wrong[0]))
    if settings.estimator == "glmsingle" and set(learn_from) != set(range(1, count + 1)):
        expected = "every run, as glmsingle chooses by the data of all: give it training runs only"
        raise InputError.about("learn-from", expected=expected, found=f"{len(set(learn_from))} of {count}")
    if settings.hrf == "library" and not learn_from:
        expected = "the runs without test trials, as hrf: library chooses by the data"
        raise InputError.about("learn-from", expected=expected, found="none")
    return [number - 1 for number in learn_from] if settings.hrf == "library" else []
