"""The one typed file of the project: Samples in HDF5, weights in safetensors.

A Samples file is an array whose first axis is named row by row in a table::

    values   (n_rows, *shape)   contiguous, uncompressed; can be memory-mapped at its offset
    rows/*   one dataset per column of the table, same length as values
    @kind @axes @unit @about    what the values are, and how they were made (JSON)

A final name is always a whole file (:mod:`brainflix.atomic`).
A file states whether it was made from simulated data; :func:`common_about` refuses to mix.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from brainflix import __version__
from brainflix.atomic import replacing
from brainflix.errors import InputError

FORMAT = "brainflix-samples-1"


@dataclass(frozen=True)
class Samples:
    """An array, a table that names its rows, and where both came from.

    Attributes:
        kind: what the values are, e.g. ``responses``, ``targets``, ``predictions``, ``videos``.
        values: array (n_rows, *shape).
        rows: table with n_rows rows; column ``stimulus`` always exists.
        axes: names of the axes of ``values`` after the first.
        unit: physical unit or scale of the values, e.g. ``z``.
        about: JSON-able description (dataset, subject, model, simulated, ...).
    """

    kind: str
    values: np.ndarray
    rows: pd.DataFrame
    axes: tuple[str, ...]
    unit: str
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.values):
            raise ValueError(f"{len(self.rows)} row names for {len(self.values)} rows of values")
        if len(self.axes) != self.values.ndim - 1:
            raise ValueError(f"axes {self.axes} do not name the shape {self.values.shape[1:]}")
        if "stimulus" not in self.rows:
            raise ValueError("rows need a column 'stimulus'")

    def where(self, mask: np.ndarray) -> Samples:
        """The rows where ``mask`` (n_rows,) is true."""
        mask = np.asarray(mask)
        rows = self.rows.loc[mask].reset_index(drop=True)
        return Samples(self.kind, self.values[mask], rows, self.axes, self.unit, self.about)


def _new_file(partial: Path, size: int) -> h5py.File:
    """An empty HDF5 file on a disk that has ``size`` bytes of room: better known now than after hours of work."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with partial.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(size, 1))
    return h5py.File(partial, "w", libver="latest")  # which gives the bytes back


@contextmanager
def create(
    path: Path,
    *,
    kind: str,
    shape: Sequence[int],
    dtype: Any,
    rows: pd.DataFrame,
    axes: Sequence[str],
    unit: str,
    about: Mapping[str, Any],
) -> Iterator[h5py.Dataset]:
    """Open a Samples file for writing row by row; the file appears when the block ends well.

    Yields an h5py dataset of ``shape`` (n_rows, *shape) that accepts slices.

    Raises:
        InputError: the disk has no room for it; said before anything is computed where that can be known.
    """
    Samples(kind, np.broadcast_to(np.zeros((), dtype), shape), rows, tuple(axes), unit, dict(about))
    with replacing(Path(path)) as partial, _new_file(partial, math.prod(shape) * np.dtype(dtype).itemsize) as file:
        file.attrs["format"] = FORMAT
        file.attrs["kind"] = kind
        file.attrs["axes"] = json.dumps(list(axes))
        file.attrs["unit"] = unit
        _write_rows(file.create_group("rows", track_order=True), rows)
        # Early allocation keeps the array contiguous from the start, so it can be memory-mapped.
        yield file.create_dataset("values", shape=tuple(shape), dtype=dtype)
        # Last, so that a step can add to ``about`` what it learns while it writes.
        file.attrs["about"] = json.dumps({**about, "version": __version__}, sort_keys=True)


def write(path: Path, samples: Samples) -> None:
    """Write a whole Samples file."""
    with create(
        path,
        kind=samples.kind,
        shape=samples.values.shape,
        dtype=samples.values.dtype,
        rows=samples.rows,
        axes=samples.axes,
        unit=samples.unit,
        about=samples.about,
    ) as values:
        values[...] = samples.values


def read(path: Path, *, kind: str | tuple[str, ...], load: bool = True) -> Samples:
    """Read a Samples file of the stated kind, or of one of the stated kinds.

    Args:
        load: False memory-maps the values (read-only) in place of loading them.

    Raises:
        InputError: the file is missing, not ours, or of another kind.
    """
    path = Path(path)
    with _open(path) as file:
        kinds, found = (kind,) if isinstance(kind, str) else kind, str(file.attrs["kind"])
        if found not in kinds:
            raise InputError.about(path, expected=" or ".join(kinds), found=found)
        values = file["values"]
        array = values[...] if load else _map(path, values)
        return Samples(
            kind=found,
            values=array,
            rows=_read_rows(file["rows"]),
            axes=tuple(json.loads(file.attrs["axes"])),
            unit=str(file.attrs["unit"]),
            about=json.loads(file.attrs["about"]),
        )


