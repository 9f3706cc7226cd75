"""CIFTI-2 files, read without reading what is not wanted.

A ``.dtseries.nii`` is a NIfTI-2 file: 540 bytes of header, an XML extension that names the axes, then the
matrix. NIfTI stores its first axis fastest, and the first axis of a CIFTI matrix is *time* (or the map):
each grayordinate is one contiguous series on disk. The 41 regions are therefore some 600 contiguous byte
ranges, a seventh of the file, and nothing else is touched: the kernel is told of all of them at once, and they
are read, transformed and transposed in blocks that fit a processor's cache.

A ``.nii.gz`` can only be read from its beginning; it is inflated up to the last series wanted, keeping those.

Byte order, data type and scaling are honoured as the header states them (big-endian, integer and scaled
files are legal); results equal ``nibabel``'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from isal import igzip, isal_zlib

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
BLOCK_BYTES = 1 << 20  # of series as stored; with their float64 copy they still fit a level-2 cache
DAMAGE = (OSError, EOFError, isal_zlib.error)  # what reading a file, compressed or not, may end in


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

    Raises:
        InputError: the file ends too early or is damaged.
    """
    values = np.empty((n_rows, len(vertices)), dtype=np.float32)
    for columns, series in _blocks(header, np.asarray(vertices)):
        values[:, columns] = transform(_scaled(series, header)).T
    return values


def _blocks(header: Header, vertices: np.ndarray) -> Iterator[tuple[slice | np.ndarray, np.ndarray]]:
    """The series wanted, block by block: (their columns in the result, as stored (n, maps)).

    In the order wanted, so that columns are neighbours; a compressed file is read in its own order.
    """
    series_bytes = header.maps * header.dtype.itemsize
    order = np.argsort(vertices, kind="stable") if _is_compressed(header.path) else None
    block = np.empty((min(max(BLOCK_BYTES // series_bytes, 1), len(vertices)), header.maps), header.dtype)
    raw = memoryview(block.reshape(-1).view(np.uint8))
    with _open(header.path, buffering=0) as file:
        if order is None and hasattr(os, "posix_fadvise"):  # not on macOS
            _announce(file, header, vertices)
        for first in range(0, len(vertices), len(block)):
            columns = slice(first, min(first + len(block), len(vertices)))
            columns = columns if order is None else order[columns]
            wanted = vertices[columns]
            for start, part in _contiguous(wanted):
                target = raw[part.start * series_bytes : part.stop * series_bytes]
                _read_into(header.path, file, header.offset + start * series_bytes, target)
            yield columns, block[: len(wanted)]


def _announce(file: IO[bytes], header: Header, vertices: np.ndarray) -> None:
    """Have the kernel fetch from disk, in the order of the file, what will be read, unless it is in memory."""
    series_bytes = header.maps * header.dtype.itemsize
    if _is_cached(file, header.offset + int(vertices.max()) * series_bytes):
        return
    for start, part in _contiguous(np.unique(vertices)):
        offset, size = header.offset + start * series_bytes, (part.stop - part.start) * series_bytes
        os.posix_fadvise(file.fileno(), offset, size, os.POSIX_FADV_WILLNEED)


def _is_cached(file: IO[bytes], offset: int) -> bool:
    """Whether the byte at ``offset`` can be had without a disk; False where the system cannot tell."""
    try:
        return os.preadv(file.fileno(), [bytearray(1)], offset, os.RWF_NOWAIT) == 1
    except (AttributeError, OSError):
        return False


def _contiguous(vertices: np.ndarray) -> Iterator[tuple[int, slice]]:
    """Runs of neighbours: (first grayordinate, where in ``vertices``)."""
    edges = (np.flatnonzero(np.diff(vertices) != 1) + 1).tolist()
    for a, b in zip([0, *edges], [*edges, len(vertices)], strict=True):
        yield int(vertices[a]), slice(a, b)


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
    if dim[0] != 6 or dim[1:5] != [1, 1, 1, 1] or min(dim[5:7]) < 1:
        raise InputError.about(path, expected="a CIFTI-2 matrix", found=f"dimensions {dim[1 : dim[0] + 1]}")
    axes = _axes(path, _extension(path, file, int(fields["vox_offset"]), order))
    _expect(path, "grayordinates as in its own axis", axes.grayordinates, dim[6])
    scaled = bool(np.isfinite(fields["slope"]) and fields["slope"] != 0)
    if scaled and not np.isfinite(fields["intercept"]):
        raise InputError.about(path, expected="a finite intercept", found=str(fields["intercept"]))
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
    expected = header.offset + header.maps * header.grayordinates * header.dtype.itemsize
    found = _inflated_size(header.path, expected) if _is_compressed(header.path) else header.path.stat().st_size
    if found < expected:
        raise InputError.about(header.path, expected=f"{expected:,} bytes", found=f"{found:,}: it is truncated")


def _inflated_size(path: Path, expected: int) -> int:
    """Bytes in a compressed file: what its last four say where that fits, else by inflating it.

    They hold the size modulo 2^32 of its last part, which is the whole unless it was written in parts.
    """
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        if int.from_bytes(file.read(), "little") == expected % 2**32:
            return expected
    size = 0
    with _open(path) as file:
        try:
            while piece := file.read(BLOCK_BYTES):
                size += len(piece)
        except DAMAGE:
            pass  # the size up to there tells
    return size


def _is_compressed(path: Path) -> bool:
    return path.suffix == ".gz"


def _open(path: Path, buffering: int = -1) -> IO[bytes]:
    try:
        return igzip.open(path, "rb") if _is_compressed(path) else path.open("rb", buffering=buffering)
    except OSError as error:
        raise InputError.about(path, expected="a readable CIFTI-2 file", found=error.strerror or "nothing") from error


def _read_at(path: Path, file: IO[bytes], offset: int, size: int, expected: str = "a whole file") -> bytes:
    data = bytearray(size)
    _read_into(path, file, offset, memoryview(data), expected)
    return bytes(data)


def _read_into(path: Path, file: IO[bytes], offset: int, target: memoryview, expected: str = "a whole file") -> None:
    """Fill ``target`` with the bytes from ``offset`` on."""
    try:
        file.seek(offset)
        while len(target) and (count := file.readinto(target)):  # type: ignore[attr-defined]
            target = target[count:]
    except DAMAGE as error:
        raise InputError.about(path, expected=expected, found=str(error)) from error
    if len(target):
        raise InputError.about(path, expected=expected, found="its end too early")
