"""Step `stack`: tables of single subjects under each other."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from brainflix import artifacts

COLUMNS = ("dataset", "subject", "simulated")


def stack(*, tables: list[Path], out: Path) -> None:
    """Put the tables of a dataset's subjects under each other.

    Args:
        tables: tables with columns dataset, subject and simulated.
        out: all their rows, in the order given.

    Raises:
        InputError: a table is missing or lacks a column, or simulated and real data would be mixed.
    """
    read = [artifacts.read_table(path, columns=COLUMNS) for path in tables]
    artifacts.common_about([{"simulated": bool(flag)} for t in read for flag in t["simulated"].unique()])
    artifacts.write_table(out, pd.concat(read, ignore_index=True))
