r"""Errors of a ridge regression at stimuli that it was not fitted to, without fitting it anew.

Let T = [U, 1/sqrt(n)], where the standardised features are X = U diag(s) V' and the column of ones is the
intercept's. Their columns are orthonormal, as features are centred. With theta = diag(s) V'B, ridge minimises
||T theta - R Y||^2 + theta' diag(penalty / s^2) theta, the intercept being free, so that

    theta = D T'R Y,    D = diag(s^2 / (s^2 + penalty)), and 1 for the intercept.

Leave out the rows F of a fold and call the solution theta_F. Were the targets of F replaced by its predictions
T_F theta_F, a fit to all rows would give theta_F again, as these rows then add no error. Hence
theta_F = theta + D T_F' (T_F theta_F - (R Y)_F), and the errors on the rows left out are

    E_F = (R Y)_F - T_F theta_F = (I - T_F D T_F')^-1 ((R Y)_F - T_F D T'R Y),

exactly, for folds of any size: with a fold per stimulus and one trial of each it is the textbook's leave-one-out,
e / (1 - h). With A = R - TT'R, what no coefficient can reach (nothing if T is square), and C = I - D,

    E_F = (I - T_F T_F' + T_F C T_F')^-1 (A Y + T C T'R Y)_F,

in which nothing cancels where the penalty is small. One penalty for all targets needs sum_t |E_t|^2, hence of the
targets only (YY')_FF of every fold and, with M = T'R Y, YM' (u, r) and MM' (r, r): t-free, whatever the penalty. Where
there are few stimuli (u <= r) they come from YY' (u, u), else from Y block by block.

A penalty per target needs |E_t|. With few stimuli E = W Y with W (n, u) free of targets, and the triangle (u, u) with
the same W'W will do; else E is made for every block.

Targets are read in blocks of columns and never copied whole; all is in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from brainflix.errors import InputError
from brainflix.models.moments import BLOCK, Columns, blocks, centred, gram, means_by_group, sums_by_group

PANEL = 128  # rows of a triangle multiplied at once


class LeftOut:
    """The errors that cross-validation by ``fold`` makes, whatever the penalty and the targets.

    Args:
        u: (n, r) orthonormal and centred, and
        s: (r,) of the decomposition of the features.
        stimulus: (n,) the row of the targets that belongs to each trial.
        fold: (u,) fold of each stimulus.
    """

    def __init__(self, u: np.ndarray, s: np.ndarray, stimulus: np.ndarray, fold: np.ndarray) -> None:
        n = len(stimulus)
        self.t, self.s = np.concatenate([u, np.full((n, 1), n**-0.5)], axis=1), s
        self.stimulus, self.fold = stimulus, np.unique(fold, return_inverse=True)[1]
        self.sums = sums_by_group(self.t, stimulus, len(fold))
        self.batches = list(_batches(self.fold[stimulus]))

    @property
    def few_stimuli(self) -> bool:
        """Whether there are at most as many stimuli as columns of T."""
        return len(self.fold) <= self.t.shape[1]

    @property
    def complete(self) -> bool:
        """Whether TT' = I: there are as many directions as trials."""
        return self.t.shape[1] == len(self.t)

    def errors(self, penalty: float) -> Callable[[np.ndarray], np.ndarray]:
        """A function from centred targets (u, k) of stimuli to the errors (n, k) at left-out trials."""
        if self.few_stimuli:
            return self._operator(penalty).__matmul__
        kept = self.t * (1 - self._shrinkage(penalty))
        inverses = [self._inverse(rows, penalty) for rows in self.batches]

        def errors(y: np.ndarray) -> np.ndarray:
            e = y[self.stimulus] - kept @ (self.sums.T @ y)
            for rows, inverse in zip(self.batches, inverses, strict=True):
                e[rows] = inverse @ e[rows]
            return e

        return errors

    def squares(self, targets: Columns, mean: np.ndarray, penalties: Sequence[float]) -> np.ndarray:
        """Sum of squared errors (penalties,) over trials and all targets (u, t) less ``mean`` (t,)."""
        own, cross, core = self._products(targets, mean)
        sums = np.zeros(len(penalties))
        for rows in self.batches:
            t, apart, beyond, unreached = self.t[rows], self._apart(rows), np.zeros(1), np.zeros(1)
            if not self.complete:
                n = cross[self.stimulus[rows]]
                unreached = n - _times(t, core)
                half = n - _times(t, core) / 2
                beyond = self._within(rows, own) - _twice(half @ t.swapaxes(1, 2))
            for i, penalty in enumerate(penalties):
                shrunk = t * self._shrinkage(penalty)
                products = beyond + _twice((unreached + _times(shrunk, core) / 2) @ shrunk.swapaxes(1, 2))
                inverse = np.linalg.inv(apart + shrunk @ t.swapaxes(1, 2))
                sums[i] += np.vdot(inverse @ products, inverse)
        return sums

    def squares_per_target(self, targets: Columns, mean: np.ndarray, penalties: Sequence[float]) -> np.ndarray:
        """The same (penalties, t) for each target on its own."""
        sums = np.empty((len(penalties), targets.shape[1]))
        for row, penalty in zip(sums, penalties, strict=True):
            squares = self._squares_of(penalty)
            for c in blocks(targets.shape[1], len(self.t)):
                row[c] = squares(centred(targets, mean, c))
        return sums

    def shown(self, response: np.ndarray) -> np.ndarray:
        """Stimulus (responses,) of each response; ``response`` (n,) numbers the one that a trial is a repeat of."""
        shown = np.empty(response.max() + 1, np.int64)
        shown[response] = self.stimulus
        return shown

    def predictions(
        self, targets: Columns, mean: np.ndarray, penalties: Sequence[float], chosen: np.ndarray, response: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Left-out predictions, averaged over the trials of a response, less ``mean`` (t,).

        Yields some columns (k,) of ``targets`` (u, t) and their predictions (responses, k) until all had their
        turn; ``chosen`` (t,) says which of the ``penalties`` each has.
        """
        for i in np.unique(chosen):
            errors, columns = self.errors(penalties[i]), np.flatnonzero(chosen == i)
            for part in blocks(len(columns), len(self.t)):
                y = centred(targets, mean, columns[part])
                yield columns[part], means_by_group(y[self.stimulus] - errors(y), response, response.max() + 1)

    def _shrinkage(self, penalty: float) -> np.ndarray:
        """I - D (r,)."""
        return np.append(penalty / (self.s**2 + penalty), 0.0)

    def _apart(self, rows: np.ndarray) -> np.ndarray:
        """I - T_F T_F' (folds, k, k) of the trials ``rows`` (folds, k) of some folds; 0 if T is square."""
        t = self.t[rows]
        return np.zeros(1) if self.complete else np.eye(rows.shape[1]) - t @ t.swapaxes(1, 2)

    def _inverse(self, rows: np.ndarray, penalty: float) -> np.ndarray:
        """(I - T_F D T_F')^-1 (folds, k, k) of the trials ``rows`` (folds, k) of some folds."""
        t = self.t[rows]
        return np.linalg.inv(self._apart(rows) + (t * self._shrinkage(penalty)) @ t.swapaxes(1, 2))

    def _operator(self, penalty: float) -> np.ndarray:
        """W (n, u)."""
        w = (self.t * self._shrinkage(penalty)) @ self.sums.T
        if not self.complete:
            w -= self.t @ self.sums.T
            w[np.arange(len(w)), self.stimulus] += 1.0
        for rows in self.batches:
            w[rows] = self._inverse(rows, penalty) @ w[rows]
        return w

    def _squares_of(self, penalty: float) -> Callable[[np.ndarray], np.ndarray]:
        """A function from centred targets (u, k) to their sums of squared errors (k,)."""
        if not self.few_stimuli:
            errors = self.errors(penalty)
            return lambda y: np.square(errors(y)).sum(axis=0)
        triangle = np.linalg.qr(self._operator(penalty), mode="r")
        panels = [slice(start, start + PANEL) for start in range(0, len(triangle), PANEL)]
        # A panel is zero to the left of where it begins: half of the work.
        return lambda y: sum(np.square(triangle[p, p.start :] @ y[p.start :]).sum(axis=0) for p in panels)

    def _products(self, targets: Columns, mean: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """(YY')_FF of every fold, YM' (u, r) and MM' (r, r)."""
        folds = [np.flatnonzero(self.fold == f) for f in range(self.fold.max() + 1)]
        if self.few_stimuli:
            products = gram(targets, mean)
            cross = products @ self.sums
            return [products[np.ix_(f, f)] for f in folds], cross, self.sums.T @ cross
        own, cross = [np.zeros((len(f), len(f))) for f in folds], np.zeros_like(self.sums)
        core = np.zeros((cross.shape[1], cross.shape[1]))
        for c in blocks(targets.shape[1], len(self.t)):
            y = centred(targets, mean, c)
            m = self.sums.T @ y
            cross += y @ m.T
            core += m @ m.T
            for products, f in zip(own, folds, strict=True):
                part = y[f]
                products += part @ part.T
        return own, cross, core

    def _within(self, rows: np.ndarray, own: list[np.ndarray]) -> np.ndarray:
        """YY' (folds, k, k) between the trials ``rows`` (folds, k) of some folds."""
        found = []
        for trials in rows:
            fold = self.fold[self.stimulus[trials[0]]]
            place = np.searchsorted(np.flatnonzero(self.fold == fold), self.stimulus[trials])
            found.append(own[fold][np.ix_(place, place)])
        return np.stack(found)


def stimulus_folds(dataset: Sequence[str], name: Sequence[str], folds: int | None) -> np.ndarray:
    """Folds (u,) of stimuli given in order: contiguous blocks of equal size within each dataset, or one a name.

    Blocks keep neighbouring clips of a movie, which look alike, out of each other's test fold. A name in several
    datasets, as of one study that is in the config twice, is in the fold of the first.

    Raises:
        InputError: a dataset has fewer stimuli than folds, or there is nothing left to learn from.
    """
    names, first, same = np.unique(np.asarray(name, str), return_index=True, return_inverse=True)
    if folds is None:
        _require(len(names), 2, "training stimuli")
        return same
    labels, codes, counts = np.unique(np.asarray(dataset, str), return_inverse=True, return_counts=True)
    _require(min(counts), folds, f"training stimuli of {labels[np.argmin(counts)]}")
    result = np.empty(len(codes), np.int64)
    for code, count in enumerate(counts):
        result[codes == code] = np.arange(count) * folds // count
    return result[first][same]


def _require(found: int, least: int, what: str) -> None:
    if found < least:
        raise InputError.about("cross-validation", expected=f"at least {least} {what}", found=str(found))


def _batches(fold: np.ndarray) -> Iterator[np.ndarray]:
    """Trials (folds, k) of some folds of k trials each, of all folds (n,) in turn: about BLOCK trials at once."""
    order = np.argsort(fold, kind="stable")
    starts = np.flatnonzero(np.diff(fold[order], prepend=-1))
    counts = np.diff(np.append(starts, len(fold)))
    for k in np.unique(counts):
        of_size = order[starts[counts == k][:, None] + np.arange(k)]
        at_once = max(1, BLOCK // k)
        for start in range(0, len(of_size), at_once):
            yield of_size[start : start + at_once]


def _times(t: np.ndarray, core: np.ndarray) -> np.ndarray:
    """Rows t (folds, k, r) times ``core`` (r, r), as one product."""
    return (t.reshape(-1, len(core)) @ core).reshape(t.shape)


def _twice(products: np.ndarray) -> np.ndarray:
    """The sum of square matrices (folds, k, k) and their transposes."""
    return products + products.swapaxes(1, 2)
