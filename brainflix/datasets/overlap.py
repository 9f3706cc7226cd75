"""Clips that show the same moment: cut from one video, at times that overlap.

What is learnt from a training clip that shares frames with a test clip is learnt from the test.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def shares_time(
    source: Sequence[str], start: Sequence[float], stop: Sequence[float], is_test: Sequence[bool]
) -> np.ndarray:
    """Which clips are not held out but show a moment of one that is: bool (n,).

    Args:
        source: the video each clip was cut from.
        start, stop: where in it, in seconds, half open; NaN for the beginning and the end.
        is_test: whether the clip is held out.
    """
    table = pd.DataFrame({"source": list(source), "start": list(start), "stop": list(stop)})
    table = table.astype({"start": float, "stop": float}).fillna({"start": 0.0, "stop": np.inf})
    is_test, found = np.asarray(is_test, bool), np.zeros(len(table), bool)
    both = set(table["source"][is_test]) & set(table["source"][~is_test])
    for _, clips in table[table["source"].isin(both)].groupby("source", sort=False):
        held = clips[is_test[clips.index]]
        begins = clips["start"].to_numpy()[:, None] < held["stop"].to_numpy()
        ends = held["start"].to_numpy() < clips["stop"].to_numpy()[:, None]
        found[clips.index] = (begins & ends).any(axis=1)
    return found & ~is_test
