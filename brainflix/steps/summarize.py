"""Step `summarize`: from scores per clip to one row per metric, subject and seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brainflix import artifacts, stats
from brainflix.errors import InputError
from brainflix.report import COLUMNS, measured
from brainflix.settings import Settings


@dataclass(frozen=True)
class SummarizeSettings:
    """Intervals over stimuli.

    Attributes:
        level: probability that an interval is made for, e.g. 0.95.
        resamples: bootstrap samples.
    """

    level: float
    resamples: int


def summarize(*, scores: list[Path], settings: Settings[SummarizeSettings], out: Path) -> None:
    """Turn scores into values with intervals and chance.

    Args:
        scores: tables written by ``evaluate``, any number of subjects and seeds.
        out: table with the columns of :data:`brainflix.report.COLUMNS`; ``ceiling`` is blank here. Intervals
            are BCa bootstrap over clips (or over groups of neighbouring windows); retrieval, which is a share
            of clips, gets Wilson's interval with as many trials as there are groups.

    Raises:
        InputError: a score is missing or not finite, or simulated and real scores would be mixed.
    """
    needed = [
        "stimulus",
        "metric",
        "value",
        "chance",
        "group",
        "using",
        "shuffles",
        "dataset",
        "variant",
        "subject",
        "seed",
        "simulated",
    ]
    tables = [artifacts.read_table(path, columns=needed) for path in scores]
    for path, table in zip(scores, tables, strict=True):
        if not np.isfinite(table[["value", "chance"]].to_numpy(dtype=float)).all():
            raise InputError.about(path, expected="a finite value and chance for every clip", found="others")
    artifacts.common_about([{"simulated": bool(flag)} for table in tables for flag in table["simulated"].unique()])
    rows = [
        _row(part, settings) for table in tables for _, part in table.groupby(["subject", "seed", "metric"], sort=False)
    ]
    artifacts.write_table(out, pd.DataFrame(rows, columns=COLUMNS))


def _row(part: pd.DataFrame, settings: SummarizeSettings) -> dict[str, object]:
    first = part.iloc[0]
    values, groups = part["value"].to_numpy(), list(part["group"].astype(str))
    if "retrieval" in first["metric"]:
        low, high = stats.wilson(values.mean(), len(set(groups)), level=settings.level)
    else:
        low, high = stats.bootstrap(
            values, groups=groups, seed=int(first["seed"]), resamples=settings.resamples, level=settings.level
        )
    return {
        **{key: first[key] for key in ("dataset", "variant", "subject", "seed", "metric", "simulated")},
        "value": values.mean(),
        "low": low,
        "high": high,
        "chance": part["chance"].mean(),
        "ceiling": np.nan,
        "n": len(part),
        "definition": measured(first["metric"], first["using"], int(first["shuffles"])),
    }
