"""Step `summarize`: from scores per clip to one row per metric, subject and seed."""

from __future__ import annotations

from pathlib import Path

from brainflix import artifacts
from brainflix.settings import Settings
from brainflix.summary import SummarizeSettings, summary_of


def summarize(*, scores: list[Path], settings: Settings[SummarizeSettings], out: Path) -> None:
    """Turn scores into values with intervals and chance.

    Args:
        scores: tables written by ``evaluate``, any number of subjects and seeds.
        out: table with the columns of :data:`brainflix.report.COLUMNS`; ``ceiling`` is blank here.

    Raises:
        InputError: a score is missing or not finite, or simulated and real scores would be mixed.
    """
    artifacts.write_table(out, summary_of(scores, settings))
