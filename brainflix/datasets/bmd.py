"""BOLD Moments Dataset: 10 people, 1,102 clips of 3 s (OpenNeuro ds005165, derivatives version B).

Responses are single-trial betas on fsLR-32k, pickled, see ``bmd_betas``. They come z-scored: per session and
vertex by that session's *train* trials, so the statistics of test trials are never used. A standard deviation of
zero leaves NaN or infinity behind.

Stimuli left OpenNeuro in June 2024; they are handed out by the authors (form and password). People have them
in different trees; whichever is there is read, see ``TREES``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from brainflix.datasets import bmd_betas, bmd_ceilings, bmd_series
from brainflix.datasets.base import (
    Choices,
    Facts,
    Responses,
    Size,
    bids_label,
    first_existing,
    is_there,
    read_json,
    require,
    require_positive,
    rows_table,
    splits,
    stimuli_table,
)
from brainflix.datasets.headers import Matrix
from brainflix.datasets.recordings import require_own_glm
from brainflix.datasets.sources import Source
from brainflix.errors import InputError
from brainflix.models.glm_settings import GlmSettings
from brainflix.settings import build

FACTS = Facts(
    name="bmd",
    title="BOLD Moments Dataset",
    doi="10.18112/openneuro.ds005165.v1.0.4",
    licence="CC0 (responses); the stimuli need the authors' form and are not redistributable",
    citation=(
        "Lahner B. et al. (2024). Modeling short visual events through the BOLD moments video fMRI dataset "
        "and metadata. Nature Communications 15, 6241."
    ),
    homepage="https://openneuro.org/datasets/ds005165",
    what_to_download=(
        "derivatives/versionB/fsLR32k/GLM/sub-XX/prepared_betas and derivatives/stimuli_metadata/"
        "annotations.json of OpenNeuro ds005165, and the mp4 files (form at "
        "https://boldmomentsdataset.csail.mit.edu/stimuli_metadata) as stimuli/{train,test}/NNNN.mp4"
    ),
)
OPENNEURO = "s3://openneuro.org/ds005165"
SOURCES = (
    Source("derivatives/versionB/*_organized_betas_task-train_normalized.pkl", OPENNEURO, "public", 2_190_778_149),
    Source("derivatives/versionB/*_organized_betas_task-test_normalized.pkl", OPENNEURO, "public", 744_862_288),
    Source("derivatives/versionB/fmriprep/*_task-test_*_bold.dtseries.nii", OPENNEURO, "public", 268 * 91_282 * 4),
    Source("derivatives/versionB/fmriprep/*_task-train_*_bold.dtseries.nii", OPENNEURO, "public", 238 * 91_282 * 4),
    Source("derivatives/versionB/*", OPENNEURO, "public"),
    Source("derivatives/stimuli_metadata/annotations.json", OPENNEURO, "public", 1_638_590),
    Source("*/func/*_events.tsv", OPENNEURO, "public", 5_000),
    Source(
        "*Group41_*.pkl",
        "https://drive.google.com/drive/folders/1xeXDUoArZ0kq8JWr2b5gaqBMP06mqH5f",
        "public, with a browser",
    ),
    Source(
        "*stimuli/*",
        "https://boldmomentsdataset.csail.mit.edu/stimuli_metadata",
        "the authors' form, which answers with a password of the zip",
    ),
)
HEADERS = {"_space-fsLR_den-91k_bold.dtseries.nii": Matrix(91_282, step_seconds=1.75)}

FIRST_TEST_CLIP = 1001
CAPTIONS_PER_CLIP = 5
TREES = (  # below the root, holding NNNN.mp4 or a folder NNNN of pictures
    "stimuli/{split}",  # version 1.0.0
    "derivatives/stimuli_metadata/mp4_h264",  # the same
    "derivatives/stimuli_metadata/stimuli",  # the same
    "mp4_h264",
    "stimuli/mp4_h264",
    "stimuli_bmd/mp4",  # Brain Netflix's code
    "stimuli/frames",
    "derivatives/stimuli_metadata/frames",  # frames.zip of version 1.0.0
    "frames",
    "stimuli",
    ".",
)
ANNOTATIONS = (
    "derivatives/stimuli_metadata/annotations.json",
    "metadata_bmd/annotations.json",  # Brain Netflix's code
    "annotations.json",
)

WHERE = "options of dataset bmd"


@dataclass(frozen=True)
class Options(Choices):
    """Which responses, and how much of the dataset there is; the published one has 1000, 102, 3 and 10.

    Attributes:
        betas: ``versionB``: the organised betas on OpenNeuro; ``group41``: the authors' dict of the 41 areas;
            ``series``: betas of our own GLM, from fMRIPrep's series.
        glm: how, where ``betas`` is ``series``; otherwise None.
        train_clips, test_clips: clips 0001... and 1001... .
        train_repeats, test_repeats: presentations of each clip.
        nan_share: largest share of the vertices that may hold NaN or infinity.
    """

    betas: Literal["versionB", "group41", "series"]
    glm: GlmSettings | None
    train_clips: int
    test_clips: int
    train_repeats: int
    test_repeats: int
    nan_share: float

    captioned = True

    @property
    def test_stimuli(self) -> int:
        return self.test_clips

    def __post_init__(self) -> None:
        require_positive(self, "train_clips", "test_clips", "train_repeats", "test_repeats", where=WHERE)
        most = FIRST_TEST_CLIP - 1
        fits = self.train_clips <= most
        require(fits, f"{WHERE}, train_clips", expected=f"at most {most}", found=self.train_clips)
        expected = "settings with betas: series, and null otherwise"
        require((self.betas == "series") == bool(self.glm), f"{WHERE}, glm", expected=expected, found=self.glm)
        require_own_glm(self.glm, where=WHERE)

    def size(self, subjects: int) -> Size:
        rows = (self.train_clips * self.train_repeats, self.test_clips * self.test_repeats)
        return Size(self.train_clips + self.test_clips, self.test_clips, *rows)

    def clips(self, split: str) -> list[str]:
        """Four-digit names of a split's clips, in order."""
        first, n = (1, self.train_clips) if split == "train" else (FIRST_TEST_CLIP, self.test_clips)
        return [f"{number:04d}" for number in range(first, first + n)]

    def repeats(self, split: str) -> int:
        """Presentations of each clip of a split."""
        return self.train_repeats if split == "train" else self.test_repeats


