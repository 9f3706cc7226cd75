"""From scores per clip to the tables that are published: the same whether a run makes them or a reader checks them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brainflix import artifacts, report, stats
from brainflix.errors import InputError

_NEEDED = [
    "stimulus", "metric", "value", "chance", "group", "using", "shuffles",
    "dataset", "variant", "subject", "seed", "simulated",
]  # fmt: skip


@dataclass(frozen=True)
class SummarizeSettings:
    """Intervals over stimuli.

    Attributes:
        level: probability that an interval is made for, e.g. 0.95.
        resamples: bootstrap samples.
    """

    level: float
    resamples: int


def summary_of(scores: Sequence[Path], settings: SummarizeSettings) -> pd.DataFrame:
    """One row per metric, subject and seed, of tables written by ``evaluate``.

    Columns are :data:`brainflix.report.COLUMNS`; ``ceiling`` is blank. Intervals are BCa bootstrap over clips (or over
    groups of neighbouring windows); retrieval, which is a share of clips, gets Wilson's interval with as many trials
    as there are groups.

    Raises:
        InputError: a score is missing or not finite, or simulated and real scores would be mixed.
    """
    tables = [artifacts.read_table(path, columns=_NEEDED) for path in scores]
    for path, table in zip(scores, tables, strict=True):
        if not np.isfinite(table[["value", "chance"]].to_numpy(dtype=float)).all():
            raise InputError.about(path, expected="a finite value and chance for every clip", found="others")
    artifacts.common_about([{"simulated": bool(flag)} for table in tables for flag in table["simulated"].unique()])
    rows = [
        _row(part, settings) for table in tables for _, part in table.groupby(["subject", "seed", "metric"], sort=False)
    ]
    return pd.DataFrame(rows, columns=report.COLUMNS)


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
        "definition": report.measured(first["metric"], first["using"], int(first["shuffles"])),
    }


def headline_of(metrics: Sequence[Path]) -> pd.DataFrame:
    """Rows of several tables of :func:`summary_of`; ``ceiling`` is what variant ``oracle`` reaches, if it is there.

    Raises:
        InputError: simulated and real results would be mixed.
    """
    tables = [artifacts.read_table(path, columns=report.COLUMNS) for path in metrics]
    artifacts.common_about([{"simulated": bool(flag)} for t in tables for flag in t["simulated"].unique()])
    table = pd.concat([t.astype({"ceiling": object}) for t in tables], ignore_index=True)
    return _with_ceiling(table)[report.COLUMNS]


def _with_ceiling(table: pd.DataFrame) -> pd.DataFrame:
    keys = ["dataset", "seed", "metric"]
    oracle = table[table["variant"] == "oracle"].set_index(keys)["value"].to_dict()
    ceilings = [oracle.get(key) for key in zip(*(table[key] for key in keys), strict=True)]
    return table.assign(ceiling=pd.Series(ceilings, dtype=float))
