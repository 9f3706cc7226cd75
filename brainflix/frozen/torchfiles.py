"""Checkpoints that others saved with torch, opened without running what may be inside.

torch's own restricted unpickler makes tensors and plain containers and nothing else. MinD-Vis keeps its settings
beside the weights, as an object of a class of its own module ``config``; here a bag of attributes stands in for it.
Any other name is refused before it is looked up.
"""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from brainflix.errors import InputError

# What a checkpoint that was tampered with, or one by a torch to come, can end in.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
_SETTINGS = re.compile(r"config\.\w+")


class Bag:
    """Stands in for an object of a class of ``config``: its attributes, and nothing it could do."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.attributes = dict(state)


def read(path: Path) -> Any:
    """What ``torch.save`` wrote, on the CPU; tensors stay on disk until they are used.

    Objects of classes of a module ``config`` come as :class:`Bag`.

    Raises:
        InputError: no such file, not a checkpoint, truncated or damaged, or naming anything that torch does not
            hold for safe.
    """
    path = Path(path)
    try:
        _refuse_damage(path)
        names = get_unsafe_globals_in_checkpoint(str(path))
        if calls := sorted(name for name in names if not _SETTINGS.fullmatch(name)):
            found = f"a call of {calls[0]}: refused"
            raise InputError.about(path, expected="a checkpoint of tensors and settings", found=found)
        with safe_globals([(Bag, name) for name in names]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except OSError as error:
        found = error.strerror or str(error)
        raise InputError.about(path, expected="a readable checkpoint", found=found) from error
    except _DAMAGE as error:
        found = f"damage ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        raise InputError.about(path, expected="a whole checkpoint (torch.save)", found=found) from error


def _refuse_damage(path: Path) -> None:
    """A checkpoint is a zip archive whose members carry checksums, which torch does not look at in mapped files."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            raise InputError.about(path, expected="a whole checkpoint (torch.save)", found="another kind of file")
    with zipfile.ZipFile(path) as archive:
        if broken := archive.testzip():
            raise zipfile.BadZipFile(f"checksum of {broken}")
