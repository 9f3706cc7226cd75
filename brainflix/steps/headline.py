"""Step `headline`: the variants of a dataset in one table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from brainflix import artifacts, report


def headline(*, metrics: list[Path], out: Path) -> None:
    """Put the variants of a dataset into one table, and print it.

    Args:
        metrics: tables written by ``summarize``, in the order of the rows.
        out: their rows; ``ceiling`` is what the variant ``oracle`` reaches on the same metric and seed (true
            latents and captions through the same generator), blank where the tables hold no oracle.

    Raises:
        InputError: simulated and real results would be mixed.
    """
    tables = [artifacts.read_table(path, columns=report.COLUMNS) for path in metrics]
    artifacts.common_about([{"simulated": bool(flag)} for t in tables for flag in t["simulated"].unique()])
    table = _with_ceiling(pd.concat([t.astype({"ceiling": object}) for t in tables], ignore_index=True))
    artifacts.write_table(out, table[report.COLUMNS])
    print(report.readable(table))


def _with_ceiling(table: pd.DataFrame) -> pd.DataFrame:
    keys = ["dataset", "seed", "metric"]
    oracle = table[table["variant"] == "oracle"].set_index(keys)["value"].to_dict()
    ceilings = [oracle.get(key) for key in zip(*(table[key] for key in keys), strict=True)]
    return table.assign(ceiling=pd.Series(ceilings, dtype=float))
