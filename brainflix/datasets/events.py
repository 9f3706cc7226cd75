"""Event tables of BIDS runs, read by column name."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pandas as pd

from brainflix.datasets.base import read_text, require
from brainflix.errors import InputError


def read_events(path: Path, *, columns: Sequence[str], run_seconds: float = float("inf")) -> pd.DataFrame:
    """Read an events.tsv: the ``columns`` asked for, in any order, whatever else the file has.

    ``onset`` becomes float seconds and must not decrease; other columns stay text ("n/a" included).

    Args:
        run_seconds: end of the run on the clock of the onsets; no event may begin before 0 or after it.

    Raises:
        InputError: missing, not UTF-8, no table, a column missing, or onsets that are no rising numbers or
            lie outside the run.
    """
    path = Path(path)
    wanted = ["onset", *(c for c in columns if c != "onset")]
    expected = f"events: {', '.join(wanted)}"
    text = StringIO(read_text(path, expected=expected))
    try:
        table = pd.read_csv(text, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError.about(path, expected=expected, found=str(error)) from error
    missing = [c for c in wanted if c not in table]
    require(not missing, str(path), expected=f"columns {', '.join(wanted)}", found=f"no {', '.join(missing)}")
    table = table[wanted].copy()
    onset = pd.to_numeric(table["onset"], errors="coerce")
    table["onset"] = onset
    problem = "an onset that is no number" if onset.isna().any() else "an onset before the one above it"
    require(
        onset.notna().all() and onset.is_monotonic_increasing,
        str(path),
        expected="rising onsets",
        found=problem,
    )
    outside = onset[(onset < 0) | (onset >= run_seconds)].tolist()
    expected = f"onsets from 0 s to the end of the run at {run_seconds:g} s"
    require(not outside, str(path), expected=expected, found=f"{max(outside, default=0):g} s")
    return table
