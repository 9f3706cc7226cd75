r"""Ridge regression to very many targets, exact, from one eigendecomposition.

Rows are trials; several trials share a stimulus and so a target. With X (n, p) the standardised
features, R (n, u) the incidence of rows and stimuli and Y (u, t) the centred target of each
stimulus, ridge minimises ||X B - R Y||^2 + penalty ||B||^2. With X = U diag(s) V' (from an eigh of
the smaller of XX' and X'X, in float64)

    B = V diag(s / (s^2 + penalty)) U'R  Y  =  A Y,        A (p, u)

so the targets enter as they are and B (p, t) need not be formed: a prediction is (x A) Y. Where there
are more stimuli than directions of the features (u > r), or each target has a penalty of its own, V and
diag(s / (s^2 + penalty)) U'R Y (r, t) are kept in place of A and Y.

Penalties are chosen by cross-validation in which all trials of a stimulus are left out together,
a fold of stimuli or one stimulus at a time (with one trial of each, that is scikit-learn's ``RidgeCV``);
:mod:`brainflix.models.left_out` has the algebra.

With Q (k, t) the principal axes of the training targets, Y = (Y Q') Q if k is their rank. A regression to
the k scores Y Q' is then the same regression; one to fewer scores predicts the part of Y in their span. A
penalty per target is one per component there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from brainflix.errors import InputError
from brainflix.models.left_out import LeftOut
from brainflix.models.moments import (
    Columns,
    Combination,
    blocks,
    combine,
    deviation,
    gram,
    mean_and_scale,
    principal_weights,
    ratio,
    sums_by_group,
    weighted_mean,
)

RANK_TOLERANCE = 1e-10  # directions with less variance than this share of the largest are noise


@dataclass(frozen=True)
class RidgeSettings:
    """What to fit to what, and how to choose the penalty.

    Attributes:
        penalties: candidates, on features of unit variance; a single one is taken without asking.
        selection: one penalty shared by all targets, or one per target.
        folds: of the cross-validation over stimuli; None leaves out one stimulus at a time.
        repeats: a row a single trial, or the averaged features of a subject's trials of a stimulus.
        target_components: principal components of the training targets to predict; None predicts the
            targets themselves, as all components would.
        match_variance: stretch predictions around the training mean, target by target, until those of
            left-out training stimuli vary as much as the targets; averaged over repeats, as predictions are.
    """

    penalties: tuple[float, ...]
    selection: Literal["shared", "per_target"]
    folds: int | None
    repeats: Literal["single", "averaged"]
    target_components: int | None
    match_variance: bool

    def __post_init__(self) -> None:
        if not self.penalties or not all(0 < p < math.inf for p in self.penalties):
            raise InputError.about("settings.penalties", expected="positive numbers", found=str(list(self.penalties)))
        for name, least in (("folds", 2), ("target_components", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError.about(f"settings.{name}", expected=f"{least} or more, or null", found=str(value))


@dataclass(frozen=True)
class Ridge:
    """A fitted ridge regression: prediction = (x - offset) @ left @ right + intercept.

    Attributes:
        offset: (p,).
        left, right: (p, k) and (k, t); after a fit, ``right`` is formed only when it is used.
        intercept: (t,).
        penalty: () shared, or of each target or component.
        errors: cross-validated mean squared error of each candidate over all targets; none if there was but one.
    """

    offset: np.ndarray
    left: np.ndarray
    right: np.ndarray | Combination
    intercept: np.ndarray
    penalty: np.ndarray
    errors: tuple[float, ...] = ()

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Targets (n, t) float32 of features (n, p)."""
        return (x - self.offset) @ self.left @ self.right + self.intercept

    def tensors(self) -> dict[str, np.ndarray]:
        """Arrays to keep; :meth:`from_tensors` undoes it."""
        names = ["offset", "left", "right", "intercept", *(["penalty"] if self.penalty.ndim else [])]
        return {name: np.asarray(getattr(self, name)) for name in names}

    def facts(self) -> dict[str, float]:
        """The shared penalty, if it is one, for a header."""
        return {} if self.penalty.ndim else {"penalty": float(self.penalty)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> Ridge:
        """The regression that :meth:`tensors` and :meth:`facts` describe."""
        return cls(**{"penalty": np.array(header.get("penalty", np.nan)), **tensors})


def fit_ridge(
    x: np.ndarray,
    targets: Columns,
    stimulus: np.ndarray,
    fold: np.ndarray,
    settings: RidgeSettings,
    *,
    response: np.ndarray | None = None,
) -> Ridge:
    """Fit with the penalty, or penalties, that predict left-out stimuli best.

    Args:
        x: (n, p) features, one row a trial.
        targets: (u, t) one row a stimulus, each with a trial; read in blocks of columns, also by the result
            until its ``tensors`` are taken.
        stimulus: (n,) row of ``targets`` that belongs to each trial.
        fold: (u,) fold of each stimulus.
        response: (n,) trials of one number are repeats that a prediction averages over (``match_variance``);
            each is on its own unless given.
    """
    response = np.arange(len(x)) if response is None else response
    offset, scale = mean_and_scale(x)
    mean = weighted_mean(targets, np.bincount(stimulus, minlength=targets.shape[0]) / len(x))
    learned, axes = _principal(targets, mean, settings.target_components)
    if len(settings.penalties) == 1 and len(x) <= x.shape[1] and not settings.match_variance:
        errors, penalty = (), np.array(settings.penalties[0])
        left, right = _solve(x, offset, scale, stimulus, targets.shape[0], settings.penalties[0]), learned
    else:
        u, s, v = _decompose(x, offset, scale)
        left_out = LeftOut(u, s, stimulus, fold)
        sums, chosen = _select(left_out, learned, settings)
        errors = tuple((sums / (len(x) * targets.shape[1])).tolist())
        penalty = np.array(settings.penalties)[chosen[0] if settings.selection == "shared" else chosen]
        if settings.match_variance:
            found = _deviation_of_predictions(left_out, learned, axes, settings.penalties, chosen, response)
            gain = ratio(deviation(targets, mean, left_out.shown(response)), found)
            if axes is None:
                learned = replace(learned, factor=lambda c: gain[c])
            else:
                axes *= gain
        left, right = _coefficients(left_out, v, scale, learned, settings, chosen)
    if axes is not None:
        left, right = left @ np.asarray(right), axes
    return Ridge(offset.astype(np.float32), left, right, mean.astype(np.float32), penalty, errors)


def _principal(targets: Columns, mean: np.ndarray, components: int | None) -> tuple[Combination, np.ndarray | None]:
    """What to learn: the targets, centred; or their scores (u, k), and the axes (k, t) that turn them into targets."""
    if components is None:
        return Combination(targets, mean), None
    products = gram(targets, mean)
    weights = principal_weights(products, components)
    return Combination(products @ weights.T, np.zeros(len(weights))), combine(weights, targets, mean)


def _standardised(x: np.ndarray, offset: np.ndarray, scale: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Standardised features in float64, (min(n, p), k) of k rows or columns at a time, whichever there are more of."""
    n, p = x.shape
    for c in blocks(max(n, p)):
        yield c, ((x[c] - offset) / scale).T if n > p else (x[:, c] - offset[c]) / scale[c]


def _solve(
    x: np.ndarray, offset: np.ndarray, scale: np.ndarray, stimulus: np.ndarray, stimuli: int, penalty: float
) -> np.ndarray:
    """A (p, u) = X'(XX' + penalty I)^-1 R of features on their own scale, float32; for a known penalty."""
    n, p = x.shape
    inverse = np.linalg.inv(sum(b @ b.T for _, b in _standardised(x, offset, scale)) + penalty * np.eye(n))
    weights = sums_by_group(inverse, stimulus, stimuli).T
    left = np.empty((p, stimuli), np.float32)
    for c, b in _standardised(x, offset, scale):
        left[c] = b.T @ weights / scale[c, None]
    return left


def _decompose(x: np.ndarray, offset: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U (n, r), s (r,), V (p, r) of the standardised features, in float64 block by block."""
    n, p = x.shape
    squares, small = np.linalg.eigh(sum(b @ b.T for _, b in _standardised(x, offset, scale)))
    kept = squares > RANK_TOLERANCE * squares[-1]
    s, small = np.sqrt(squares[kept]), small[:, kept]
    large = np.empty((max(n, p), len(s)))
    for c, b in _standardised(x, offset, scale):
        large[c] = b.T @ small
    large /= s
    return (large, s, small) if n > p else (small, s, large)


def _select(left_out: LeftOut, learned: Combination, settings: RidgeSettings) -> tuple[np.ndarray, np.ndarray]:
    """Sum of squared errors of each candidate over left-out trials and targets, and which one each target (t,) gets."""
    penalties, columns = settings.penalties, learned.shape[1]
    if len(penalties) == 1:
        return np.empty(0), np.zeros(columns, np.int64)
    if settings.selection == "shared":
        sums = left_out.squares(learned.targets, learned.mean, penalties)
        return sums, np.full(columns, np.argmin(sums))
    sums = left_out.squares_per_target(learned.targets, learned.mean, penalties)
    return sums.sum(axis=1), np.argmin(sums, axis=0)


def _deviation_of_predictions(
    left_out: LeftOut,
    learned: Combination,
    axes: np.ndarray | None,
    penalties: Sequence[float],
    chosen: np.ndarray,
    response: np.ndarray,
) -> np.ndarray:
    """Standard deviation (t,) over responses of left-out predictions, or of predicted scores times ``axes`` (k, t)."""
    found, scores = np.empty(len(chosen)), np.empty((response.max() + 1, 0 if axes is None else len(chosen)))
    for columns, predicted in left_out.predictions(learned.targets, learned.mean, penalties, chosen, response):
        if axes is None:
            found[columns] = predicted.std(axis=0)
        else:
            scores[:, columns] = predicted
    if axes is None:
        return found
    covariance = np.atleast_2d(np.cov(scores, rowvar=False, bias=True))
    squares = [np.einsum("kt,kt->t", axes[:, c], covariance @ axes[:, c]) for c in blocks(axes.shape[1])]
    return np.sqrt(np.maximum(np.concatenate(squares), 0))


def _coefficients(
    left_out: LeftOut,
    v: np.ndarray,
    scale: np.ndarray,
    targets: Combination,
    settings: RidgeSettings,
    chosen: np.ndarray,
) -> tuple[np.ndarray, Combination]:
    """The smaller of (A, Y) and (V, diag(s / (s^2 + penalty)) U'R Y), for features on their own scale; float32."""
    s, sums = left_out.s, left_out.sums[:, :-1]
    if settings.selection == "shared" and left_out.few_stimuli:
        left = (v * (s / (s**2 + settings.penalties[chosen[0]])) / scale[:, None]) @ sums.T
        return left.astype(np.float32), targets
    shrink = (s[:, None] / (s[:, None] ** 2 + np.array(settings.penalties))).astype(np.float32)

    def factor(c: slice) -> np.ndarray:
        stretched = shrink[:, chosen[c]]
        return stretched if targets.factor is None else stretched * targets.factor(c)

    left = (v / scale[:, None]).astype(np.float32)
    return left, Combination(targets.targets, targets.mean, sums.T.astype(np.float32), factor)
