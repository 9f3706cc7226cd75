"""Stage 2: from features of a response to a target of its stimulus."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from brainflix import artifacts, crew
from brainflix.cohort import Cohort, match, read_cohort
from brainflix.errors import InputError
from brainflix.models.left_out import stimulus_folds
from brainflix.models.moments import blocks, deviation, means_by_group, plain_mean, ratio
from brainflix.models.ridge import RidgeSettings, fit_ridge
from brainflix.settings import Options, build

if TYPE_CHECKING:
    import torch

    from brainflix.checkpoints import Checkpoints
    from brainflix.models.mlp import Mlp, MlpSettings

RESPONSES_AT_ONCE = 32
OFF = {
    "selection": "shared",
    "repeats": "single",
    "target_components": None,
    "match_variance": False,
    "variance_folds": None,
    "compile": False,
    "blocks": None,
}


class _Columns:
    """Targets (u, t) of a cohort, one row a stimulus, read from its files by columns."""

    def __init__(self, targets: Cohort) -> None:
        self.shape = (len(targets), int(np.prod(targets.shape)))
        parts = targets.rows.groupby("part", sort=True)["position"]  # rows are in the order of the files
        self._parts = [(targets.parts[part].reshape(-1, self.shape[1]), p.to_numpy()) for part, p in parts]

    def __getitem__(self, key: tuple[slice, Any]) -> np.ndarray:
        return np.concatenate([values[:, key[1]][positions] for values, positions in self._parts], dtype=np.float32)


@dataclass(frozen=True)
class _Problem:
    """Training rows: features of trials, targets (u, t) of their stimuli, and which belongs to which.

    Attributes:
        stimulus: (n,) row of the targets of each trial.
        response: (n,) number of the subject and stimulus that a trial is a repeat of.
    """

    features: Cohort
    targets: Cohort
    stimulus: np.ndarray
    response: np.ndarray

    @classmethod
    def of(cls, features: Cohort, targets: Cohort) -> _Problem:
        """These features, and of the targets what they need."""
        seen, stimulus = np.unique(match(features, targets), return_inverse=True)
        mask = np.zeros(len(targets), bool)
        mask[seen] = True
        response = features.rows.groupby(["dataset", "subject", "stimulus"]).ngroup().to_numpy()
        return cls(features, targets.where(mask), stimulus, response)

    def where(self, mask: np.ndarray) -> _Problem:
        """The trials where ``mask`` (n,) is true."""
        return _Problem.of(self.features.where(mask), self.targets)

    def rows(self, repeats: Literal["single", "averaged"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features (n, p), stimulus (n,) and response (n,) of single trials, or averaged over those of a response."""
        x = self.features.all()
        if repeats == "single":
            return x, self.stimulus, self.response
        shown = np.empty(self.response.max() + 1, np.int64)
        shown[self.response] = self.stimulus
        return means_by_group(x, self.response, len(shown)), shown, np.arange(len(shown))

    def folds(self, folds: int | None) -> np.ndarray:
        """Fold (u,) of each stimulus."""
        return stimulus_folds(self.targets.rows["dataset"], self.targets.rows["stimulus"], folds)


class _Runs(NamedTuple):
    """Where the states of a regressor's trainings are kept, and until when to train."""

    folder: Path
    identity: Mapping[str, Any]
    every_seconds: float
    until: float | None

    def store(self, name: str = "") -> Checkpoints:
        """For one of the trainings."""
        from brainflix.checkpoints import Checkpoints

        left = None if self.until is None else max(self.until - time.monotonic(), 0.0)
        identity = {**self.identity, "run": name} if name else self.identity
        return Checkpoints(self.folder / name, identity=identity, every_seconds=self.every_seconds, max_seconds=left)


class _Fitted(NamedTuple):
    """What to keep: arrays, more of the header, and the training curve."""

    tensors: dict[str, Any]
    facts: dict[str, Any]
    curve: list[list[float]]


