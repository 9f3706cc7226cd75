"""Raw files that a job opens, and what to say where one is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from brainflix import config as names
from brainflix import datasets, paths
from brainflix.config import Config
from brainflix.errors import InputError


def stimulus_files(config: Config, wildcards: Any, targets: Sequence[str]) -> list[str]:
    """Raw files that say what was shown.

    Args:
        targets: what the workflow was asked for, to name at once all that is missing for it.

    Raises:
        InputError: a file is missing; it says which, of all data that the targets need, and how to get them.
    """
    subjects = config["datasets"][wildcards.dataset]["subjects"]
    return _found(config, wildcards.dataset, targets, lambda adapter, how: adapter.raw_files(subjects=subjects, **how))


def response_files(config: Config, wildcards: Any, targets: Sequence[str]) -> list[str]:
    """Raw files that hold the responses of a subject, or of a shard of subjects; refused like `stimulus_files`."""
    subjects = names.inside(config, wildcards.dataset, wildcards.stem)

    def find(adapter: Any, how: dict[str, Any]) -> list[Path]:
        return [file for subject in subjects for file in adapter.response_files(subject=subject, **how)]

    return _found(config, wildcards.dataset, targets, find)


def _found(config: Config, dataset: str, targets: Sequence[str], find: Callable[..., list[Path]]) -> list[str]:
    """A simulated study has its last file stand for all: its names are for the phantom to know."""
    entry = config["datasets"][dataset]
    if dataset in config["phantom"]:
        return [f"{entry['root']}/phantom.json"]
    files = find(datasets.adapter(entry["adapter"]), {"root": Path(entry["root"]), "options": entry["options"]})
    if missing := datasets.which_are_missing(entry["adapter"], entry["root"], files):
        others = names.needed_datasets(config, paths.tables(config, targets)) - {dataset, *config["phantom"]}
        sentences = [missing, *(_missing(config["datasets"][name]) for name in sorted(others))]
        raise InputError("\n".join(["Raw data are missing.", *filter(None, sentences)]))
    return [str(file) for file in files]


def _missing(entry: dict[str, Any]) -> str | None:
    return datasets.what_is_missing(entry["adapter"], entry["root"], entry["subjects"], entry["options"])
