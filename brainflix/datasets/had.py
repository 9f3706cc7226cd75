"""Human Action Dataset: 30 people, 180 actions x 4 clips each of about 2 s (OpenNeuro ds004488).

Three runs make a *cycle*, in which every action is seen once. Responses are the published betas of each
cycle: 180 maps on the 59,412 cortical grayordinates, map i belonging to action i. Which clip that was is
stated twice, and both must agree: line i of the cycle's label file, and the events of its three runs
(``trial_type`` is the action, 1-180; onsets count from the end of a 12-s lead-in, which matters only to
who fits the series anew, see ``had_series``). Betas come unscaled: each vertex is z-scored by the subject's train rows.

No person sees a clip twice, and four different test sets are in use; see :class:`Options`. Some clips were cut
from one video so close to each other that they share frames (their names tell: 18 pairs are published). Where
one of them is held out, the other is no training clip: its split is ``overlap``, which nothing reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from brainflix import atlas
from brainflix.datasets import cifti, had_series
from brainflix.datasets.base import (
    Block,
    Choices,
    Facts,
    Responses,
    Size,
    bids_label,
    read_json,
    read_text,
    require,
    require_positive,
    rows_table,
    splits,
    stimuli_table,
)
from brainflix.datasets.events import read_events
from brainflix.datasets.headers import Matrix
from brainflix.datasets.overlap import shares_time
from brainflix.datasets.recordings import require_own_glm
from brainflix.datasets.sources import Source
from brainflix.models.glm_settings import GlmSettings
from brainflix.settings import build

FACTS = Facts(
    name="had",
    title="Human Action Dataset",
    doi="10.18112/openneuro.ds004488.v1.1.1",
    licence="CC0",
    citation=(
        "Zhou M. et al. (2023). A large-scale fMRI dataset for human action recognition. Scientific Data 10, 415."
    ),
    homepage="https://openneuro.org/datasets/ds004488",
    what_to_download=(
        "stimuli/, sub-XX/ses-action01/func/*_events.tsv and derivatives/ciftify/"
        "sub-XX/results/ses-action01_task-action_cycle-*_{beta.dscalar.nii,label.txt} of OpenNeuro ds004488"
    ),
)
OPENNEURO = "s3://openneuro.org/ds004488"
SOURCES = (
    Source("*/func/*_events.tsv", OPENNEURO, "public", 8_000),
    Source("derivatives/ciftify/*_beta.dscalar.nii", OPENNEURO, "public", 43_130_000),
    Source("derivatives/ciftify/*_label.txt", OPENNEURO, "public", 9_000),
    Source("derivatives/ciftify/*_Atlas.dtseries.nii", OPENNEURO, "public", 57_590_000),
    Source("derivatives/*", OPENNEURO, "public"),
    Source("stimuli/*.mp4", OPENNEURO, "public"),
    Source("had_test_set_video_paths.json", "https://github.com/cfosco/brain2video", "public, in data/metadata_had"),
)
HEADERS = {
    "_beta.dscalar.nii": Matrix(59_412, maps=(180,)),
    "_Atlas.dtseries.nii": Matrix(91_282, maps=(156,), step_seconds=2.0),
}

ACTIONS = 180
CYCLES = 4
HELD_OUT_CYCLE = {"released-json": 1, "mosaic": 4}
RUNS_PER_CYCLE = 3
TRIALS_PER_RUN = 60
RUN_SECONDS = 156 * 2.0 - 12.0  # on the clock of the onsets, which starts after the lead-in
CLIP_SECONDS = 2.51  # the longest presentation in any published events
PATH_LIST = "had_test_set_video_paths.json"

WHERE = "options of dataset had"


@dataclass(frozen=True)
class Options(Choices):
    """How much of the dataset there is, and which clips are held out.

    Attributes:
        cycles: how many there are, from cycle 1 on (published: 4).
        split: ``seeded``: of each action one clip drawn per subject (the paper's rule);
            ``released-json``: cycle 1, which is what the authors' had_test_set_per_subject.json says;
            ``mosaic``: cycle 4; ``path-list``: the clips in the authors' had_test_set_video_paths.json,
            placed in the root folder.
        split_seed: seed of ``seeded``.
        glm: None reads the published betas; settings make betas of the series, run by run.
        nan_share: largest share of the vertices that may hold NaN or infinity.
    """

    cycles: int
    split: Literal["seeded", "released-json", "path-list", "mosaic"]
    split_seed: int
    glm: GlmSettings | None
    nan_share: float

    def __post_init__(self) -> None:
        require_positive(self, "cycles", where=WHERE)
        least = max(2, HELD_OUT_CYCLE.get(self.split, 2))
        expected = f"{least} to {CYCLES} with split {self.split}"
        require(least <= self.cycles <= CYCLES, f"{WHERE}, cycles", expected=expected, found=self.cycles)
        require_own_glm(self.glm, where=WHERE)

    def size(self, subjects: int) -> Size:
        rows = self.cycles * ACTIONS  # every subject saw clips of their own, once
        return Size(subjects * rows, subjects * ACTIONS, rows - ACTIONS, ACTIONS)

    @property
    def numbers(self) -> range:
        """Numbers of the cycles."""
        return range(1, self.cycles + 1)


def raw_files(*, root: Path, subjects: Sequence[str], options: Mapping[str, Any]) -> list[Path]:
    """What `index` reads: the events of every run; the movies are known once those are read."""
    parsed = build(Options, options, where=WHERE)
    files = [
        _events(root, subject, cycle, run)
        for subject in subjects
        for cycle in parsed.numbers
        for run in range(RUNS_PER_CYCLE)
    ]
    return files + ([Path(root) / PATH_LIST] if parsed.split == "path-list" else [])


def response_files(*, root: Path, subject: str, options: Mapping[str, Any]) -> list[Path]:
    """What `parcellate` reads: betas and labels of each cycle or the series of each run, and the events again."""
    parsed = build(Options, options, where=WHERE)
    if parsed.glm:
        return had_series.files(Path(root), bids_label(subject, dataset="had"), parsed.numbers, parsed.glm)
    files = []
    for cycle in parsed.numbers:
        files += [_result(root, subject, cycle, end) for end in ("beta.dscalar.nii", "label.txt")]
        files += [_events(root, subject, cycle, run) for run in range(RUNS_PER_CYCLE)]
    return files


def stimuli(*, root: Path, subjects: Sequence[str], options: Mapping[str, Any]) -> pd.DataFrame:
    """Every clip the subjects saw, whole files, with its split: train, test or overlap."""
    parsed = build(Options, options, where=WHERE)
    records = []
    for subject in subjects:
        cycles = {c: _clips_of_cycle(Path(root), subject, c) for c in parsed.numbers}
        test = _test_clips(Path(root), subject, cycles, parsed)
        for files in cycles.values():
            for file in files:
                split = "test" if Path(file).stem in test else "train"
                records.append((Path(file).stem, split, Path(root) / "stimuli" / file, None, None))
    return without_shared_moments(stimuli_table(records))


def without_shared_moments(table: pd.DataFrame) -> pd.DataFrame:
    """A table of clips in which one that shares frames with a test clip has split ``overlap``."""
    video, start = zip(*map(_source, table["stimulus"]), strict=True) if len(table) else ((), ())
    stop = np.asarray(start) + CLIP_SECONDS
    table.loc[shares_time(video, start, stop, table["split"] == "test"), "split"] = "overlap"
    return table


def responses(
    *, root: Path, subject: str, stimuli: pd.DataFrame, options: Mapping[str, Any], vertices: np.ndarray
) -> Responses:
    """One row per clip: cycle by cycle, action by action; run by run in order of time, where series are read."""
    parsed = build(Options, options, where=WHERE)
    split_of = splits(stimuli)
    if parsed.glm:
        label = bids_label(subject, dataset="had")
        return had_series.responses(
            Path(root), label, parsed.numbers, parsed.glm, split_of, vertices, nan_share=parsed.nan_share
        )
    records = []
    for cycle in parsed.numbers:
        for clip in _labelled_clips(Path(root), subject, cycle):
            require(clip in split_of, "stimuli table", expected=f"clip {clip}", found="it missing")
            records.append((clip, split_of[clip], 1, f"cycle-{cycle}"))
    return Responses(
        rows=rows_table(records),
        blocks=_blocks(Path(root), subject, parsed, vertices),
        normalisation="z per vertex by the subject's train rows",
        by_train_rows=True,
        nan_share=parsed.nan_share,
    )


def captions(*, root: Path, stimuli: pd.DataFrame) -> None:
    """HAD comes without sentences."""
    return None


def _events(root: Path, subject: str, cycle: int, run: int) -> Path:
    label = f"sub-{bids_label(subject, dataset='had')}"
    number = (cycle - 1) * RUNS_PER_CYCLE + run + 1
    folder = Path(root) / label / "ses-action01/func"
    return folder / f"{label}_ses-action01_task-action_run-{number:02d}_events.tsv"


def _result(root: Path, subject: str, cycle: int, end: str) -> Path:
    label = f"sub-{bids_label(subject, dataset='had')}"
    folder = Path(root) / "derivatives/ciftify" / label / "results"
    return folder / f"ses-action01_task-action_cycle-{cycle}_{end}"


def _source(clip: str) -> tuple[str, float]:
    """Video that a clip was cut from, and at which second; a name without them is a video of its own.

    >>> _source("v_Tai chi_id_-Pi3uPQ3mzE_start_54.5_label_1")
    ('-Pi3uPQ3mzE', 54.5)
    """
    match = re.search(r"_id_(.+)_start_(\d+(?:\.\d+)?)_label_", clip)
    return (match[1], float(match[2])) if match else (clip, 0.0)


def _clips_of_cycle(root: Path, subject: str, cycle: int) -> list[str]:
    """Movie files below stimuli/ of one cycle, by action 1 ... 180."""
    files: dict[int, str] = {}
    for run in range(RUNS_PER_CYCLE):
        path = _events(root, subject, cycle, run)
        events = read_events(path, columns=["trial_type", "stim_file"], run_seconds=RUN_SECONDS)
        require(len(events) == TRIALS_PER_RUN, str(path), expected=f"{TRIALS_PER_RUN} events", found=len(events))
        for text, file in zip(events["trial_type"], events["stim_file"], strict=True):
            action = _action(path, text)
            require(action not in files, str(path), expected=f"action {action} once a cycle", found="it twice")
            files[action] = file
    return [files[action] for action in range(1, ACTIONS + 1)]


def _action(path: Path, text: str) -> int:
    """Number of an action, written as 46 or 46.0."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    require(
        value in range(1, ACTIONS + 1),
        str(path),
        expected=f"trial_type 1 to {ACTIONS}",
        found=text,
    )
    return int(value)