def regress(
    *,
    features: list[Path],
    targets: list[Path],
    model: Literal["ridge", "mlp"],
    settings: Options,
    seed: int,
    out: Path,
    checkpoints: Path,
    threads: int,
    curve: Path | None = None,
    checkpoint_seconds: float = 300.0,
    max_seconds: float | None = None,
) -> None:
    """Fit a regressor to the training rows: a trial each, or a subject's trials of a stimulus averaged.

    Targets are centred on the training rows' mean, and the prediction undoes it; the MLP also
    divides them by one number, the standard deviation over all of them.

    Parameters
    ----------
    features: embeddings, or responses, of any subjects and datasets.
    targets: one file of targets for each of their datasets.
    model: ``ridge``, or ``mlp`` as in the paper.
    settings: RidgeSettings, or MlpSettings, as JSON.
    seed: of weights, order of rows and dropout (mlp).
    out: the regressor (safetensors).
    checkpoints: folder for the state of an unfinished run and its training curve (mlp).
    threads: CPU threads.
    curve: table of the loss as training went (step, epoch, learning_rate, loss); without rows for ridge.
    checkpoint_seconds: time between checkpoints.
    max_seconds: save and leave with exit code 75 after so long.
    """
    from brainflix.checkpoints import write_curve

    until = None if max_seconds is None else time.monotonic() + max_seconds
    problem = _read(features, targets)
    header = {
        "kind": "regressor",
        "simulated": problem.features.about["simulated"],
        "model": model,
        "settings": _stated(settings),
        "features": problem.features.about,
        "target": {
            **problem.targets.about,
            "shape": list(problem.targets.shape),
            "axes": list(problem.targets.axes),
        },
        "unit": problem.targets.unit,
        "on": problem.features.sources,
        "seed": seed,
    }
    data = [problem.features.fingerprint(), problem.targets.fingerprint()]
    runs = _Runs(checkpoints, {**header, "data": data}, checkpoint_seconds, until)
    fit = {"ridge": _ridge, "mlp": _mlp}[model]
    fitted = fit(problem, settings, seed, threads, runs)
    if not crew.is_main():
        return
    artifacts.save_weights(out, fitted.tensors, {**header, **fitted.facts})
    if curve is not None:
        write_curve(curve, fitted.curve)
    runs.store().finish(fitted.curve)
    for finished in checkpoints.glob("fold-*/left-out.safetensors"):
        finished.unlink()


