"""HAD by our own GLM: betas of the series of every run, in place of the published betas of every cycle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from brainflix.datasets.base import Block, Responses, require, rows_table
from brainflix.datasets.events import read_events
from brainflix.datasets.recordings import Recording
from brainflix.models.glm_settings import GlmSettings

RUNS_PER_CYCLE, VOLUMES, LEAD_IN_SECONDS = 3, 156, 12.0
CLIP = "stim_file"


def files(root: Path, label: str, cycles: Sequence[int], settings: GlmSettings) -> list[Path]:
    """Series, events and, where they are regressed out, fMRIPrep's confounds of every run."""
    return [file for recording in _recordings(root, label, cycles, settings) for file in recording.files]


def responses(
    root: Path,
    label: str,
    cycles: Sequence[int],
    settings: GlmSettings,
    split_of: Mapping[str, str],
    vertices: np.ndarray,
    *,
    nan_share: float,
) -> Responses:
    """One row per trial, run by run in order of time.

    Args:
        label: two digits of the subject.
        split_of: split of each clip.
    """
    recordings = _recordings(root, label, cycles, settings)
    records, learn = [], []
    for number, recording in enumerate(recordings, start=RUNS_PER_CYCLE * (cycles[0] - 1) + 1):
        clips = [Path(file).stem for file in read_events(recording.events, columns=[CLIP])[CLIP]]
        lost = [clip for clip in clips if clip not in split_of]
        require(not lost, "stimuli table", expected=f"the clips of {recording.events}", found=f"no {lost[:1]}")
        records += [(clip, split_of[clip], 1, f"run-{number}") for clip in clips]
        learn.append(all(split_of[clip] == "train" for clip in clips))
    shifted = replace(settings, onset_shift_seconds=settings.onset_shift_seconds + LEAD_IN_SECONDS)
    return Responses(
        rows=rows_table(records),
        blocks=_blocks(recordings, shifted, vertices, learn),
        normalisation="z per vertex by the subject's train rows, of betas of our own GLM",
        by_train_rows=True,
        nan_share=nan_share,
    )


def _blocks(
    recordings: Sequence[Recording], settings: GlmSettings, vertices: np.ndarray, learn: Sequence[bool]
) -> Iterator[Block]:
    from brainflix.datasets.series import trial_blocks  # loads nilearn

    for recording, _, betas in trial_blocks(recordings, settings=settings, label=CLIP, vertices=vertices, learn=learn):
        yield Block(recording.series, betas)


def _recordings(root: Path, label: str, cycles: Sequence[int], settings: GlmSettings) -> list[Recording]:
    """Runs have two digits in the raw tree and none too many in the derivatives."""
    found = []
    for number in range(RUNS_PER_CYCLE * (cycles[0] - 1) + 1, RUNS_PER_CYCLE * cycles[-1] + 1):
        results = root / "derivatives/ciftify" / f"sub-{label}" / "results"
        prepared = root / "derivatives/fmriprep" / f"sub-{label}"
        events = f"sub-{label}_ses-action01_task-action_run-{number:02d}_events.tsv"
        confounds = f"sub-{label}_task-action_run-{number}_desc-confounds_timeseries.tsv"
        found.append(
            Recording(
                series=results / f"ses-action01_task-action_run-{number}_Atlas.dtseries.nii",
                events=root / f"sub-{label}" / "ses-action01/func" / events,
                confounds=prepared / confounds if settings.confounds else None,
                volumes=VOLUMES,
            )
        )
    return found
