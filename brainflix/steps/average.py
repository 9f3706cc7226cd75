"""The baseline that looks at no brain: the mean of the training targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from brainflix import artifacts
from brainflix.errors import InputError
from brainflix.models.baselines import mean_target


def average(*, targets: Path, out: Path) -> None:
    """Predict the mean over the training stimuli for every test stimulus.

    Parameters
    ----------
    targets: targets of a dataset's stimuli.
    out: predictions, one row for each test stimulus, in the order of their names.
    """
    known = artifacts.read(targets, kind="targets", load=False)
    train = np.flatnonzero(known.rows["split"] == "train")
    test = known.rows[known.rows["split"] == "test"].sort_values("stimulus")[["stimulus", "split"]]
    if not len(train) or not len(test):
        raise InputError.about(targets, expected="train and test rows", found=f"{len(train)} and {len(test)}")
    mean = mean_target(known.values[train])
    with artifacts.create(
        out,
        kind="predictions",
        shape=(len(test), *mean.shape),
        dtype=np.float32,
        rows=test.reset_index(drop=True),
        axes=known.axes,
        unit=known.unit,
        about={**known.about, "subject": "any", "regressor": "mean"},
    ) as values:
        for row in range(len(test)):
            values[row] = mean
