"""CIFTI-2 files, read without reading what is not wanted.

A ``.dtseries.nii`` is a NIfTI-2 file: 540 bytes of header, an XML extension that names the axes, then the
matrix. NIfTI stores its first axis fastest, and the first axis of a CIFTI matrix is *time* (or the map):
each grayordinate is one contiguous series on disk. The 41 regions are therefore some 600 contiguous byte
ranges, a seventh of the file, and nothing else is touched.

Byte order, data type and scaling are honoured as the header states them (big-endian, integer and scaled
files are legal); results equal ``nibabel``'s.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from brainflix.datasets.cifti_axes import Axes, parse_axes
from brainflix.errors import InputError

# Offsets and types of the fields of the NIfTI-2 header that matter here (nifti.nimh.nih.gov).
FIELDS = {
    "names": ["magic", "datatype", "dim", "vox_offset", "slope", "intercept"],
    "formats": ["S4", "i2", "(8,)i8", "i8", "f8", "f8"],
    "offsets": [4, 12, 16, 168, 176, 184],
    "itemsize": 540,
}
TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
CIFTI_EXTENSION = 32


@dataclass(frozen=True)
class Header:
    """What the first kilobytes of a file say.

    Attributes:
        maps: length of the first axis: volumes of a series, maps of a dscalar.
        step_seconds: repetition time, or None when the first axis is not a time.
        offset: byte at which the matrix (grayordinates, maps) starts.
        slope, intercept: stored value -> value; (1, 0) when the file is not scaled.
    """

    path: Path
    maps: int
    grayordinates: int
    step_seconds: float | None
    dtype: np.dtype
    offset: int
    slope: float
    intercept: float


def read_header(
    path: Path, *, grayordinates: int, maps: int | None = None, step_seconds: float | None = None
) -> Header:
    """Read and check a header: a whole CIFTI-2 file whose cortex is the standard 32k one.

    Args:
        grayordinates: number expected, 91,282 or 59,412.
        maps: number of volumes or maps expected; None accepts any.
        step_seconds: repetition time expected; None accepts any.

    Raises:
        InputError: naming the file, what was expected and what was found.
    """
    path = Path(path)
    with _open(path) as file:
        header = _parse(path, file)
    _expect(path, "grayordinates", grayordinates, header.grayordinates)
    if maps is not None:
        _expect(path, "volumes", maps, header.maps)
    if step_seconds is not None and abs((header.step_seconds or 0) - step_seconds) > 1e-4:
        raise InputError.about(
            path, expected=f"a repetition time of {step_seconds:g} s", found=f"{header.step_seconds} s"
        )
    _check_whole(header)
    return header


def read(
    header: Header,
    vertices: np.ndarray,
    *,
    n_rows: int,
    transform: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Columns ``vertices`` of the matrix, transformed while they are in cache.

    Args:
        vertices: grayordinates wanted (n_vertices,), in the order wanted.
        transform: (n, maps) -> (n, n_rows), works on each series on its own.

    Returns:
        float32 (n_rows, n_vertices).
    """
    values = np.empty((n_rows, len(vertices)), dtype=np.float32)
    series_bytes = header.maps * header.dtype.itemsize
    with _open(header.path) as file:
        for start, columns in _contiguous(vertices):
            n_series = columns.stop - columns.start
            data = _read_at(header.path, file, header.offset + start * series_bytes, n_series * series_bytes)
            series = np.frombuffer(data, dtype=header.dtype).reshape(n_series, header.maps)
            values[:, columns] = transform(_scaled(series, header)).T
    return values


def _contiguous(vertices: np.ndarray) -> Iterator[tuple[int, slice]]:
    """Runs of neighbours as (first grayordinate, columns of the result), in the order of the file."""
    edges = np.flatnonzero(np.diff(vertices) != 1) + 1
    starts, stops = [0, *edges.tolist()], [*edges.tolist(), len(vertices)]
    runs = [(int(vertices[a]), slice(a, b)) for a, b in zip(starts, stops, strict=True)]
    yield from sorted(runs, key=lambda run: run[0])


