"""Ridge regression to z: ``python -m benchmarks ridge``. About six minutes on one core, most of them the peers'.

1,000 stimuli, 1,024 features, 65,340 targets (float32) and ten penalties, on one thread, in seconds of processor time.
Each way fits, chooses and predicts 100 new rows; the peers get features that are standardised already.

* ``loo``: one penalty for all targets by exact leave-one-out; the peer is scikit-learn's RidgeCV.
* ``fixed``: a penalty that is known; the peer is scikit-learn's Ridge.
* ``per-target``: a penalty per target by five folds; the peer is himalaya's RidgeCV on torch, and its KernelRidgeCV,
  which it advises for fewer rows than features (``pip install himalaya``, for this benchmark only).
* ``large-folds``, ``large-loo``: 10,000 stimuli, targets on disk, one penalty by five folds or by leave-one-out; ours
  alone, against a bound on memory and the floor.

The floor is a single product U'Y, (1,024, n) by (n, 65,340), in float32. Before a comparison counts, ours and the
peer's have to agree in the penalty and, to 1e-5 of the largest prediction, in every prediction; per target, in all
but one of a thousand, where float32 decides between neighbours that are as good, and in the predictions of the rest.
Memory is the peak above the start, pages of files not counted. The last line is JSON.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import PredefinedSplit
from threadpoolctl import threadpool_limits

from benchmarks._turns import Comparison, in_child, report
from brainflix.models.left_out import stimulus_folds
from brainflix.models.moments import blocks
from brainflix.models.ridge import RidgeSettings, fit_ridge

FEATURES, TARGETS, NEW, RANK, FOLDS = 1024, 65_340, 100, 64, 5
PENALTIES = tuple(np.logspace(0.5, 5, 10).tolist())
FIXED = PENALTIES[5]
CLOSE, UNDECIDED = 1e-5, 1e-3


class Data(NamedTuple):
    """Standardised features (n, p) and new ones, and targets (n, t), all float32."""

    x: np.ndarray
    new: np.ndarray
    y: np.ndarray


class Outcome(NamedTuple):
    """What a way took, chose and predicted."""

    seconds: float
    penalty: np.ndarray
    predicted: np.ndarray


Fit = Callable[[Data], tuple[np.ndarray, np.ndarray]]


def main(arguments: list[str]) -> None:
    """Measure, print a table, and JSON as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=1, help="of the comparisons with a peer")
    parser.add_argument("--targets", type=int, default=TARGETS)
    parser.add_argument("--large", type=int, default=10_000, help="stimuli of the large parts")
    parser.add_argument("--folder", type=Path, default=None, help="where to write; temporary by default")
    chosen = parser.parse_args(arguments)
    comparisons = []
    with threadpool_limits(1):
        for part in chosen.parts:
            comparisons += PARTS[part](chosen)
    report(comparisons)


def leave_one_out(chosen: argparse.Namespace) -> list[Comparison]:
    """One penalty by leave-one-out."""
    ways = {"ours": ours("shared", None), "peer": sklearn_cv, "floor": product}
    found = turns(ways, make(1000, chosen.targets), chosen.rounds)
    return [Comparison("ridge, leave-one-out", "sklearn RidgeCV", "core s", *found, (25, 40, None))]


def fixed(chosen: argparse.Namespace) -> list[Comparison]:
    """A penalty that is known."""
    ways = {"ours": ours("shared", None, (FIXED,)), "peer": sklearn_fixed, "floor": product}
    found = turns(ways, make(1000, chosen.targets), chosen.rounds)
    return [Comparison("ridge, fixed penalty", "sklearn Ridge", "core s", *found, (15, None, None))]


def per_target(chosen: argparse.Namespace) -> list[Comparison]:
    """A penalty per target by folds."""
    ways = {"ours": ours("per_target", FOLDS), "peer": himalaya_cv("ridge"), "kernel": himalaya_cv("kernel_ridge")}
    values, memory = turns(ways, make(1000, chosen.targets), chosen.rounds)
    kernel = [{"ours": of["ours"], "peer": of["kernel"]} for of in (values, memory)]
    del values["kernel"], memory["kernel"]
    return [
        Comparison("ridge, per target", "himalaya RidgeCV", "core s", values, memory, (1.5, 8, None)),
        Comparison("ridge, per target, kernel", "himalaya KernelRidgeCV", "core s", *kernel, (1, 8, None)),
    ]


def large(folds: int | None, chosen: argparse.Namespace) -> list[Comparison]:
    """Many stimuli, by folds or by leave-one-out."""
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        path = Path(folder) / "targets.npy"
        x, new = in_child(partial(write, path, chosen.large, chosen.targets))[0]
        data = Data(x, new, np.load(path, mmap_mode="r"))
        found = turns({"ours": ours("shared", folds), "peer": product}, data, 1, same=False)
        name = f"ridge, {chosen.large:,} stimuli, {'folds' if folds else 'leave-one-out'}"
        return [Comparison(name, "one product U'Y (floor)", "core s", *found, (None, None, 10**9))]


PARTS = {
    "loo": leave_one_out,
    "fixed": fixed,
    "per-target": per_target,
    "large-folds": partial(large, FOLDS),
    "large-loo": partial(large, None),
}


