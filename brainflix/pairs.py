"""What was predicted or made for the test clips, beside what is true.

What a variant takes its latents or captions from is one file: predictions of a regressor, the mean of the
training targets (also ``predictions``), or the ``targets`` themselves, which stand for a perfect prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brainflix import artifacts
from brainflix.artifacts import Samples
from brainflix.errors import InputError

SOURCES = ("predictions", "targets")
MADE = ("dataset", "model", "revision", "settings")  # what targets agree on that were made in the same way
_ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class Pairs:
    """Predictions and truth, row by row.

    Attributes:
        stimuli: names of the n clips.
        predicted, true: float32 (n, *shape).
        centre: float32 (*shape), mean of the training targets.
        about: what both files agree on.
    """

    stimuli: list[str]
    predicted: np.ndarray
    true: np.ndarray
    centre: np.ndarray
    about: dict[str, Any]


def read_pairs(predictions: Path, targets: Path) -> Pairs:
    """Read every test clip that has a prediction, with its truth.

    Raises:
        InputError: a file is not what it should be, shapes or what made them differ, or a clip has no truth.
    """
    source = test_rows(artifacts.read(predictions, kind=SOURCES, load=False))
    truth = artifacts.read(targets, kind="targets", load=False)
    if source.values.shape[1:] != truth.values.shape[1:]:
        expected = f"targets of shape {truth.values.shape[1:]} as in {targets}"
        raise InputError.about(predictions, expected=expected, found=str(source.values.shape[1:]))
    about = artifacts.common_about([source.about, truth.about], *MADE)
    stimuli = list(source.rows["stimulus"])
    return Pairs(
        stimuli=stimuli,
        predicted=np.asarray(source.values, dtype=np.float32),
        true=select(truth, stimuli, where=targets),
        centre=train_moments(truth)[0],
        about=about,
    )


def test_rows(source: Samples) -> Samples:
    """The test clips: all rows of predictions, the rows of targets that say so."""
    return source if source.kind == "predictions" else source.where(source.rows["split"] == "test")


def select(samples: Samples, stimuli: Sequence[str], *, where: Path) -> np.ndarray:
    """Values (n, *shape) of these stimuli, in this order.

    Raises:
        InputError: a stimulus is missing from the file ``where`` the samples came from, or not finite.
    """
    index = {name: i for i, name in enumerate(samples.rows["stimulus"])}
    missing = [name for name in stimuli if name not in index]
    if missing:
        found = f"no {missing[0]}" + (f" and {len(missing) - 1} others" if len(missing) > 1 else "")
        raise InputError.about(where, expected=f"a row for each of {len(stimuli)} clips", found=found)
    values = np.asarray(samples.values[[index[name] for name in stimuli]])
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError.about(where, expected="finite values", found="NaN or infinity")
    return values


def train_moments(targets: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Mean (*shape) of the training targets, float32, and their variance around it (*shape), float64."""
    rows = np.flatnonzero(targets.rows["split"] == "train")
    if not len(rows):
        raise InputError("targets: expected training rows, found none")
    parts = [rows[i : i + _ROWS_AT_ONCE] for i in range(0, len(rows), _ROWS_AT_ONCE)]
    mean = sum(targets.values[part].sum(axis=0, dtype=np.float64) for part in parts) / len(rows)
    squares = sum(((targets.values[part] - mean) ** 2).sum(axis=0) for part in parts)
    return mean.astype(np.float32), squares / len(rows)


def first_captions(captions: Path) -> dict[str, str]:
    """The first caption of every stimulus of a table of captions."""
    table = artifacts.read_table(captions, columns=["stimulus", "caption_index", "caption"])
    first = table.sort_values("caption_index", kind="stable").drop_duplicates("stimulus")
    return dict(zip(first["stimulus"], first["caption"], strict=True))