def _stated(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a file tells them: what is off leaves no trace."""
    return {
        name: _stated(value) if isinstance(value, Mapping) else value
        for name, value in settings.items()
        if name not in OFF or value != OFF[name]
    }


def _read(features: list[Path], targets: list[Path]) -> _Problem:
    rows = read_cohort(features, kind=("embeddings", "responses"), splits=("train",), agree=("space", "encoder"))
    known = read_cohort(targets, kind="targets", splits=("train",), agree=("model", "revision", "settings"))
    problem = _Problem.of(rows, known)
    if len(problem.targets) < 2:
        found = f"those to one ({rows.rows['stimulus'].iloc[0]!r})"
        raise InputError.about(
            ", ".join(map(str, features)), expected="responses to at least 2 training stimuli", found=found
        )
    for part in blocks(*_Columns(problem.targets).shape):
        problem.targets.take(np.arange(part.start, part.stop))  # complains of values that are not finite
    return problem


def _ridge(problem: _Problem, settings: Options, seed: int, threads: int, runs: _Runs) -> _Fitted:
    """Exact, so ``seed`` and ``runs`` have no part in it."""
    chosen = build(RidgeSettings, settings, where="settings")
    fold = problem.folds(chosen.folds)
    x, stimulus, response = problem.rows(chosen.repeats)
    with threadpool_limits(threads):
        ridge = fit_ridge(x, _Columns(problem.targets), stimulus, fold, chosen, response=response)
        return _Fitted(ridge.tensors(), {"errors": list(ridge.errors), **ridge.facts()}, [])


def _mlp(problem: _Problem, settings: Options, seed: int, threads: int, runs: _Runs) -> _Fitted:
    from brainflix.models.mlp import MlpSettings
    from brainflix.training import use_threads

    chosen = build(MlpSettings, settings, where="settings")
    device = use_threads(threads)
    gain = None if chosen.variance_folds is None else _gain(problem, chosen, seed, device, runs)
    mlp, curve = _train(problem, chosen, seed, device, runs.store())
    mlp.affine = replace(mlp.affine, gain=gain)
    return _Fitted(mlp.tensors(), {}, curve)


def _train(
    problem: _Problem, chosen: MlpSettings, seed: int, device: torch.device, store: Checkpoints
) -> tuple[Mlp, list[list[float]]]:
    """A network trained on all rows of a problem, and its curve."""
    from brainflix.models.mlp import Mlp, fit_affine
    from brainflix.training import train

    x, stimulus, _ = problem.rows(chosen.repeats)
    affine = fit_affine(x, _Columns(problem.targets), chosen.target_components)
    mlp = Mlp.untrained(chosen, affine, seed=seed)
    mlp.network.to(device)

    def outputs(stimuli: np.ndarray) -> np.ndarray:
        return affine.to_network(problem.targets.take(stimuli).reshape(len(stimuli), -1))

    if affine.basis is not None:  # few numbers a stimulus: once for all
        parts = blocks(*_Columns(problem.targets).shape)
        scores = np.concatenate([outputs(np.arange(part.start, part.stop)) for part in parts])
        outputs = scores.__getitem__
    curve = train(
        name="regress",
        model=mlp.network,
        loss=lambda batch, generator: mlp.loss(*batch),
        fetch=lambda rows: (x[rows], outputs(stimulus[rows])),
        n_rows=len(x),
        settings=chosen.training,
        seed=seed,
        store=store,
    )
    return mlp, curve


def _gain(problem: _Problem, chosen: MlpSettings, seed: int, device: torch.device, runs: _Runs) -> np.ndarray:
    """By how much (t,) predictions of left-out training stimuli vary less than the targets."""
    fold, targets = problem.folds(chosen.variance_folds), _Columns(problem.targets)
    mean = plain_mean(targets)
    count, total, squares = 0, np.zeros(len(mean)), np.zeros(len(mean))
    for number in np.unique(fold):
        held_out = (fold == number)[problem.stimulus]
        kept = runs.folder / f"fold-{number}" / "left-out.safetensors"
        store = runs.store(kept.parent.name)
        header = {"kind": "left-out", "identity": store.identity}
        found, before = artifacts.load_weights(kept, kind="left-out") if kept.exists() else ({}, {})
        if before.get("identity") != store.identity:
            mlp, curve = _train(problem.where(~held_out), chosen, seed, device, store)
            if crew.is_main():
                artifacts.save_weights(kept, _moments(mlp, problem.where(held_out), chosen, mean), header)
                store.finish(curve)
            crew.agree(0)  # the others wait for the file
        found = artifacts.load_weights(kept, kind="left-out")[0]
        count, total, squares = count + found["count"], total + found["total"], squares + found["squares"]
    shown = np.unique(np.stack([problem.response, problem.stimulus]), axis=1)[1]
    varied = np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0))
    return ratio(deviation(targets, mean, shown), varied).astype(np.float32)


def _moments(mlp: Mlp, problem: _Problem, chosen: MlpSettings, mean: np.ndarray) -> dict[str, np.ndarray]:
    """Number, sum and sum of squares (t,) of the predictions of responses, averaged over repeats, less ``mean``."""
    x, _, response = problem.rows(chosen.repeats)
    count, total, squares = response.max() + 1, np.zeros(len(mean)), np.zeros(len(mean))
    for start in range(0, count, RESPONSES_AT_ONCE):
        some = np.flatnonzero((response >= start) & (response < start + RESPONSES_AT_ONCE))
        numbers = response[some] - start
        predicted = means_by_group(mlp.predict(x[some]), numbers, numbers.max() + 1) - mean
        total += predicted.sum(axis=0)
        squares += np.square(predicted).sum(axis=0)
    return {"count": np.array(count), "total": total, "squares": squares}