published_ncsnr = bmd_ceilings.published_ncsnr  # what `reliability` compares its own with


def raw_files(*, root: Path, subjects: Sequence[str], options: Mapping[str, Any]) -> list[Path]:
    """What `index` and `caption` read: the movies and the annotations; from names alone."""
    table = stimuli(root=root, subjects=subjects, options=options)
    return [annotations_file(root), *map(Path, table["path"])]


def response_files(*, root: Path, subject: str, options: Mapping[str, Any]) -> list[Path]:
    """What `parcellate` reads: a pickle per split or one of both, or the files of every run."""
    parsed = build(Options, options, where=WHERE)
    label = bids_label(subject, dataset="bmd")
    if parsed.glm:
        return bmd_series.files(Path(root), label, parsed.glm)
    return bmd_betas.files(Path(root), label, parsed.betas)


def stimuli(*, root: Path, subjects: Sequence[str], options: Mapping[str, Any]) -> pd.DataFrame:
    """The clips, whole files; the same for every subject."""
    parsed = build(Options, options, where=WHERE)
    return stimuli_table(
        (path.stem, split, path, None, None)
        for split in ("train", "test")
        for path in movies(Path(root), split, parsed.clips(split))
    )


def responses(
    *, root: Path, subject: str, stimuli: pd.DataFrame, options: Mapping[str, Any], vertices: np.ndarray
) -> Responses:
    """Every trial of one subject: train clips, then test clips, repeats of a clip side by side; or run by run."""
    parsed = build(Options, options, where=WHERE)
    split_of = splits(stimuli)
    expected = [clip for split in ("train", "test") for clip in parsed.clips(split)]
    missing = [clip for clip in expected if split_of.get(clip) is None]
    require(not missing, "stimuli table", expected="all clips of bmd", found=f"no {', '.join(missing[:3])}")
    if parsed.glm:
        label, repeats = bids_label(subject, dataset="bmd"), {s: parsed.repeats(s) for s in ("train", "test")}
        return bmd_series.responses(
            Path(root), label, parsed.glm, split_of, repeats, vertices, nan_share=parsed.nan_share
        )
    return Responses(
        rows=rows_table(
            (clip, split, repeat, "n/a")  # organised betas do not say which run a trial came from
            for split in ("train", "test")
            for clip in parsed.clips(split)
            for repeat in range(1, parsed.repeats(split) + 1)
        ),
        blocks=bmd_betas.blocks(
            response_files(root=root, subject=subject, options=options),
            parsed.betas,
            clips={split: parsed.clips(split) for split in ("train", "test")},
            repeats={split: parsed.repeats(split) for split in ("train", "test")},
            vertices=vertices,
        ),
        normalisation=bmd_betas.NORMALISATIONS[parsed.betas],
        by_train_rows=False,
        nan_share=parsed.nan_share,
    )


def captions(*, root: Path, stimuli: pd.DataFrame) -> pd.DataFrame:
    """Five human sentences per clip: table (stimulus, caption_index, caption, source)."""
    path = annotations_file(root)
    annotations = read_json(path, expected="BMD's annotations (JSON)")
    is_dict = isinstance(annotations, dict) and all(isinstance(entry, dict) for entry in annotations.values())
    require(is_dict, str(path), expected="an object per clip", found="something else")
    records = []
    for clip in stimuli["stimulus"]:
        sentences = annotations.get(clip, {}).get("text_descriptions")
        sentences = [s for s in sentences if isinstance(s, str)] if isinstance(sentences, list) else []
        if len(sentences) != CAPTIONS_PER_CLIP:
            found = len(sentences) or "none"
            raise InputError.about(path, expected=f"{CAPTIONS_PER_CLIP} captions of clip {clip}", found=str(found))
        records += [(clip, i, sentence, "human") for i, sentence in enumerate(sentences)]
    return pd.DataFrame(records, columns=["stimulus", "caption_index", "caption", "source"])


def movies(root: Path, split: str, clips: Sequence[str]) -> list[Path]:
    """A split's clips in the first tree that holds its first or last one, else in the one we ask for."""
    for tree in TREES:
        folder = root / tree.format(split=split)
        for suffix in (".mp4", ""):
            if any(is_there(folder / f"{clip}{suffix}") for clip in (clips[0], clips[-1])):
                return [folder / f"{clip}{suffix}" for clip in clips]
    return [root / TREES[0].format(split=split) / f"{clip}.mp4" for clip in clips]


def annotations_file(root: Path) -> Path:
    """The annotations, under whichever of their names they are there."""
    return first_existing(Path(root) / name for name in ANNOTATIONS)
