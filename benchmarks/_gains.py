"""Means of scores of clips, with intervals over clips and paired gains over a baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from brainflix import artifacts, stats

GROUP_SECONDS, LEVEL, RESAMPLES = 12.0, 0.95, 5000


def together(stimuli: Path) -> dict[str, str]:
    """Which clips of a dataset are resampled together: windows of a movie that start within the same seconds."""
    table = artifacts.read_table(stimuli, columns=["stimulus", "path", "start_seconds"])
    start = pd.to_numeric(table["start_seconds"], errors="coerce")
    window = table["path"] + "#" + (start // GROUP_SECONDS).astype(str)
    return dict(zip(table["stimulus"], window.where(start.notna(), table["stimulus"]), strict=True))


def gains(
    scores: pd.DataFrame, groups: Mapping[str, Mapping[str, str]], baseline: Callable[[str], str]
) -> pd.DataFrame:
    """A row per dataset, metric and recipe: the mean over seeds and subjects, its interval, and the gain.

    Args:
        scores: dataset, recipe, stimulus, metric, value; ranks (1 is best) count by their reciprocals, as MRR.
        groups: of a dataset, see :func:`together`.
        baseline: the recipe that a recipe is compared with, clip by clip; a gain is positive where better.
    """
    is_rank = scores["metric"].str.endswith("rank")
    ranks = scores[is_rank]
    reciprocal = ranks.assign(metric=ranks["metric"].str.replace("rank", "MRR"), value=1 / ranks["value"])
    found = pd.concat([scores[~is_rank], reciprocal])
    clips = found.groupby(["dataset", "metric", "recipe", "stimulus"])["value"].mean()
    rows = []
    for (dataset, metric, recipe), values in clips.groupby(level=[0, 1, 2]):
        values = values.droplevel([0, 1, 2])
        group = [groups[dataset][stimulus] for stimulus in values.index]
        interval = partial(stats.bootstrap, seed=0, resamples=RESAMPLES, level=LEVEL, groups=group)
        row = {"dataset": dataset, "metric": metric, "recipe": recipe, "value": values.mean()}
        row["low"], row["high"] = interval(values.to_numpy())
        if (of := (dataset, metric, baseline(recipe))) in clips.index.droplevel(3):
            gain = (values - clips[of][values.index]).to_numpy() * (1 if metric.endswith("MRR") else -1)
            row["gain"], (row["gain_low"], row["gain_high"]) = gain.mean(), interval(gain)
        rows.append(row)
    return pd.DataFrame(rows)
