r"""Ridge regression to very many targets, exact, from one eigendecomposition.

Rows are trials; several trials share a stimulus and so a target. With X (n, p) the standardised
features, R (n, u) the incidence of rows and stimuli and Y (u, t) the centred target of each
stimulus, ridge minimises ||X B - R Y||^2 + penalty ||B||^2. With X = U diag(s) V' (from an eigh of
the smaller of XX' and X'X, in float64)

    B = V diag(s / (s^2 + penalty)) U'R  Y  =  A Y,        A (p, u)

so the targets enter as they are and B (p, t) need not be formed: a prediction is (x A) Y. It is
formed all the same when p < u, because it is then the smaller thing to keep.

The penalty is chosen by K-fold cross-validation in which all trials of a stimulus share a fold. No
fold is fitted anew: with H = U diag(s^2 / (s^2 + penalty)) U' + 11'/n the fit to all rows, the
errors on fold F of a fit to the other rows are exactly

    (I - H_FF)^-1 ((I - H) R Y)_F

and their sum of squares over targets needs Y only through YY' (u, u), whatever t is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from brainflix.errors import InputError
from brainflix.models.moments import blocks, gram, mean_and_scale

RANK_TOLERANCE = 1e-10  # directions with less variance than this share of the largest are noise


@dataclass(frozen=True)
class RidgeSettings:
    """How to choose the penalty.

    Attributes:
        penalties: candidates, on features of unit variance; one serves all targets.
        folds: of the cross-validation over stimuli.
    """

    penalties: tuple[float, ...]
    folds: int


@dataclass(frozen=True)
class Ridge:
    """A fitted ridge regression: prediction = (x - offset) @ left @ right + intercept.

    ``left`` (p, u) and ``right`` (u, t), or ``left`` absent and ``right`` (p, t).
    """

    offset: np.ndarray
    left: np.ndarray | None
    right: np.ndarray
    intercept: np.ndarray
    penalty: float
    errors: tuple[float, ...]  # cross-validated mean squared error of each candidate penalty

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Targets (n, t) float32 of features (n, p)."""
        x = x - self.offset
        return (x if self.left is None else x @ self.left) @ self.right + self.intercept

    def tensors(self) -> dict[str, np.ndarray]:
        """Arrays to keep; :meth:`from_tensors` undoes it."""
        arrays = {"offset": self.offset, "right": self.right, "intercept": self.intercept}
        return arrays if self.left is None else {**arrays, "left": self.left}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], *, penalty: float) -> Ridge:
        """The regression that :meth:`tensors` describes."""
        return cls(**{"left": None, **tensors}, penalty=penalty, errors=())


def fit_ridge(
    x: np.ndarray, targets: np.ndarray, stimulus: np.ndarray, fold: np.ndarray, settings: RidgeSettings
) -> Ridge:
    """Fit with the penalty that predicts left-out stimuli best.

    Args:
        x: (n, p) features, one row a trial.
        targets: (u, t) one row a stimulus; may be memory-mapped.
        stimulus: (n,) row of ``targets`` that belongs to each trial.
        fold: (u,) fold of each stimulus, from 0.
    """
    offset, scale = mean_and_scale(x)
    share = np.bincount(stimulus, minlength=len(targets)) / len(x)
    columns = (np.asarray(targets[:, c], np.float64) for c in blocks(targets.shape[1]))
    intercept = np.concatenate([share @ c for c in columns])
    u, s, v = _decompose(x, offset, scale)
    products = gram(targets, intercept)
    errors = _cross_validate(u, s, products, stimulus, fold, settings.penalties) / (len(x) * targets.shape[1])
    penalty = settings.penalties[int(np.argmin(errors))]
    left = (v * (s / (s**2 + penalty)) / scale[:, None]) @ _sums(u, stimulus, len(targets)).T
    right = np.subtract(targets, intercept.astype(np.float32), dtype=np.float32)
    if len(left) < left.shape[1]:
        left, right = None, (left @ right).astype(np.float32)
    return Ridge(
        offset=offset.astype(np.float32),
        left=None if left is None else left.astype(np.float32),
        right=right,
        intercept=intercept.astype(np.float32),
        penalty=float(penalty),
        errors=tuple(errors.tolist()),
    )


def stimulus_folds(dataset: Sequence[str], folds: int) -> np.ndarray:
    """Folds (u,) of stimuli given in order: contiguous blocks of equal size within each dataset.

    Blocks keep neighbouring clips of a movie, which look alike, out of each other's test fold.
    """
    names, codes, counts = np.unique(np.asarray(dataset), return_inverse=True, return_counts=True)
    if min(counts) < folds:
        expected = f"at least {folds} training stimuli of {names[np.argmin(counts)]}"
        raise InputError.about("cross-validation", expected=expected, found=str(min(counts)))
    result = np.empty(len(codes), np.int64)
    for code, count in enumerate(counts):
        result[codes == code] = np.arange(count) * folds // count
    return result


def _decompose(x: np.ndarray, offset: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U (n, r), s (r,), V (p, r) of the standardised features, in float64 block by block."""
    n, p = x.shape
    tall = n > p

    def parts() -> Iterator[np.ndarray]:  # (min(n, p), size of a block)
        for c in blocks(max(n, p)):
            yield ((x[c] - offset) / scale).T if tall else (x[:, c] - offset[c]) / scale[c]

    squares, small = np.linalg.eigh(sum(b @ b.T for b in parts()))
    kept = squares > RANK_TOLERANCE * squares[-1]
    s, small = np.sqrt(squares[kept]), small[:, kept]
    large = np.concatenate([b.T @ small for b in parts()]) / s
    return (large, s, small) if tall else (small, s, large)


def _cross_validate(
    u: np.ndarray,
    s: np.ndarray,
    products: np.ndarray,
    stimulus: np.ndarray,
    fold: np.ndarray,
    penalties: Sequence[float],
) -> np.ndarray:
    """Sum of squared errors (penalties,) over left-out trials and targets, from YY' (u, u)."""
    n = len(stimulus)
    # The intercept is a direction of its own that no penalty shrinks.
    u = np.concatenate([u, np.full((n, 1), n**-0.5)], axis=1)
    share = _sums(u, stimulus, len(products)).T
    sums = np.zeros(len(penalties))
    for f in np.unique(fold):
        rows = np.flatnonzero(fold[stimulus] == f)
        for i, penalty in enumerate(penalties):
            kept = np.append(s**2 / (s**2 + penalty), 1.0)
            errors = -(u[rows] * kept) @ share
            errors[np.arange(len(rows)), stimulus[rows]] += 1.0
            left_out = _undo_own_influence(u[rows], kept, errors)
            sums[i] += np.einsum("ij,ij->", left_out @ products, left_out)
    return sums


def _undo_own_influence(u: np.ndarray, kept: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """(I - u diag(kept) u')^-1 errors, in whichever of the two dimensions is smaller (Woodbury)."""
    if len(u) <= u.shape[1]:
        return np.linalg.solve(np.eye(len(u)) - (u * kept) @ u.T, errors)
    return errors + u @ np.linalg.solve(np.diag(1 / kept) - u.T @ u, u.T @ errors)


def _sums(u: np.ndarray, stimulus: np.ndarray, stimuli: int) -> np.ndarray:
    """R'U (stimuli, r): the rows of u (n, r) summed by stimulus."""
    sums = np.zeros((stimuli, u.shape[1]))
    np.add.at(sums, stimulus, u)
    return sums
