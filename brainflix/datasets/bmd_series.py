"""BMD by our own GLM: betas of fMRIPrep's fsLR-32k series, in place of the organised betas.

Betas are z-scored as the published ones are: per session and vertex by that session's train trials (n - 1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from brainflix.datasets.base import Block, Responses, require, rows_table
from brainflix.datasets.events import read_events
from brainflix.datasets.recordings import Recording
from brainflix.datasets.standardize import RunningStatistics
from brainflix.models.glm_settings import GlmSettings

SESSIONS = (2, 3, 4, 5)  # session 1 held localizers and rest
RUNS = {"train": 10, "test": 3}  # of each session
VOLUMES = {"train": 238, "test": 268}
CLIP, ODDBALL = "stim_file", "n/a"


def files(root: Path, label: str, settings: GlmSettings) -> list[Path]:
    """Series, events and, where they are regressed out, fMRIPrep's confounds of every run."""
    return [file for session in SESSIONS for _, run in _session(root, label, session, settings) for file in run.files]


def responses(
    root: Path,
    label: str,
    settings: GlmSettings,
    split_of: Mapping[str, str],
    repeats: Mapping[str, int],
    vertices: np.ndarray,
    *,
    nan_share: float,
) -> Responses:
    """One row per trial, session by session, train runs first.

    Args:
        label: two digits of the subject.
        split_of: split of each clip, by its four digits.
        repeats: presentations of each clip of a split.

    Raises:
        InputError: events name a clip of another split, or clips are not shown as often as they should be.
    """
    sessions = [_session(root, label, session, settings) for session in SESSIONS]
    shown: Counter[str] = Counter()
    records = []
    for split, recording in (run for runs in sessions for run in runs):
        for file in read_events(recording.events, columns=[CLIP])[CLIP]:
            clip = Path(file).stem
            if file == ODDBALL:
                continue
            found = split_of.get(clip, "no such clip")
            require(found == split, str(recording.events), expected=f"{split} clips", found=f"{clip}: {found}")
            shown[clip] += 1
            records.append((clip, split, shown[clip], recording.events.name.removesuffix("_events.tsv")))
    wrong = [clip for clip, split in split_of.items() if shown[clip] != repeats[split]]
    if wrong:
        expected = f"clip {wrong[0]} {repeats[split_of[wrong[0]]]} times in the events"
        require(False, f"bmd, subject {label}", expected=expected, found=shown[wrong[0]])
    return Responses(
        rows=rows_table(records),
        blocks=_blocks(sessions, settings, vertices),
        normalisation="z per session and vertex by that session's train trials, of betas of our own GLM",
        by_train_rows=False,
        nan_share=nan_share,
    )


def _blocks(
    sessions: Sequence[list[tuple[str, Recording]]], settings: GlmSettings, vertices: np.ndarray
) -> Iterator[Block]:
    from brainflix.datasets.series import trial_blocks  # loads nilearn

    runs = [run for session in sessions for run in session]
    learn = [split == "train" for split, _ in runs]
    found = trial_blocks([r for _, r in runs], settings=settings, label=CLIP, vertices=vertices, learn=learn)
    for session in sessions:
        blocks, statistics = [], RunningStatistics(len(vertices))
        for split, recording in session:
            _, _, betas = next(found)
            blocks.append(Block(recording.series, betas))
            if split == "train":
                statistics.add(betas)
        for block in blocks:
            yield Block(block.source, statistics.z_score(block.values))


def _session(root: Path, label: str, session: int, settings: GlmSettings) -> list[tuple[str, Recording]]:
    """(split, run) of a session, train runs first; run numbers have no zeros."""
    folder = f"sub-{label}/ses-{session:02d}/func"
    prepared = root / "derivatives/versionB/fmriprep" / folder
    found = []
    for split, count in RUNS.items():
        for number in range(1, count + 1):
            stem = f"sub-{label}_ses-{session:02d}_task-{split}_run-{number}"
            recording = Recording(
                series=prepared / f"{stem}_space-fsLR_den-91k_bold.dtseries.nii",
                events=root / folder / f"{stem}_events.tsv",
                confounds=prepared / f"{stem}_desc-confounds_timeseries.tsv" if settings.confounds else None,
                volumes=VOLUMES[split],
            )
            found.append((split, recording))
    return found
