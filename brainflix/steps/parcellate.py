"""Step `parcellate`: from what a dataset publishes to one table of responses, vertices of the 41 areas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainflix import artifacts, atlas
from brainflix.datasets import adapter, is_simulated
from brainflix.datasets.base import STIMULI_COLUMNS, Responses
from brainflix.datasets.standardize import RunningStatistics
from brainflix.errors import InputError
from brainflix.settings import Options

ROWS_AT_ONCE = 256


def parcellate(
    *,
    name: str,
    dataset: str,
    root: Path,
    subjects: list[str],
    options: Options,
    stimuli: Path,
    out: Path,
    space: str = "glasser41",
) -> None:
    """Cut responses out of the raw files: the 41 Glasser ROIs, z-scored, a row per presentation.

    Every vertex's scale comes from training rows or from the run itself, as the dataset's options say.
    NaN, infinite and constant vertices become 0 and are counted in the file's ``about``.

    Args:
        name: what the config calls the dataset; written into the file.
        dataset: adapter, one of brainflix.datasets.ADAPTERS.
        root: folder that holds the download.
        subjects: one subject; several for a shard, whose rows follow each other.
        options: the adapter's options.
        stimuli: table that `index` wrote.
        out: responses, float32 (row, vertex); rows name stimulus, split, repeat and run.
        space: list of areas, one of brainflix.atlas.SPACES.

    Raises:
        InputError: a raw file is missing, damaged or not what its name says, or too few vertices are usable.
    """
    vertices = atlas.vertices(space)
    table = artifacts.read_table(stimuli, columns=STIMULI_COLUMNS)
    find = adapter(dataset).responses
    parts = [
        find(root=root, subject=subject, stimuli=table, options=options, vertices=vertices) for subject in subjects
    ]
    rows = pd.concat([part.rows for part in parts], ignore_index=True)
    about: dict[str, Any] = {
        "dataset": name,
        "adapter": dataset,
        "subject": ",".join(subjects),
        "space": space,
        "vertices_sha256": atlas.sha256(vertices),
        "simulated": is_simulated(root),
        "normalisation": parts[0].normalisation,
        "options": dict(options),
    }
    with artifacts.create(
        out,
        kind="responses",
        shape=(len(rows), len(vertices)),
        dtype=np.float32,
        rows=rows,
        axes=("vertex",),
        unit="z",
        about=about,
    ) as values:
        about["nan_vertices"] = _write_parts(values, parts, subjects)


def _write_parts(values: np.ndarray, parts: list[Responses], subjects: list[str]) -> list[int]:
    """Write subject after subject into the open file; number of unusable vertices of each."""
    start, unusable = 0, []
    for part, subject in zip(parts, subjects, strict=True):
        stop = start + len(part.rows)
        found = _write_subject(values, start, stop, part)
        _refuse_above(part.nan_share, found, where=f"subject {subject}")
        unusable.append(int(found.sum()))
        start = stop
    return unusable


def _write_subject(values: np.ndarray, start: int, stop: int, part: Responses) -> np.ndarray:
    """Write one subject's rows; which vertices (n_vertices,) are unusable in any of them."""
    statistics = RunningStatistics(values.shape[1])
    is_train = (part.rows["split"] == "train").to_numpy()
    row = start
    for block in part.blocks:
        _refuse_above(part.nan_share, ~np.isfinite(block.values).all(axis=0), where=str(block.source))
        after = row + len(block.values)
        values[row:after] = block.values
        if part.by_train_rows:
            statistics.add(block.values[is_train[row - start : after - start]])
        row = after
    if row != stop:
        raise ValueError(f"{row - start} rows of values for {stop - start} row names")
    return _finish(values, start, stop, statistics.z_score if part.by_train_rows else np.asarray)


def _finish(values: np.ndarray, start: int, stop: int, scale: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Scale rows in place and put zeros where nothing is known; which vertices that was."""
    unusable = np.zeros(values.shape[1], dtype=bool)
    for row in range(start, stop, ROWS_AT_ONCE):
        chunk = slice(row, min(row + ROWS_AT_ONCE, stop))
        scaled = scale(values[chunk])
        unknown = ~np.isfinite(scaled)
        unusable |= unknown.any(axis=0)
        values[chunk] = np.where(unknown, 0, scaled)
    return unusable


def _refuse_above(share: float, unusable: np.ndarray, *, where: str) -> None:
    if unusable.mean() > share:
        raise InputError.about(
            where,
            expected=f"at most {share:.1%} of the vertices NaN, infinite or constant",
            found=f"{unusable.mean():.1%}",
        )
