"""Runs of a task by the names of their files; what is in them is for ``series`` to read, which loads nilearn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainflix.datasets.base import require
from brainflix.models.glm_settings import GlmSettings


@dataclass(frozen=True)
class Recording:
    """Files of one run.

    Attributes:
        series: .dtseries.nii on fsLR-32k, 91,282 or 59,412 grayordinates.
        events: events.tsv with onset and duration in seconds.
        confounds: fMRIPrep's table of confounds, or None.
        volumes: how many the series has to have; None accepts any number.
    """

    series: Path
    events: Path
    confounds: Path | None
    volumes: int | None = None

    @property
    def files(self) -> list[Path]:
        """All of them."""
        return [file for file in (self.series, self.events, self.confounds) if file is not None]


def check_recordings(recordings: Sequence[Recording]) -> None:
    """Refuse runs whose files are not there, before any is read.

    Raises:
        InputError: names the first that is missing.
    """
    for file in (file for recording in recordings for file in recording.files):
        require(file.exists(), str(file), expected="a file of the run", found="nothing")


def require_own_glm(settings: GlmSettings | None, *, where: str) -> None:
    """Refuse GLMsingle for a dataset's own runs: it learns from all of them, test trials too."""
    fits = settings is None or settings.estimator != "glmsingle"
    require(fits, f"{where}, glm", expected="estimator lss or ridge, which learn from no test trial", found="glmsingle")