def _labelled_clips(root: Path, subject: str, cycle: int) -> list[str]:
    """Clips of a cycle's 180 maps: its label file, checked line by line against the events."""
    path = _result(root, subject, cycle, "label.txt")
    labels = read_text(path, expected=f"{ACTIONS} clip names").split("\n")
    labels = [line.strip() for line in labels if line.strip()]
    require(len(labels) == ACTIONS, str(path), expected=f"{ACTIONS} clip names", found=len(labels))
    for i, (label, file) in enumerate(zip(labels, _clips_of_cycle(root, subject, cycle), strict=True)):
        shown = Path(file).name
        require(label == shown, f"{path}, line {i + 1}", expected=f"{shown} as in the events", found=label)
    return [Path(label).stem for label in labels]


def _test_clips(root: Path, subject: str, cycles: Mapping[int, list[str]], options: Options) -> set[str]:
    """Stems of the clips of one subject that are held out."""
    if options.split == "seeded":
        rng = np.random.default_rng([options.split_seed, int(bids_label(subject, dataset="had"))])
        drawn = rng.choice(options.numbers, size=ACTIONS)
        return {Path(cycles[int(cycle)][action]).stem for action, cycle in enumerate(drawn)}
    if options.split == "path-list":
        shown = {Path(file).stem for files in cycles.values() for file in files}
        listed = _listed(root / PATH_LIST) & shown
        require(bool(listed), str(root / PATH_LIST), expected=f"clips of subject {subject}", found="none")
        return listed
    return {Path(file).stem for file in cycles[HELD_OUT_CYCLE[options.split]]}


def _listed(path: Path) -> set[str]:
    names = read_json(path, expected="a JSON list of mp4 names")
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    require(is_list, str(path), expected="a JSON list of mp4 names", found=type(names).__name__)
    return {Path(name).name.removesuffix(".mp4") for name in names}


def _blocks(root: Path, subject: str, options: Options, vertices: np.ndarray) -> Iterator[Block]:
    for cycle in options.numbers:
        path = _result(root, subject, cycle, "beta.dscalar.nii")
        header = cifti.read_header(path, grayordinates=atlas.CORTEX, maps=ACTIONS)
        yield Block(path, cifti.read(header, vertices, n_rows=ACTIONS, transform=lambda maps: maps))
