"""Single-trial responses from a run: haemodynamics chosen per vertex, every trial estimated on its own.

Regressors, drifts and kernels are nilearn's; their height is that of the response to a stimulus that never
ends, so betas of a series in percent are in percent. With nuisance N (baseline, drifts, confounds, other events)
projected out of the series y and of the trials X,

    ridge                     b   = (X'X + penalty I)^-1 X'y
    least squares separate    b_i = first coefficient of y on [x_i, sum of the other trials]   (Mumford 2012)

Both are linear in y: one matrix per run and haemodynamic response, whatever the number of vertices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from nilearn.glm.first_level import (
    compute_regressor,
    glover_hrf,
    make_first_level_design_matrix,
    spm_hrf,
)

from brainflix.models.glm_settings import GlmSettings

Hrf = Callable[[float, int], np.ndarray]  # (repetition time, oversampling) -> kernel of sum 1
OVERSAMPLING = 25
KERNEL_SECONDS = 32.0
STRETCHES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)  # peaks from 3 to 7 s


@dataclass(frozen=True)
class Run:
    """What is known of a run beside its series.

    Attributes:
        times: seconds that the volumes stand for (n_volumes,).
        names: stimulus of each trial.
        onsets, durations: of the trials, seconds (n_trials,).
        other_onsets, other_durations: of events that are modelled together and not estimated.
        confounds: (n_volumes, n_confounds).
        high_pass: Hz.
        kept: numbers of the volumes that count; others are left out (steady state not reached, scrubbed).
    """

    times: Float[np.ndarray, " volumes"]
    names: Sequence[str]
    onsets: Float[np.ndarray, " trials"]
    durations: Float[np.ndarray, " trials"]
    other_onsets: np.ndarray
    other_durations: np.ndarray
    confounds: Float[np.ndarray, "volumes confounds"]
    high_pass: float
    kept: Int[np.ndarray, " kept"]


def library() -> dict[str, Hrf]:
    """Haemodynamic responses by name: SPM's and Glover's, from 0.6 to 1.4 times as slow.

    >>> len(library()), next(iter(library()))
    (18, 'spm x 0.6')
    """
    kinds = {"spm": spm_hrf, "glover": glover_hrf}
    pairs = [(name, kind, stretch) for name, kind in kinds.items() for stretch in STRETCHES]
    return {f"{name} x {stretch:g}": partial(_stretched, kind, stretch) for name, kind, stretch in pairs}


def canonical() -> dict[str, Hrf]:
    """SPM's haemodynamic response alone."""
    return {"spm x 1": partial(_stretched, spm_hrf, 1.0)}


def _stretched(kind: Callable[..., np.ndarray], stretch: float, t_r: float, oversampling: int) -> np.ndarray:
    # Sampling a kernel more finely and calling the steps coarse slows it down.
    return kind(t_r / stretch, oversampling, time_length=KERNEL_SECONDS)


def trials(run: Run, hrf: Hrf) -> Float[np.ndarray, "kept trials"]:
    """One regressor per trial, nuisance not yet removed."""
    return _regressors(run, hrf, zip(run.onsets, run.durations, strict=True))[run.kept]


def other_events(run: Run, hrf: Hrf) -> Float[np.ndarray, "volumes one_or_none"]:
    """One regressor for all events that are no trials, where there are any."""
    columns = _regressors(run, hrf, zip(run.other_onsets, run.other_durations, strict=True))
    return columns.sum(axis=1, keepdims=True)[:, : columns.shape[1]]


def _regressors(run: Run, hrf: Hrf, events: Iterable[tuple[float, float]]) -> np.ndarray:
    # nilearn names regressors after the function, which a partial has not.
    named = _Named(hrf)
    columns = [
        compute_regressor(np.array([[onset], [duration], [1.0]]), named, run.times, oversampling=OVERSAMPLING)[0][:, 0]
        for onset, duration in events
    ]
    return np.stack(columns, axis=1) if columns else np.empty((len(run.times), 0))


class _Named:
    def __init__(self, hrf: Hrf) -> None:
        self.hrf, self.__name__ = hrf, "hrf"

    def __call__(self, t_r: float, oversampling: int) -> np.ndarray:
        return self.hrf(t_r, oversampling)


def nuisance(run: Run) -> Float[np.ndarray, "kept dimensions"]:
    """Orthonormal basis of what is no trial: baseline, drifts, confounds, and the other events together."""
    extra = np.concatenate([run.confounds, other_events(run, canonical()["spm x 1"])], axis=1)
    names = [f"extra_{i}" for i in range(extra.shape[1])]
    design = make_first_level_design_matrix(
        run.times,
        drift_model="cosine",
        high_pass=run.high_pass,
        add_regs=pd.DataFrame(extra, columns=names) if names else None,
    )
    return basis(design.to_numpy()[run.kept])