def _open(path: Path) -> h5py.File:
    try:
        path.stat()
        file = h5py.File(path, "r")
    except FileNotFoundError as error:
        raise InputError.about(path, expected="a file made by an earlier step", found="nothing") from error
    except OSError as error:
        raise InputError.about(path, expected="a Samples file (HDF5)", found=str(error)) from error
    if file.attrs.get("format") != FORMAT:
        file.close()
        raise InputError.about(path, expected=f"format {FORMAT}", found="another HDF5 file")
    return file


def _map(path: Path, values: h5py.Dataset) -> np.ndarray:
    offset = values.id.get_offset()
    if offset is None:  # chunked or empty: nothing to map
        return values[...]
    return np.memmap(path, mode="r", dtype=values.dtype, shape=values.shape, offset=offset)


def _write_rows(group: h5py.Group, rows: pd.DataFrame) -> None:
    for name in rows.columns:
        column = rows[name].to_numpy()
        if column.dtype.kind in "iufb":
            group.create_dataset(name, data=column)
        else:
            group.create_dataset(name, data=[str(x) for x in column], dtype=h5py.string_dtype())


def _read_rows(group: h5py.Group) -> pd.DataFrame:
    columns = {}
    for name, data in group.items():
        is_text = h5py.check_string_dtype(data.dtype) is not None
        columns[name] = data.asstr()[...].astype(object) if is_text else data[...]
    return pd.DataFrame(columns)


def common_about(abouts: Iterable[Mapping[str, Any]], *keys: str) -> dict[str, Any]:
    """What several inputs agree on: ``simulated`` always, and ``keys``.

    Raises:
        InputError: simulated and real data would be mixed, or a key differs.
    """
    abouts = list(abouts)
    common = {}
    for key in ("simulated", *keys):
        values = {json.dumps(a.get(key)) for a in abouts}
        if len(values) > 1:
            raise InputError(f"inputs disagree on {key!r}: {', '.join(sorted(values))}")
        common[key] = json.loads(values.pop())
    return common


def save_weights(path: Path, tensors: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    """Write torch tensors or numpy arrays as safetensors, ``header`` as JSON in its metadata."""
    metadata = {"brainflix": json.dumps({**header, "version": __version__}, sort_keys=True)}
    arrays = {k: np.asarray(getattr(v, "numpy", lambda v=v: v)(), order="C") for k, v in tensors.items()}
    from safetensors.numpy import save_file

    with replacing(Path(path)) as partial:
        save_file(arrays, partial, metadata=metadata)


def load_weights(path: Path, *, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read (arrays, header) of a weights file whose header states ``kind``.

    Raises:
        InputError: the file is missing, damaged, not ours, or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("brainflix", "{}"))
            if header.get("kind") != kind:
                found = header.get("kind", "a file without our header")
                raise InputError.about(path, expected=f"weights of kind {kind}", found=str(found))
            return {name: file.get_tensor(name) for name in list(file.keys())}, header
    except (OSError, SafetensorError) as error:
        raise InputError.about(path, expected=f"weights of kind {kind}", found=str(error)) from error


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as .tsv or .csv (by the name), floats with 9 significant digits."""
    separator = "\t" if Path(path).suffix == ".tsv" else ","
    with replacing(Path(path)) as partial:
        table.to_csv(partial, sep=separator, index=False, float_format="%.9g", lineterminator="\n")


def read_table(path: Path, *, columns: Sequence[str]) -> pd.DataFrame:
    """Read a .tsv or .csv that must have ``columns``; text stays text, blanks become NaN or "".

    Raises:
        InputError: the file is missing or unreadable, not UTF-8, or lacks a column.
    """
    separator = "\t" if Path(path).suffix == ".tsv" else ","
    text = {"stimulus": str, "subject": str, "run": str, "path": str, "caption": str}
    try:
        table = pd.read_csv(path, sep=separator, dtype=text, keep_default_na=False, na_values={})
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError.about(path, expected=f"a table with columns {', '.join(columns)}", found=str(error)) from error
    missing = [c for c in columns if c not in table]
    if missing:
        raise InputError.about(path, expected=f"columns {', '.join(columns)}", found=f"no {', '.join(missing)}")
    for name in table.columns.difference(list(text)):
        table[name] = _numbers_where_possible(table[name])
    return table


def _numbers_where_possible(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column.replace("", np.nan), errors="coerce")
    return numbers if numbers.notna().sum() == (column != "").sum() else column
