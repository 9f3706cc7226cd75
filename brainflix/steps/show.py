"""Print result tables."""

from __future__ import annotations

from pathlib import Path

from brainflix import artifacts, report


def show(*, metrics: list[Path]) -> None:
    """Print metrics tables in a readable form.

    Args:
        metrics: tables written by ``summarize`` or ``headline``.
    """
    for path in metrics:
        print(f"{path}\n{report.readable(artifacts.read_table(path, columns=report.COLUMNS))}\n")
