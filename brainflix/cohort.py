"""Several Samples files read as one table: rows are concatenated, values stay memory-mapped.

A cohort is what a layer learns from: responses of several subjects and datasets, or the targets of
several datasets. Each row knows its dataset, so a row of responses finds the target of its stimulus.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainflix import artifacts
from brainflix.errors import InputError

PROBES = 64  # rows whose values go into a fingerprint


@dataclass(frozen=True)
class Cohort:
    """Rows of several files.

    Attributes:
        paths: the files.
        parts: their values, memory-mapped, each (rows of the file, *shape).
        rows: the files' rows and, for each, ``dataset``, ``subject``, ``part`` (number of the file)
            and ``position`` (row in the file).
        axes, unit: as in the files, which all agree.
        about: what the files agree on.
    """

    paths: tuple[Path, ...]
    parts: tuple[np.ndarray, ...]
    rows: pd.DataFrame
    axes: tuple[str, ...]
    unit: str
    about: dict[str, Any]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row's values."""
        return self.parts[0].shape[1:]

    @property
    def sources(self) -> list[list[str]]:
        """[dataset, subject] of every file that has rows here, in order; JSON-able."""
        return self.rows[["dataset", "subject"]].drop_duplicates().sort_values(["dataset", "subject"]).values.tolist()

    def where(self, mask: np.ndarray) -> Cohort:
        """The rows where ``mask`` (n,) is true."""
        return replace(self, rows=self.rows.loc[np.asarray(mask)].reset_index(drop=True))

    def take(self, index: np.ndarray) -> np.ndarray:
        """Values (len(index), *shape) float32 of the rows ``index``.

        Raises:
            InputError: a value is not finite.
        """
        parts, positions = (self.rows[c].to_numpy()[index].tolist() for c in ("part", "position"))
        values = np.empty((len(index), *self.shape), np.float32)
        # Row by row: one copy straight from the file's pages, looked at while it is in cache.
        size = math.prod(self.shape)
        sources = [np.asarray(part).reshape(-1, size) for part in self.parts]
        for row, part, position in zip(values.reshape(-1, size), parts, positions, strict=True):
            row[:] = sources[part][position]
            # The product is finite for sane finite values alone, and takes a tenth of np.isfinite's time.
            if not math.isfinite(row @ row) and not np.isfinite(row).all():
                self._complain(part, position)
        return values

    def all(self) -> np.ndarray:
        """Values (n, *shape) float32 of all rows."""
        return self.take(np.arange(len(self)))

    def expect(self, index: np.ndarray) -> None:
        """Ask the kernel to read rows ``index`` ahead; neighbours are read in one go."""
        if not hasattr(os, "posix_fadvise"):  # not on macOS
            return
        for part, first, last in self._stretches(index):
            if isinstance(values := self.parts[part], np.memmap):
                size = values[0].nbytes
                with open(values.filename, "rb") as file:
                    start = values.offset + first * size
                    os.posix_fadvise(file.fileno(), start, (last - first) * size, os.POSIX_FADV_WILLNEED)

    def forget(self, index: np.ndarray) -> None:
        """Give up the memory of rows ``index``; what is in the page cache may stay there while there is room."""
        for part, first, last in self._stretches(index):
            if isinstance(values := self.parts[part], np.memmap):
                size, begins = values[0].nbytes, values.offset % mmap.ALLOCATIONGRANULARITY
                # Whole pages: a neighbour's half of one is mapped again when it is asked for.
                start = (begins + first * size) // mmap.PAGESIZE * mmap.PAGESIZE
                values._mmap.madvise(mmap.MADV_DONTNEED, start, begins + last * size - start)

    def _stretches(self, index: np.ndarray) -> Iterator[tuple[int, int, int]]:
        """Rows ``index`` as (part, first, last + 1) of neighbours in a file."""
        part, position = (self.rows[c].to_numpy()[index] for c in ("part", "position"))
        order = np.lexsort((position, part))
        part, position = part[order], position[order]
        breaks = np.flatnonzero((np.diff(part) != 0) | (np.diff(position) > 1)) + 1
        for stretch in np.split(np.arange(len(index)), breaks):
            yield int(part[stretch[0]]), int(position[stretch[0]]), int(position[stretch[-1]]) + 1

    def _complain(self, part: int, position: int) -> None:
        stimulus = self.rows.query("part == @part and position == @position")["stimulus"].iloc[0]
        found = f"NaN or infinity in row {position} (stimulus {stimulus!r})"
        raise InputError.about(self.paths[part], expected="finite values", found=found)

    def fingerprint(self) -> str:
        """Tells these rows from others: a hash of their names and of the values of some of them."""
        digest = hashlib.sha256(self.rows.drop(columns="part").to_csv(index=False).encode())
        probes = np.unique(np.linspace(0, len(self) - 1, PROBES).astype(np.int64))
        digest.update(self.take(probes).tobytes())
        return digest.hexdigest()[:16]


