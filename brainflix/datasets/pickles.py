"""Pickles from other laboratories, opened without running what may be inside.

Unpickling can call any function a file names. Only what arrays and plain containers need is let in; any
other name is refused before it is looked up. Nor do numpy's own makers of arrays see what a file says, as
they believe it: stand-ins note it down, and arrays are made over the file's bytes once it is checked.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brainflix.errors import InputError

# What bytes that are no pickle, or names that are let in with other arguments, can end in.
DAMAGE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class _Dtype:
    """Stands in for ``numpy.dtype``: numbers, text and objects, no fields."""

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        if not re.fullmatch(r"[biufcSUO]\d{0,9}", code):
            raise ValueError(f"data type {code!r}")
        self.type = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        _, order, *fields = state[:5]
        if fields != [None, None, None]:
            raise ValueError("a data type with fields")
        self.type = self.type.newbyteorder(order)


class _Array:
    """Stands in for an array until its state is known."""

    def __init__(self, *_: Any) -> None:
        self.values: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        self.values = _over(data, dtype, shape, "F" if fortran else "C")


def _over(data: Any, dtype: _Dtype, shape: Sequence[int], order: str) -> np.ndarray:
    """An array over bytes, which are not copied; a list holds the objects of an object array."""
    if dtype.type.hasobject:
        flat = np.empty(len(data), dtype.type)
        flat[:] = list(data)
    else:
        flat = np.frombuffer(data, dtype.type) if len(data) else np.empty(0, dtype.type)
    if min(shape, default=0) < 0:  # to numpy, whatever is left
        raise ValueError(f"shape {shape}")
    return flat.reshape(shape, order=order)


def _from_buffer(data: Any, dtype: _Dtype, shape: Sequence[int], order: str, axes: Any = None) -> np.ndarray:
    values = _over(data, dtype, shape, "C" if axes is not None else order)
    return values if axes is None else values.transpose(axes)


def _scalar(dtype: _Dtype, data: bytes) -> Any:
    return _over(data, dtype, (1,), "C")[0]


def _plain(content: Any, known: dict[int, Any]) -> Any:
    """Content with arrays in place of what stood in for them; ``known``: of containers that were met before.

    A hundred bytes can hold a list twice that holds a list twice, and so on: each is gone through once.
    """
    if isinstance(content, _Array):
        return content.values
    if isinstance(content, (list, tuple, dict)) and id(content) not in known:
        if isinstance(content, dict):
            known[id(content)] = {key: _plain(value, known) for key, value in content.items()}
        else:
            known[id(content)] = type(content)([_plain(value, known) for value in content])
    return known.get(id(content), content)


INSTEAD = {
    ("numpy", "ndarray"): None,  # the type of array to make; there is but one
    ("numpy", "dtype"): _Dtype,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
}
ALLOWED = {
    ("_codecs", "encode"),  # how protocols below 3 spell bytes
    *(("builtins", name) for name in ("bytearray", "bytes", "complex", "frozenset", "set", "slice", "range")),
}


class Unpickler(pickle.Unpickler):
    """Lets in what arrays and plain containers need; ``path`` is named when it refuses."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file)
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("__builtin__", "builtins")  # as protocols below 3 say
        key = module.replace("numpy.core.", "numpy._core."), name  # numpy 1 wrote the published files
        if key in INSTEAD:
            return INSTEAD[key]
        if key not in ALLOWED:
            raise InputError.about(
                self.path, expected="a pickle of numpy arrays", found=f"a call of {module}.{name}: refused"
            )
        return super().find_class(module, name)

    def load(self) -> Any:
        return _plain(super().load(), {})


def load(path: Path) -> Any:
    """Read a pickle made of numpy arrays, text, numbers and containers; arrays are read-only.

    The largest array is held once: its bytes are read straight into the memory the array then uses.

    Raises:
        InputError: missing, truncated, no pickle, too large for memory, or naming anything but numpy's
            array makers.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return Unpickler(file, path).load()
    except OSError as error:
        found = error.strerror or "nothing"
        raise InputError.about(path, expected="a readable pickle", found=found) from error
    except MemoryError as error:
        found = f"{path.stat().st_size:,} bytes that ask for more"
        raise InputError.about(path, expected="a pickle that fits into memory", found=found) from error
    except DAMAGE as error:
        raise InputError.about(path, expected="a whole pickle", found=f"damage ({error})") from error
