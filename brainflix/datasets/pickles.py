"""Pickles from other laboratories, opened without running what may be inside.

Unpickling can call any function a file names. Only what arrays and plain containers need is let in; any
other name is refused before it is looked up.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from brainflix.errors import InputError

_ARRAY_MAKERS = ("_reconstruct", "scalar", "_frombuffer")
ALLOWED = {
    *(("numpy._core.multiarray", name) for name in _ARRAY_MAKERS),
    *(("numpy._core.numeric", name) for name in _ARRAY_MAKERS),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),  # how protocols below 3 spell bytes
    *(("builtins", name) for name in ("bytearray", "complex", "frozenset", "set", "slice", "range")),
}


class Unpickler(pickle.Unpickler):
    """Lets in what arrays and plain containers need; ``path`` is named when it refuses."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file)
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")  # numpy 1 wrote the published files
        if (module, name) not in ALLOWED:
            raise InputError.about(
                self.path, expected="a pickle of numpy arrays", found=f"a call of {module}.{name}: refused"
            )
        return super().find_class(module, name)


def load(path: Path) -> Any:
    """Read a pickle made of numpy arrays, text, numbers and containers.

    The largest array is held once: its bytes are read straight into the memory the array then uses.

    Raises:
        InputError: missing, truncated, no pickle, or naming anything but numpy's array makers.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return Unpickler(file, path).load()
    except OSError as error:
        found = error.strerror or "nothing"
        raise InputError.about(path, expected="a readable pickle", found=found) from error
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError) as error:
        raise InputError.about(path, expected="a whole pickle", found=f"damage ({error})") from error
