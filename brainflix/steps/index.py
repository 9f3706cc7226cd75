"""Step `index`: which clips a dataset shows, and where they are."""

from __future__ import annotations

from pathlib import Path

from brainflix import artifacts
from brainflix.datasets import adapter
from brainflix.datasets.base import splits
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
        InputError: a raw file is missing or contradicts another, or a movie is not there.
    """
    table = adapter(dataset).stimuli(root=root, subjects=subjects, options=options)
    splits(table)  # refuses a stimulus that is listed twice
    movies = table["path"].drop_duplicates().tolist()
    missing = [movie for movie in movies if not Path(movie).is_file()]
    if missing:
        found = f"{len(missing):,} missing, first {missing[0]}"
        raise InputError.about(root, expected=f"{len(movies):,} movies of {dataset}", found=found)
    artifacts.write_table(out, table)
