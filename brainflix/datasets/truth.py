"""What people saw: the true frames of clips, by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from brainflix import artifacts
from brainflix.datasets import video
from brainflix.errors import InputError


def true_frames(stimuli: Path, names: Sequence[str], *, count: int, pixels: int) -> Iterator[tuple[int, np.ndarray]]:
    """Frames of the named clips, from their movies, each movie read once: (place in ``names``, frames).

    Yields:
        frames uint8 (count, pixels, pixels, 3); not in the order of ``names``.

    Raises:
        InputError: a clip is not in the table, or its movie does not decode.
    """
    table = artifacts.read_table(stimuli, columns=["stimulus", "path", "start_seconds", "stop_seconds"])
    unknown = set(names) - set(table["stimulus"])
    if unknown:
        raise InputError.about(stimuli, expected=f"a row for {min(unknown)}", found="none")
    places = {name: place for place, name in enumerate(names)}
    rows = table[table["stimulus"].isin(places)].sort_values(["path", "start_seconds"]).reset_index(drop=True)
    for row, frames in video.iterate(rows, count=count, pixels=pixels):
        yield places[rows["stimulus"][row]], frames
