"""What the first bytes of a raw file say is wrong with it; nothing else of it is read.

Good for thousands of files in seconds: a series costs its header and its axes, a pickle of gigabytes the few
hundred bytes before its array, a movie eight bytes per box.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from brainflix.datasets import cifti, pickles, video
from brainflix.errors import InputError

LARGE = 1 << 20  # bytes: what a pickle hands over in one piece from here on is its array


@dataclass(frozen=True)
class Matrix:
    """What the header of a dataset's CIFTI files says.

    Attributes:
        maps: numbers of volumes or maps that occur; empty where any does.
        step_seconds: repetition time, or None where there is none.
    """

    grayordinates: int
    maps: tuple[int, ...] = ()
    step_seconds: float | None = None


def problem(path: Path, matrices: Mapping[str, Matrix]) -> str | None:
    """What is wrong with a file that is there, as a sentence that names it, or None.

    Args:
        matrices: by the end of a file's name, what its CIFTI header has to say.
    """
    try:
        if path.is_dir():  # the pictures of a clip, which its reader judges
            if not video.pictures_of(path):
                raise InputError.about(path, expected="a file, or pictures of a clip", found="a folder without any")
            return None
        if os.stat(path).st_size == 0:
            raise InputError.about(path, expected="a file with content", found="an empty one")
        _check_cifti(path, matrices)
        check = next((check for end, check in CHECKS.items() if path.name.endswith(end)), None)
        if check:
            with path.open("rb") as file:
                check(path, file)
    except InputError as error:
        return str(error)
    except OSError as error:
        return unreadable(path, error)
    return None


def unreadable(path: object, error: OSError) -> str:
    """The sentence for a file that the system does not let us read."""
    return str(InputError.about(path, expected="a readable file", found=error.strerror or str(error)))


def _check_cifti(path: Path, matrices: Mapping[str, Matrix]) -> None:
    matrix = next((m for end, m in matrices.items() if path.name.removesuffix(".gz").endswith(end)), None)
    if matrix is None:
        return
    header = cifti.read_header(path, grayordinates=matrix.grayordinates, step_seconds=matrix.step_seconds)
    if matrix.maps and header.maps not in matrix.maps:
        expected = " or ".join(map(str, matrix.maps)) + (" volumes" if matrix.step_seconds else " maps")
        raise InputError.about(path, expected=expected, found=str(header.maps))


class _Array(Exception):
    """The unpickler has come to the array, and asks for this many bytes."""


class _Head:
    """A file that a pickle can be read from up to its first large piece."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.readline = file, file.readline

    def read(self, size: int = -1) -> bytes:
        if size >= LARGE:
            raise _Array(size)
        return self.file.read(size)

    def readinto(self, buffer: Any) -> int:
        size = memoryview(buffer).nbytes
        if size >= LARGE:
            raise _Array(size)
        return self.file.readinto(buffer)  # type: ignore[attr-defined]


def _check_pickle(path: Path, file: IO[bytes]) -> None:
    """Names that are called before the array, and whether the file is long enough for it."""
    try:
        pickles.Unpickler(_Head(file), path).load()
    except _Array as array:
        needed, found = file.tell() + array.args[0], os.fstat(file.fileno()).st_size
        if found <= needed:
            raise InputError.about(
                path, expected=f"more than {needed:,} bytes", found=f"{found:,}: truncated"
            ) from None
    except (*pickles.DAMAGE, MemoryError) as error:
        raise InputError.about(path, expected="a whole pickle", found=f"damage ({error})") from error


def _check_movie(path: Path, file: IO[bytes]) -> None:
    """The boxes of an mp4 or mov have to end with the file, and hold an index and pictures."""
    size, position, found = os.fstat(file.fileno()).st_size, 0, set()
    while position < size:
        file.seek(position)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if not kind.isalnum() or (length and length < 8):
            if found >= {b"moov", b"mdat"}:  # some writers pad the end
                break
            raise InputError.about(path, expected="a movie (mp4)", found="something else")
        position += length or size
        found.add(kind)
    missing = {b"moov", b"mdat"} - found
    if missing or (position > size and length):
        state = "it is truncated" if position > size else f"no {min(missing).decode()} in it"
        raise InputError.about(path, expected="a whole movie (mp4)", found=state)


def _check_hdf5(path: Path, file: IO[bytes]) -> None:
    import h5py

    try:
        h5py.File(file, "r").close()
    except OSError as error:
        raise InputError.about(path, expected="a whole HDF5 file", found=str(error)) from error


CHECKS: dict[str, Callable[[Path, IO[bytes]], None]] = {
    ".pkl": _check_pickle,
    ".mp4": _check_movie,
    ".mov": _check_movie,
    ".hdf5": _check_hdf5,
    ".h5": _check_hdf5,
}