def _scaled(series: np.ndarray, header: Header) -> np.ndarray:
    if (header.slope, header.intercept) == (1, 0):
        return series
    return series * np.float64(header.slope) + header.intercept


def _parse(path: Path, file: IO[bytes]) -> Header:
    raw = _read_at(path, file, 0, 540, expected="a CIFTI-2 file")
    order = {b"\x1c\x02\x00\x00": "<", b"\x00\x00\x02\x1c": ">"}.get(raw[:4])
    if order is None or raw[4:7] != b"n+2":
        raise InputError.about(path, expected="a CIFTI-2 file", found="no NIfTI-2 header")
    fields = np.frombuffer(raw, np.dtype(FIELDS).newbyteorder(order))[0]
    if int(fields["datatype"]) not in TYPES:
        raise InputError.about(path, expected="a numeric data type", found=f"NIfTI code {fields['datatype']}")
    dim = fields["dim"].tolist()
    if dim[0] != 6 or min(dim[5:7]) < 1:
        raise InputError.about(path, expected="a CIFTI-2 matrix", found=f"dimensions {dim[1 : dim[0] + 1]}")
    axes = _axes(path, _extension(path, file, int(fields["vox_offset"]), order))
    _expect(path, "grayordinates as in its own axis", axes.grayordinates, dim[6])
    scaled = bool(np.isfinite([fields["slope"], fields["intercept"]]).all() and fields["slope"] != 0)
    return Header(
        path=path,
        maps=dim[5],
        grayordinates=dim[6],
        step_seconds=axes.step_seconds,
        dtype=np.dtype(TYPES[int(fields["datatype"])]).newbyteorder(order),
        offset=int(fields["vox_offset"]),
        slope=float(fields["slope"]) if scaled else 1.0,
        intercept=float(fields["intercept"]) if scaled else 0.0,
    )


def _extension(path: Path, file: IO[bytes], stop: int, order: str) -> bytes:
    """The XML between the header and the matrix."""
    position = 544  # 540 bytes of header, 4 that announce extensions
    while position + 8 <= stop:
        size, code = np.frombuffer(_read_at(path, file, position, 8), f"{order}i4").tolist()
        if size < 8 or position + size > stop:
            break
        if code == CIFTI_EXTENSION:
            return _read_at(path, file, position + 8, size - 8).rstrip(b"\0")
        position += size
    raise InputError.about(path, expected="a CIFTI-2 file", found="a NIfTI file without the CIFTI extension")


def _axes(path: Path, xml: bytes) -> Axes:
    axes = parse_axes(xml)
    if isinstance(axes, str):
        raise InputError.about(path, expected="CIFTI-2 on the standard 32k cortex", found=axes)
    return axes


def _expect(path: Path, what: str, expected: int, found: int) -> None:
    if expected != found:
        raise InputError.about(path, expected=f"{expected:,} {what}", found=f"{found:,}")


def _check_whole(header: Header) -> None:
    if header.path.suffix == ".gz":  # its length says nothing; a short stream is noticed while reading
        return
    expected = header.offset + header.maps * header.grayordinates * header.dtype.itemsize
    found = header.path.stat().st_size
    if found < expected:
        raise InputError.about(header.path, expected=f"{expected:,} bytes", found=f"{found:,}: it is truncated")


def _open(path: Path) -> IO[bytes]:
    try:
        return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise InputError.about(path, expected="a readable CIFTI-2 file", found=error.strerror or "nothing") from error


def _read_at(path: Path, file: IO[bytes], offset: int, size: int, expected: str = "a whole file") -> bytes:
    try:
        file.seek(offset)
        data = file.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError.about(path, expected=expected, found=str(error)) from error
    if len(data) < size:
        raise InputError.about(path, expected=expected, found="its end too early")
    return data
