"""Stage 2 applied: targets of the test stimuli, from a subject's features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from brainflix import artifacts
from brainflix.cohort import Cohort, read_cohort
from brainflix.errors import InputError
from brainflix.models.moments import means_by_group
from brainflix.models.regressors import Regressor, load_regressor

STIMULI_AT_ONCE = 32


def predict(*, regressor: Path, features: list[Path], out: list[Path], threads: int) -> None:
    """Predict a target for every test stimulus: the mean of the predictions from its repeats.

    Parameters
    ----------
    regressor: weights made by ``regress``.
    features: one or more files of the features it was fitted to.
    out: as many files of predictions, one row a test stimulus, in the order of their names.
    threads: CPU threads.
    """
    tensors, header = artifacts.load_weights(regressor, kind="regressor")
    model = load_regressor(tensors, header)
    for source, destination in zip(features, out, strict=True):
        cohort = read_cohort([source], kind=("embeddings", "responses"), splits=("test",), agree=("space", "encoder"))
        _refuse_strangers(source, cohort, header)
        with threadpool_limits(threads):
            _write(model, header, source, cohort, destination)


def _refuse_strangers(source: Path, cohort: Cohort, header: dict) -> None:
    artifacts.common_about([header, cohort.about])
    for key in ("space", "encoder"):
        if cohort.about[key] != header["features"][key]:
            raise InputError.about(source, expected=f"features of the regressor's {key}", found="those of another")


def _write(model: Regressor, header: dict, source: Path, cohort: Cohort, destination: Path) -> None:
    names, stimulus = np.unique(cohort.rows["stimulus"].to_numpy().astype(str), return_inverse=True)
    rows = cohort.rows.groupby("stimulus", sort=True).first().reset_index()[["stimulus", "split"]]
    target = header["target"]
    about = {
        **{k: cohort.rows[k].iloc[0] for k in ("dataset", "subject")},
        **{k: v for k, v in target.items() if k not in ("shape", "axes", "dataset", "subject")},
        "regressor": {k: header[k] for k in ("model", "settings", "on", "seed", "features")},
    }
    with artifacts.create(
        destination,
        kind="predictions",
        shape=(len(names), *target["shape"]),
        dtype=np.float32,
        rows=rows,
        axes=target["axes"],
        unit=header["unit"],
        about=about,
    ) as values:
        for start in range(0, len(names), STIMULI_AT_ONCE):
            here = np.arange(start, min(start + STIMULI_AT_ONCE, len(names)))
            index = np.flatnonzero(np.isin(stimulus, here))
            single = model.predict(cohort.take(index))
            values[here] = means_by_group(single, stimulus[index] - start, len(here)).reshape(-1, *target["shape"])
