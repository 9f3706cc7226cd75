"""Single trials by GLMsingle (Prince et al. 2022), where that package is installed.

It is not on PyPI: ``pip install git+https://github.com/cvnlab/GLMsingle``. It wants trials to begin with a
volume, so series are resampled to one volume a second, as BMD's authors did. Its haemodynamic responses, noise
regressors and shrinkage are chosen by all runs it is given.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import chdir
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.interpolate import interp1d

from brainflix.errors import InputError
from brainflix.models.glm import Run, canonical, other_events

SECONDS = 1.0
BASELINE = 100.0  # the series are in percent of their mean


def single_trials(
    runs: Sequence[Run], series: Sequence[Float[np.ndarray, "kept vertices"]]
) -> list[Float[np.ndarray, "trials vertices"]]:
    """Responses to every trial, run by run, in percent of the mean; NaN where a vertex is NaN.

    Where a stimulus is repeated, noise regressors and shrinkage are cross-validated (GLMsingle's type D), else
    only the haemodynamic response is fitted (type B).

    Args:
        series: the volumes that count, of each run, in percent of their mean.

    Raises:
        InputError: the package is not installed.
    """
    try:
        from glmsingle.glmsingle import GLM_single
    except ImportError as error:
        found = f"none ({error}); see brainflix/models/glmsingle.py"
        raise InputError.about("estimator glmsingle", expected="that package installed", found=found) from error
    usable = np.all([np.isfinite(values).all(axis=0) for values in series], axis=0)
    data = [_resampled(run, values[:, usable] + BASELINE).T for run, values in zip(runs, series, strict=True)]
    conditions = sorted({name for run in runs for name in run.names})
    design = [_design(run, conditions) for run in runs]
    repeated = sum(len(run.names) for run in runs) > len(conditions)
    options: dict[str, Any] = {"wantfileoutputs": [0, 0, 0, 0]}
    if repeated:
        options |= {"wantmemoryoutputs": [0, 0, 0, 1]}
    else:
        options |= {"wantglmdenoise": 0, "wantfracridge": 0, "wantmemoryoutputs": [0, 1, 0, 0]}
    options["extra_regressors"] = [_extra(run) for run in runs]
    duration = float(np.median(np.concatenate([run.durations for run in runs])))
    # It empties and fills folders of its own below the working directory, whatever it is told to write.
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        fitted = GLM_single(options).fit(design, data, duration, SECONDS, outputdir=None, figuredir=None)
    found = np.asarray(fitted["typed" if repeated else "typeb"]["betasmd"]).reshape(int(usable.sum()), -1).T
    betas = np.full((len(found), len(usable)), np.nan, np.float32)
    betas[:, usable] = found
    return np.split(betas, np.cumsum([len(run.onsets) for run in runs])[:-1])


def _grid(run: Run) -> np.ndarray:
    return np.arange(run.times[0], run.times[-1], SECONDS)


def _resampled(run: Run, values: np.ndarray) -> np.ndarray:
    times = run.times[run.kept]
    return interp1d(times, values, axis=0, bounds_error=False, fill_value=(values[0], values[-1]))(_grid(run))


def _design(run: Run, conditions: list[str]) -> np.ndarray:
    design = np.zeros((len(_grid(run)), len(conditions)))
    for onset, label in zip(run.onsets, run.names, strict=True):
        design[round((onset - run.times[0]) / SECONDS), conditions.index(label)] = 1
    return design


def _extra(run: Run) -> np.ndarray:
    extra = np.concatenate([run.confounds, other_events(run, canonical()["spm x 1"])], axis=1)
    return interp1d(run.times, extra, axis=0)(_grid(run))
