"""Step `parcellate`: from what a dataset publishes to one table of responses, vertices of the 41 areas."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainflix import artifacts, atlas
from brainflix.datasets import adapter, is_simulated
from brainflix.datasets.base import STIMULI_COLUMNS, Block, Responses
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
    qc: Path | None = None,
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
        qc: table with a row per raw file: subject, run, file (below root), volumes and tsnr where it is a
            resting series, rows, vertices that are NaN or constant, why it was skipped, simulated.
        space: list of areas, one of brainflix.atlas.SPACES.

    Raises:
        InputError: a subject is listed twice; a raw file is missing, damaged or not what its name says; or
            too few vertices are usable.
    """
    _refuse_twice(subjects)
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
        about["nan_vertices"], files = _write_parts(values, parts, subjects)
        if qc:
            table = pd.DataFrame([file.row(root) for file in files])
            artifacts.write_table(qc, table.assign(simulated=about["simulated"]))


@dataclass
class _File:
    """What is to be said of a raw file, or of one that was asked for in vain."""

    subject: str
    run: str
    source: Path
    volumes: int | None = None
    rows: int = 0
    tsnr: float | None = None
    unusable: np.ndarray | None = None
    skipped: str = ""

    def row(self, root: Path) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "run": self.run,
            "file": os.path.relpath(self.source, root),
            "volumes": "" if self.volumes is None else self.volumes,
            "rows": self.rows,
            "tsnr": self.tsnr,
            "nan_vertices": "" if self.unusable is None else int(self.unusable.sum()),
            "skipped": self.skipped,
        }


def _write_parts(values: np.ndarray, parts: list[Responses], subjects: list[str]) -> tuple[list[int], list[_File]]:
    """Write subject after subject into the open file; number of unusable vertices of each, and of their files."""
    start, unusable, files = 0, [], []
    for part, subject in zip(parts, subjects, strict=True):
        stop = start + len(part.rows)
        found, own = _write_subject(values, start, stop, part, subject)
        _refuse_above(part.nan_share, found, where=f"subject {subject}")
        unusable.append(int(found.sum()))
        files += own
        start = stop
    return unusable, files


def _write_subject(
    values: np.ndarray, start: int, stop: int, part: Responses, subject: str
) -> tuple[np.ndarray, list[_File]]:
    """Write one subject's rows; which vertices (n_vertices,) are unusable in any of them, and what its files are."""
    statistics, unusable = RunningStatistics(values.shape[1]), np.zeros(values.shape[1], dtype=bool)
    is_train = (part.rows["split"] == "train").to_numpy()
    row, files = start, {}
    for block in _quietly(part.blocks):
        unknown = ~np.isfinite(block.values)
        bad = unknown.any(axis=0)
        constant = (block.values == block.values[:1]).all(axis=0) & (len(block.values) > 1)
        _refuse_above(part.nan_share, bad | constant, where=str(block.source))
        after = row + len(block.values)
        if part.by_train_rows:
            values[row:after] = block.values
            statistics.add(block.values[is_train[row - start : after - start]])
        else:
            values[row:after] = np.where(unknown, 0, block.values)
            unusable |= bad
        _note(files, subject, block, part.rows["run"].iloc[row - start : after - start], bad | constant)
        row = after
    if row != stop:
        raise ValueError(f"{row - start} rows of values for {stop - start} row names")
    if part.by_train_rows:
        unusable = _scale(values, start, stop, statistics.z_score)
    for run in part.skipped:
        print(f"parcellate: {run.run} is left out: {run.reason}", file=sys.stderr)
    skipped = [_File(subject, run.run, run.source, volumes=run.volumes, skipped=run.reason) for run in part.skipped]
    return unusable, [*files.values(), *skipped]


def _quietly(blocks: Iterable[Block]) -> Iterator[Block]:
    """Blocks, without numpy's word on what is infinite or too large in a file: it is counted."""
    blocks = iter(blocks)
    while True:
        with np.errstate(invalid="ignore", over="ignore"):
            block = next(blocks, None)
        if block is None:
            return
        yield block


def _note(files: dict[Any, _File], subject: str, block: Block, runs: pd.Series, bad: np.ndarray) -> None:
    """Add a block to what is known of its file; large files come in several."""
    names = runs.unique()
    run = names[0] if len(names) == 1 else f"{len(names)} runs"
    file = files.setdefault((run, block.source), _File(subject, run, block.source, block.volumes, tsnr=block.tsnr))
    file.rows += len(runs)
    file.unusable = bad if file.unusable is None else file.unusable | bad


def _refuse_twice(subjects: list[str]) -> None:
    twice = [subject for subject, count in Counter(subjects).items() if count > 1]
    if twice:
        raise InputError.about("subjects", expected="each once", found=f"{', '.join(twice)} twice")


def _scale(values: np.ndarray, start: int, stop: int, scale: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
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