def read_cohort(
    paths: Sequence[Path], *, kind: str | tuple[str, ...], splits: Collection[str], agree: Sequence[str] = ()
) -> Cohort:
    """Read the rows of ``paths`` whose split is one of ``splits``.

    Args:
        kind: of the files.
        agree: keys of ``about`` that must be the same in all files, e.g. ``space``.

    Raises:
        InputError: no file or row, unequal shapes, files that disagree (simulated and real, say), or a
            stimulus that is trained on in one file and held out in another.
    """
    files = [artifacts.read(path, kind=kind, load=False) for path in paths]
    if not files:
        raise InputError("the cohort is empty: expected at least one file")
    for path, file in zip(paths, files, strict=True):
        if file.values.shape[1:] != files[0].values.shape[1:]:
            expected = f"rows of shape {files[0].values.shape[1:]} as in {paths[0]}"
            raise InputError.about(path, expected=expected, found=str(file.values.shape[1:]))
    about = artifacts.common_about((f.about for f in files), *agree)
    _refuse_leak(paths, files)
    tables = [_rows(number, file) for number, file in enumerate(files)]
    whole = Cohort(
        paths=tuple(Path(p) for p in paths),
        parts=tuple(f.values for f in files),
        rows=pd.concat(tables, ignore_index=True),
        axes=files[0].axes,
        unit=files[0].unit,
        about=about,
    )
    chosen = whole.where(whole.rows["split"].isin(list(splits)).to_numpy())
    if not len(chosen):
        listed = ", ".join(map(str, paths))
        raise InputError.about(listed, expected=f"rows of split {' or '.join(sorted(splits))}", found="none")
    return chosen


def _refuse_leak(paths: Sequence[Path], files: Sequence[artifacts.Samples]) -> None:
    """A stimulus is held out everywhere or nowhere, also where one study is in the config under two names."""
    stimuli: dict[tuple[str, str], set[str]] = {}
    for file in files:
        study = file.about.get("adapter", file.about["dataset"])
        for split, rows in file.rows.groupby("split"):
            stimuli.setdefault((study, str(split)), set()).update(rows["stimulus"])
    for (study, split), names in stimuli.items():
        both = names & stimuli.get((study, "test"), set())
        if split == "train" and both:
            found = f"{len(both):,} in both, such as {min(both)!r}"
            listed = ", ".join(map(str, paths))
            raise InputError.about(listed, expected="every stimulus in train or in test", found=found)


def _rows(number: int, file: artifacts.Samples) -> pd.DataFrame:
    about = file.about
    # Half a million rows share few texts: one object each, in place of one a row.
    texts = [name for name, column in file.rows.items() if not pd.api.types.is_numeric_dtype(column)]
    shared = {name: [sys.intern(text) for text in file.rows[name]] for name in texts}
    return file.rows.assign(
        **shared,
        dataset=sys.intern(about["dataset"]),
        subject=sys.intern(str(about.get("subject", ""))),
        part=number,
        position=np.arange(len(file.rows)),
    )


def refuse_other_vertices(path: Path, header: Mapping[str, Any], cohort: Cohort) -> None:
    """Stop where an encoder, whose file has this header, is given responses of another length or list of vertices.

    Raises:
        InputError: it is.
    """
    artifacts.common_about([header, cohort.about], "space")
    if header["vertices"] != cohort.shape[0]:
        expected, listed = f"an encoder of {cohort.shape[0]:,} vertices as in {cohort.paths[0]}", header["vertices"]
        raise InputError.about(path, expected=expected, found=f"one of {listed:,}")


def match(cohort: Cohort, targets: Cohort) -> np.ndarray:
    """For each row of ``cohort`` (n,) the row of ``targets`` with its dataset and stimulus.

    Raises:
        InputError: a stimulus has no target, or two, or simulated and real data would be mixed.
    """
    artifacts.common_about([cohort.about, targets.about])
    keys = pd.MultiIndex.from_frame(targets.rows[["dataset", "stimulus"]])
    listed = ", ".join(map(str, targets.paths))
    if keys.has_duplicates:
        raise InputError.about(listed, expected="one target a stimulus", found=f"two of {keys[keys.duplicated()][0]}")
    found = keys.get_indexer(pd.MultiIndex.from_frame(cohort.rows[["dataset", "stimulus"]]))
    if (found < 0).any():
        row = cohort.rows.iloc[int(np.argmin(found))]
        expected = f"a target of split {row['split']!r} for stimulus {row['stimulus']!r} of {row['dataset']!r}"
        raise InputError.about(listed, expected=expected, found="none")
    return found
