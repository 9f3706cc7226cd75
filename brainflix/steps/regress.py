"""Stage 2: from features of a response to a target of its stimulus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from brainflix import artifacts
from brainflix.cohort import Cohort, match, read_cohort
from brainflix.models.ridge import RidgeSettings, fit_ridge, stimulus_folds
from brainflix.settings import Options, build

if TYPE_CHECKING:
    from brainflix.checkpoints import Checkpoints


@dataclass(frozen=True)
class _Problem:
    """Training rows: features (n, p), targets (u, t) of their stimuli, and which belongs to which."""

    features: Cohort
    targets: Cohort
    stimulus: np.ndarray

    @property
    def outputs(self) -> int:
        return int(np.prod(self.targets.shape))

    def target_rows(self) -> np.ndarray:
        return self.targets.all().reshape(len(self.targets), self.outputs)


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
    checkpoint_seconds: float = 300.0,
    max_seconds: float | None = None,
) -> None:
    """Fit a regressor to the training rows; every trial is a row of its own.

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
    checkpoint_seconds: time between checkpoints.
    max_seconds: save and leave with exit code 75 after so long.
    """
    from brainflix.checkpoints import Checkpoints

    problem = _read(features, targets)
    header = {
        "kind": "regressor",
        "simulated": problem.features.about["simulated"],
        "model": model,
        "settings": dict(settings),
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
    store = Checkpoints(
        checkpoints,
        identity={**header, "data": data},
        every_seconds=checkpoint_seconds,
        max_seconds=max_seconds,
    )
    fit = {"ridge": _ridge, "mlp": _mlp}[model]
    fitted = fit(problem, settings, seed, threads, store)
    artifacts.save_weights(out, fitted.tensors, {**header, **fitted.facts})
    store.finish(fitted.curve)


def _read(features: list[Path], targets: list[Path]) -> _Problem:
    rows = read_cohort(features, kind=("embeddings", "responses"), splits=("train",), agree=("space", "encoder"))
    known = read_cohort(targets, kind="targets", splits=("train",), agree=("model", "revision", "settings"))
    wanted = match(rows, known)
    seen, stimulus = np.unique(wanted, return_inverse=True)
    mask = np.zeros(len(known), bool)
    mask[seen] = True
    return _Problem(rows, known.where(mask), stimulus)


def _ridge(problem: _Problem, settings: Options, seed: int, threads: int, store: Checkpoints) -> _Fitted:
    """Exact, so ``seed`` and ``store`` have no part in it."""
    chosen = build(RidgeSettings, settings, where="settings")
    fold = stimulus_folds(problem.targets.rows["dataset"], chosen.folds)
    with threadpool_limits(threads):
        ridge = fit_ridge(problem.features.all(), problem.target_rows(), problem.stimulus, fold, chosen)
    return _Fitted(ridge.tensors(), {"penalty": ridge.penalty, "errors": list(ridge.errors)}, [])


def _mlp(problem: _Problem, settings: Options, seed: int, threads: int, store: Checkpoints) -> _Fitted:
    from brainflix.models.mlp import Mlp, MlpSettings, fit_affine
    from brainflix.training import train, use_threads

    chosen = build(MlpSettings, settings, where="settings")
    device = use_threads(threads)
    x, y = problem.features.all(), problem.target_rows()
    affine = fit_affine(x, y, chosen.target_components)
    mlp = Mlp.untrained(chosen, affine, seed=seed)
    mlp.network.to(device)
    if affine.basis is not None:
        y = affine.to_network(y)  # few numbers a stimulus: once for all

    def loss(rows: np.ndarray, generator: object) -> Any:
        wanted = y[problem.stimulus[rows]]
        return mlp.loss(x[rows], wanted if affine.basis is not None else affine.to_network(wanted))

    curve = train(
        name="regress",
        model=mlp.network,
        loss=loss,
        n_rows=len(x),
        settings=chosen.training,
        seed=seed,
        store=store,
    )
    return _Fitted(mlp.tensors(), {}, curve)