def basis(columns: Float[np.ndarray, "volumes columns"]) -> Float[np.ndarray, "volumes dimensions"]:
    """Orthonormal basis of the space that columns span, whatever their scales and number."""
    scale = np.linalg.norm(columns, axis=0)
    u, s, _ = np.linalg.svd(columns / np.where(scale > 0, scale, 1), full_matrices=False)
    return u[:, s > 1e-8 * s.max(initial=0)] if s.size else u


def without(design: np.ndarray, removed: Float[np.ndarray, "volumes dimensions"]) -> np.ndarray:
    """Columns of ``design`` with an orthonormal basis projected out."""
    return design - removed @ (removed.T @ design)


def ridge(design: Float[np.ndarray, "volumes trials"], penalty: float) -> Float[np.ndarray, "trials volumes"]:
    """The matrix that turns a series into ridge estimates of all trials at once."""
    gram = design.T @ design + penalty * np.eye(design.shape[1])
    return np.linalg.solve(gram, design.T)


def least_squares_separate(design: Float[np.ndarray, "volumes trials"]) -> Float[np.ndarray, "trials volumes"]:
    """The matrix that turns a series into estimates of each trial beside the sum of all others.

    A trial that no volume sees (it began with the last one) is NaN.
    """
    own = design.T
    rest = design.sum(axis=1) - own
    own_own, rest_rest = np.square(own).sum(axis=1), np.square(rest).sum(axis=1)
    both = (own * rest).sum(axis=1)
    # A run of one trial has no others.
    slope = np.divide(both, rest_rest, out=np.zeros_like(both), where=rest_rest > 1e-12)
    alone = own_own - slope * both
    return (own - slope[:, None] * rest) / np.where(alone > 1e-12, alone, np.nan)[:, None]


def choose(
    runs: Sequence[Run], series: Sequence[Float[np.ndarray, "kept vertices"]], hrfs: dict[str, Hrf]
) -> Int[np.ndarray, " vertices"]:
    """Which haemodynamic response explains most of each vertex's series: numbers of ``hrfs``.

    Presentations of one stimulus in one run share their response; apart from that every trial is free, as in
    GLMsingle. Series and design are whitened first (AR(1), per vertex): the trials of a slow response span slow
    fluctuations, so the slowest would win wherever there is little but noise.
    """
    explained = np.zeros((len(hrfs), series[0].shape[1]))
    for run, values in zip(runs, series, strict=True):
        removed, designs = nuisance(run), [_shared(run, trials(run, hrf)) for hrf in hrfs.values()]
        rhos = _autocorrelation(without(values, removed))
        for rho in np.unique(rhos):
            who = rhos == rho
            white_removed = basis(_whitened(removed, rho))
            clean = without(_whitened(values[:, who], rho), white_removed)
            for i, design in enumerate(designs):
                fit = basis(without(_whitened(design, rho), white_removed))
                explained[i, who] += np.square(fit.T @ clean).sum(axis=0)
    return explained.argmax(axis=0)


def _shared(run: Run, design: Float[np.ndarray, "kept trials"]) -> Float[np.ndarray, "kept stimuli"]:
    """One regressor per stimulus."""
    return np.stack([design[:, np.asarray(run.names) == name].sum(axis=1) for name in sorted(set(run.names))], axis=1)


def _autocorrelation(clean: Float[np.ndarray, "volumes vertices"]) -> Float[np.ndarray, " vertices"]:
    """Correlation from one volume to the next, rounded to tenths, 0 to 0.9."""
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = (clean[1:] * clean[:-1]).sum(axis=0) / np.square(clean).sum(axis=0)
    return np.nan_to_num(rho).clip(0, 0.9).round(1)


def _whitened(
    columns: Float[np.ndarray, "volumes columns"], rho: float
) -> Float[np.ndarray, "volumes_less_one columns"]:
    return columns[1:] - columns.dtype.type(rho) * columns[:-1]


def single_trials(
    run: Run,
    series: Float[np.ndarray, "kept vertices"],
    hrfs: dict[str, Hrf],
    chosen: Int[np.ndarray, " vertices"],
    *,
    settings: GlmSettings,
) -> Float[np.ndarray, "trials vertices"]:
    """Response to every trial of a run, in the units of the series; NaN where a vertex is NaN or constant.

    Args:
        series: the volumes that count.
        chosen: for each vertex the number of its haemodynamic response among ``hrfs``.
    """
    removed, kernels = nuisance(run), list(hrfs.values())
    betas = np.empty((len(run.onsets), series.shape[1]), np.float32)
    for number in np.unique(chosen):
        design = without(trials(run, kernels[number]), removed)
        if settings.estimator == "ridge":
            estimator = ridge(design, settings.ridge_penalty)
        else:
            estimator = least_squares_separate(design)
        who = chosen == number
        betas[:, who] = estimator.astype(np.float32) @ series[:, who]  # the estimator already ignores nuisance
    betas[:, ~np.isfinite(series).all(axis=0) | (np.ptp(series, axis=0) == 0)] = np.nan
    return betas
