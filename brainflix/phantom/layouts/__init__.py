"""The native layouts of the four datasets, spelled out from their documentation, one file each."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from brainflix.errors import InputError
from brainflix.phantom.study import DATASETS, Study


def writer(dataset: str) -> Callable[[Study], None]:
    """The function that writes a whole simulated dataset in its native layout.

    Raises:
        InputError: no dataset of that name.
    """
    if dataset not in DATASETS:
        raise InputError.about("dataset", expected=f"one of {', '.join(DATASETS)}", found=dataset)
    return import_module(f"{__name__}.{dataset}").write