def latent(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """What features and targets share (n, rank), standardised features (n, p), and a source of noise."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((RANK, FEATURES), np.float32)
    rng = np.random.default_rng([1, seed])
    shared = rng.standard_normal((n, RANK), np.float32)
    x = shared @ mixing + 8 * rng.standard_normal((n, FEATURES), np.float32)
    return shared, (x - x.mean(axis=0)) / x.std(axis=0), rng


def make(n: int, targets: int) -> Data:
    """Targets that a tenth to a half of the variance of which the features tell."""
    y = np.empty((n, targets), np.float32)
    return Data(*fill(y), y)


def write(path: Path, n: int, targets: int) -> tuple[np.ndarray, np.ndarray]:
    """The same, targets on disk."""
    y = np.lib.format.open_memmap(path, "w+", np.float32, (n, targets))
    features = fill(y)
    y.flush()
    return features


def fill(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill in targets (n, t); the features (n, p) of theirs, and new ones."""
    n, targets = y.shape
    shared, x, rng = latent(n, 0)
    weights = rng.standard_normal((RANK, targets), np.float32) * rng.uniform(0.3, 1, targets).astype(np.float32) / 8
    for rows in blocks(n, targets):
        noise = rng.standard_normal((rows.stop - rows.start, targets), np.float32)
        y[rows] = shared[rows] @ weights + noise + 2
    return x, latent(NEW, 1)[1]


def turns(
    ways: Mapping[str, Fit], data: Data, rounds: int, same: bool = True
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds and peak memory of every way, each in a process of its own that is watched while it works."""
    values: dict[str, list[float]] = {way: [] for way in ways}
    memory: dict[str, int] = {}
    for number in range(rounds):
        order, outcomes = list(ways), {}
        for way in order[number % len(order) :] + order[: number % len(order)]:
            outcomes[way], peak = in_child(partial(measured, ways[way], data), watch=True)
            values[way].append(outcomes[way].seconds)
            memory[way] = max(peak, memory.get(way, 0))
        for way in set(ways) - {"ours", "floor"} if same else ():
            check_same(outcomes["ours"], outcomes[way])
    return values, memory


def measured(fit: Fit, data: Data) -> Outcome:
    """Fit and predict."""
    start = time.process_time()
    penalty, predicted = fit(data)
    return Outcome(time.process_time() - start, penalty, predicted)


def check_same(ours: Outcome, peer: Outcome) -> None:
    """Refuse to time what does not give the same."""
    agree = np.isclose(ours.penalty, peer.penalty, rtol=1e-3)
    columns = agree if agree.ndim else slice(None)
    difference = np.abs(ours.predicted - peer.predicted)[:, columns].max() / np.abs(peer.predicted).max()
    print(f"penalties agree: {agree.mean():.5f}, largest difference of predictions, relative: {difference:.1e}")
    if agree.mean() < 1 - (UNDECIDED if agree.ndim else 0) or not difference <= CLOSE:
        raise SystemExit("ours and the peer's penalties or predictions differ")


def ours(selection: str, folds: int | None, penalties: tuple[float, ...] = PENALTIES) -> Fit:
    """`fit_ridge` as `regress` calls it, and a prediction that forms no coefficients."""
    settings = RidgeSettings(penalties, selection, folds, "single", None, False)

    def fit(data: Data) -> tuple[np.ndarray, np.ndarray]:
        names = [f"{i:05d}" for i in range(len(data.x))]
        fold = stimulus_folds(["a"] * len(names), names, folds)
        ridge = fit_ridge(data.x, data.y, np.arange(len(names)), fold, settings)
        return ridge.penalty, ridge.predict(data.new)

    return fit


def sklearn_cv(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's leave-one-out."""
    ridge = RidgeCV(alphas=PENALTIES).fit(data.x, data.y)
    return np.array(ridge.alpha_), ridge.predict(data.new)


def sklearn_fixed(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's ridge."""
    return np.array(FIXED), Ridge(alpha=FIXED).fit(data.x, data.y).predict(data.new)


def himalaya_cv(module: str) -> Fit:
    """himalaya's cross-validation on torch, from its module ``ridge`` or ``kernel_ridge``."""
    try:
        from himalaya import kernel_ridge, ridge
        from himalaya.backend import set_backend
    except ImportError:
        raise SystemExit("part per-target needs himalaya: pip install himalaya") from None
    import torch

    torch.set_num_threads(1)
    set_backend("torch")
    cls = {"ridge": partial(ridge.RidgeCV, solver_params={"warn": False}), "kernel_ridge": kernel_ridge.KernelRidgeCV}

    def fit(data: Data) -> tuple[np.ndarray, np.ndarray]:
        splits = PredefinedSplit(np.arange(len(data.x)) * FOLDS // len(data.x))
        model = cls[module](alphas=np.array(PENALTIES, np.float32), fit_intercept=True, cv=splits)
        model.fit(torch.from_numpy(data.x), torch.from_numpy(data.y))
        return model.best_alphas_.numpy(), model.predict(torch.from_numpy(data.new)).numpy()

    return fit


def product(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """The floor: one product of all targets, as if features were their own decomposition."""
    rank = min(data.x.shape)
    weights = np.ascontiguousarray(data.x[:, :rank].T)
    for columns in blocks(data.y.shape[1]):
        weights @ data.y[:, columns]
    return np.array(0.0), np.empty(0)
