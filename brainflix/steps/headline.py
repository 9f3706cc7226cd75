"""Step `headline`: the variants of a dataset in one table."""

from __future__ import annotations

from pathlib import Path

from brainflix import artifacts, report
from brainflix.summary import headline_of


def headline(*, metrics: list[Path], out: Path) -> None:
    """Put the variants of a dataset into one table, and print it.

    Args:
        metrics: tables written by ``summarize``, in the order of the rows.
        out: their rows; ``ceiling`` is what the variant ``oracle`` reaches on the same metric and seed (true
            latents and captions through the same generator), blank where the tables hold no oracle.

    Raises:
        InputError: simulated and real results would be mixed.
    """
    table = headline_of(metrics)
    artifacts.write_table(out, table)
    print(report.readable(table))
