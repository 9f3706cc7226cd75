"""The datasets: one module knows everything about one of them.

Listing and asking for file names reads nothing and imports no reader, so a workflow can ask cheaply:

    adapter("bmd").raw_files(root=..., subjects=[...], options={...})        what `index` and `caption` need
    adapter("bmd").response_files(root=..., subject="01", options={...})     what `parcellate` needs
    adapter("bmd").stimuli(root=..., subjects=[...], options={...})          table of stimuli
    adapter("bmd").responses(root=..., subject="01", stimuli=..., options=..., vertices=...)
    adapter("bmd").captions(root=..., stimuli=...)                           human sentences, or None

A new dataset is one more module with ``FACTS``, ``SOURCES`` (where its files are), ``HEADERS`` (what its CIFTI files
say), a frozen dataclass ``Options`` (of ``base.Choices``) and these five functions, and one more line in ``ADAPTERS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from brainflix.errors import InputError

ADAPTERS = {
    "bmd": "brainflix.datasets.bmd",
    "had": "brainflix.datasets.had",
    "cc2017": "brainflix.datasets.cc2017",
    "hcp": "brainflix.datasets.hcp",
    "mosaic": "brainflix.datasets.mosaic",
}
SIMULATED_MARKS = ("SIMULATED", "phantom.json")  # the first file that the phantom writes, and the last


def adapter(name: str) -> ModuleType:
    """The module of a dataset.

    Raises:
        InputError: no dataset of that name.
    """
    if name not in ADAPTERS:
        raise InputError.about("dataset", expected=f"one of {', '.join(ADAPTERS)}", found=name)
    return import_module(ADAPTERS[name])


def is_simulated(root: Path) -> bool:
    """Whether the tree under ``root`` was written by the phantom, be it half; it leaves its marks there."""
    folders = (Path(root), Path(root).absolute().parent)  # one may name the folder in the tree that holds the data
    return any((folder / mark).exists() for folder in folders for mark in SIMULATED_MARKS)


def what_is_missing(name: str, root: Path, subjects: Sequence[str], options: Mapping[str, Any]) -> str | None:
    """One sentence on the raw files that are not there and how to get them, or None if all are.

    Looks only for names known from the configuration; nothing is opened.
    """
    module, root = adapter(name), Path(root)
    files = module.raw_files(root=root, subjects=subjects, options=options)
    for subject in subjects:
        files += module.response_files(root=root, subject=subject, options=options)
    return which_are_missing(name, root, files)


def which_are_missing(name: str, root: Path, files: Sequence[Path]) -> str | None:
    """One sentence on those of some raw files that are not there and how to get them, or None if all are."""
    from brainflix.datasets.base import is_there  # adapters have imported it by now

    module, root = adapter(name), Path(root)
    files = list(dict.fromkeys(files))
    missing = [file for file in files if not is_there(file)]
    if not missing:
        return None
    state = "" if root.is_dir() else " (no such folder)"
    first = ", ".join(str(file.relative_to(root)) for file in missing[:3]) + (", ..." if missing[3:] else "")
    facts = module.FACTS
    return (
        f"{name}: expected {facts.title} in {root.absolute()}{state}, found {len(missing):,} of its "
        f"{len(files):,} files missing: {first}; get {facts.what_to_download}; see {facts.homepage}; "
        f"licence: {facts.licence}"
    )
