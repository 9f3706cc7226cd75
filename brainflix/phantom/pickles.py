"""Pickle a tuple of a large array and a list without holding the array in memory.

The pickle is the one that ``pickle.dump((array, names), file, protocol=4)`` writes. The array's bytes lie in one
piece inside it, so a pickle of a stand-in is cut in two around that piece, and the space between is mapped.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from brainflix.artifacts import replacing

# Longer than a pickle frame (64 KiB), so that pickle puts it outside of frames, as it does with large arrays.
_STAND_IN = b"\xa5" * 70_000


class _Array:
    """Pickles as a numpy array whose bytes are the stand-in."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape, self.dtype = shape, dtype

    def __reduce__(self) -> tuple:
        rebuild, arguments, _ = np.zeros(1, self.dtype).__reduce__()
        return rebuild, arguments, (1, self.shape, self.dtype, False, _STAND_IN)


@contextmanager
def mapped_pickle(path: Path, *, shape: tuple[int, ...], dtype: str, names: list[str]) -> Iterator[np.ndarray]:
    """Write a pickle of the 2-tuple (array, names); yields the array, mapped into the file, to be filled."""
    whole = pickle.dumps((_Array(shape, np.dtype(dtype)), names), protocol=4)
    # In front of the bytes stand their length and its opcode: B and four bytes, or \x8e and eight.
    start = whole.index(_STAND_IN)
    head, tail = whole[: start - 5], whole[start + len(_STAND_IN) :]
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    head += b"B" + struct.pack("<I", size) if size < 2**32 else b"\x8e" + struct.pack("<Q", size)
    with replacing(path) as partial:
        with open(partial, "wb") as file:
            file.write(head)
            file.seek(len(head) + size)
            file.write(tail)
        array = np.memmap(partial, dtype=dtype, mode="r+", offset=len(head), shape=shape)
        yield array
        array.flush()
        del array
