"""Step `index`: which clips a dataset shows, and where they are."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from brainflix import artifacts
from brainflix.datasets import adapter
from brainflix.datasets.base import is_there, splits
from brainflix.datasets.overlap import shares_time
from brainflix.errors import InputError
from brainflix.settings import Options


def index(*, dataset: str, root: Path, subjects: list[str], options: Options, out: Path) -> None:
    """List a dataset's stimuli.

    Args:
        dataset: adapter, one of brainflix.datasets.ADAPTERS.
        root: folder that holds the download.
        subjects: whose stimuli, as the dataset spells them.
        options: the adapter's options.
        out: table (stimulus, split, path, start_seconds, stop_seconds); blank seconds mean the whole file.
            Paths start with ``root`` as given. Empty for resting state.

    Raises:
        InputError: a raw file is missing or contradicts another, a movie is not there, or a training clip
            shows a moment of a test clip.
    """
    table = adapter(dataset).stimuli(root=root, subjects=subjects, options=options)
    splits(table)  # refuses a stimulus that is listed twice
    _refuse_overlap(table, dataset)
    movies = table["path"].drop_duplicates().tolist()
    missing = [movie for movie in movies if not is_there(Path(movie))]
    if missing:
        found = f"{len(missing):,} missing, first {missing[0]}"
        raise InputError.about(root, expected=f"{len(movies):,} movies of {dataset}", found=found)
    artifacts.write_table(out, table)


def _refuse_overlap(table: pd.DataFrame, dataset: str) -> None:
    """Nothing may be learnt from a moment that a test clip shows, whatever the split of its own clip."""
    is_test = table["split"] == "test"
    shared = shares_time(table["path"], table["start_seconds"], table["stop_seconds"], is_test)
    leaks = table["stimulus"][shared & (table["split"] == "train")].tolist()
    if leaks:
        found = f"{len(leaks):,}, first {leaks[0]}"
        raise InputError.about(
            f"stimuli of {dataset}", expected="no training clip that shares time with a test clip", found=found
        )
