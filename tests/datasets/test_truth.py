"""True frames by name, whatever the order of names and windows."""

import numpy as np
import pandas as pd
import pytest

from brainflix import artifacts, figures
from brainflix.datasets.truth import true_frames
from brainflix.errors import InputError


@pytest.fixture
def stimuli(tmp_path):
    """One movie that brightens second by second, cut into windows, and one dark clip."""
    seconds = np.repeat(np.arange(6), 8)
    grey = (40 * seconds).astype(np.uint8)[:, None, None, None]
    figures.write_mp4(tmp_path / "long.mp4", np.broadcast_to(grey, (48, 32, 32, 3)), fps=8, repeats=1)
    figures.write_mp4(tmp_path / "short.mp4", np.zeros((8, 32, 32, 3), np.uint8), fps=8, repeats=1)
    rows = [(f"w{i}", str(tmp_path / "long.mp4"), float(i), i + 1.0) for i in (4, 1, 3)]
    rows.append(("dark", str(tmp_path / "short.mp4"), None, None))
    table = pd.DataFrame(rows, columns=["stimulus", "path", "start_seconds", "stop_seconds"])
    artifacts.write_table(tmp_path / "stimuli.tsv", table)
    return tmp_path / "stimuli.tsv"


def test_frames_come_with_the_place_of_their_name(stimuli):
    found = dict(true_frames(stimuli, ["w4", "dark", "w1"], count=3, pixels=16))
    assert [found[place].shape for place in range(3)] == [(3, 16, 16, 3)] * 3
    for place, level in ((0, 160), (1, 0), (2, 40)):
        assert abs(found[place].mean() - level) < 3


def test_a_clip_that_is_not_listed_is_named(stimuli):
    with pytest.raises(InputError, match=r"stimuli.tsv: expected a row for w9, found none"):
        next(true_frames(stimuli, ["w1", "w9"], count=1, pixels=16))
