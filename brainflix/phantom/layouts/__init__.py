"""The native layouts of the four datasets, spelled out from their documentation, one file each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType

from brainflix.errors import InputError
from brainflix.phantom.study import DATASETS, Study


def writer(dataset: str) -> Callable[[Study], None]:
    """The function that writes a whole simulated dataset in its native layout.

    Raises:
        InputError: no dataset of that name.
    """
    return _layout(dataset).write


def quirks(dataset: str) -> Mapping[str, str]:
    """Rarer forms of a dataset that can be written on demand: name -> what it is."""
    return getattr(_layout(dataset), "QUIRKS", {})


def _layout(dataset: str) -> ModuleType:
    if dataset not in DATASETS:
        raise InputError.about("dataset", expected=f"one of {', '.join(DATASETS)}", found=dataset)
    return import_module(f"{__name__}.{dataset}")
