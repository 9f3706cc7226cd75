"""BOLD Moments Dataset: 10 people, 1,102 clips of 3 s (OpenNeuro ds005165, derivatives version B).

Responses are single-trial betas on fsLR-32k, one pickle per subject and split: ``(array, names)`` with
array float64 (clips, repeats, 91282) and names ``vid0001`` ... They come z-scored: per session and vertex
by that session's *train* trials, so the statistics of test trials are never used. A standard deviation of
zero leaves NaN or infinity behind.

Stimuli left OpenNeuro in June 2024; they are handed out by the authors (form and password).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainflix import atlas
from brainflix.datasets import pickles
from brainflix.datasets.base import (
    Block,
    Facts,
    Responses,
    bids_label,
    read_json,
    require,
    require_positive,
    rows_table,
    splits,
    stimuli_table,
)
from brainflix.errors import InputError
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

FIRST_TEST_CLIP = 1001
CAPTIONS_PER_CLIP = 5
ANNOTATIONS = Path("derivatives/stimuli_metadata/annotations.json")
ROWS_PER_BLOCK = 64

WHERE = "options of dataset bmd"


@dataclass(frozen=True)
class Options:
    """How much of the dataset there is; the published one has 1000, 102, 3 and 10.

    Attributes:
        train_clips, test_clips: clips 0001... and 1001... .
        train_repeats, test_repeats: presentations of each clip.
        nan_share: largest share of the vertices that may hold NaN or infinity.
    """

    train_clips: int
    test_clips: int
    train_repeats: int
    test_repeats: int
    nan_share: float

    def __post_init__(self) -> None:
        require_positive(self, "train_clips", "test_clips", "train_repeats", "test_repeats", where=WHERE)
        most = FIRST_TEST_CLIP - 1
        fits = self.train_clips <= most
        require(fits, f"{WHERE}, train_clips", expected=f"at most {most}", found=self.train_clips)

    def clips(self, split: str) -> list[str]:
        """Four-digit names of a split's clips, in order."""
        first, n = (1, self.train_clips) if split == "train" else (FIRST_TEST_CLIP, self.test_clips)
        return [f"{number:04d}" for number in range(first, first + n)]

    def repeats(self, split: str) -> int:
        """Presentations of each clip of a split."""
        return self.train_repeats if split == "train" else self.test_repeats


def raw_files(*, root: Path, subjects: Sequence[str], options: Mapping[str, Any]) -> list[Path]:
    """What `index` and `caption` read: the movies and the annotations; from names alone."""
    table = stimuli(root=root, subjects=subjects, options=options)
    return [Path(root) / ANNOTATIONS, *map(Path, table["path"])]


def response_files(*, root: Path, subject: str, options: Mapping[str, Any]) -> list[Path]:
    """What `parcellate` reads: two pickles."""
    build(Options, options, where=WHERE)
    return [_betas(root, subject, split) for split in ("train", "test")]


def stimuli(*, root: Path, subjects: Sequence[str], options: Mapping[str, Any]) -> pd.DataFrame:
    """The clips, whole files; the same for every subject."""
    parsed = build(Options, options, where=WHERE)
    return stimuli_table(
        (clip, split, Path(root) / "stimuli" / split / f"{clip}.mp4", None, None)
        for split in ("train", "test")
        for clip in parsed.clips(split)
    )


def responses(
    *, root: Path, subject: str, stimuli: pd.DataFrame, options: Mapping[str, Any], vertices: np.ndarray
) -> Responses:
    """Every trial of one subject: train clips, then test clips; repeats of a clip side by side."""
    parsed = build(Options, options, where=WHERE)
    split_of = splits(stimuli)
    expected = [clip for split in ("train", "test") for clip in parsed.clips(split)]
    missing = [clip for clip in expected if split_of.get(clip) is None]
    require(not missing, "stimuli table", expected="all clips of bmd", found=f"no {', '.join(missing[:3])}")
    return Responses(
        rows=rows_table(
            (clip, split, repeat, "n/a")  # organised betas do not say which run a trial came from
            for split in ("train", "test")
            for clip in parsed.clips(split)
            for repeat in range(1, parsed.repeats(split) + 1)
        ),
        blocks=_blocks(Path(root), subject, parsed, vertices),
        normalisation="z per session and vertex by that session's train trials, as published",
        by_train_rows=False,
        nan_share=parsed.nan_share,
    )


def captions(*, root: Path, stimuli: pd.DataFrame) -> pd.DataFrame:
    """Five human sentences per clip: table (stimulus, caption_index, caption, source)."""
    path = Path(root) / ANNOTATIONS
    annotations = read_json(path, expected="BMD's annotations (JSON)")
    require(isinstance(annotations, dict), str(path), expected="an entry per clip", found="a list")
    records = []
    for clip in stimuli["stimulus"]:
        sentences = annotations.get(clip, {}).get("text_descriptions")
        if not isinstance(sentences, list) or len(sentences) != CAPTIONS_PER_CLIP:
            found = "none" if sentences is None else len(sentences)
            raise InputError.about(path, expected=f"{CAPTIONS_PER_CLIP} captions of clip {clip}", found=str(found))
        records += [(clip, i, sentence, "human") for i, sentence in enumerate(sentences)]
    return pd.DataFrame(records, columns=["stimulus", "caption_index", "caption", "source"])


def _betas(root: Path, subject: str, split: str) -> Path:
    label = f"sub-{bids_label(subject, dataset='bmd')}"
    folder = Path(root) / "derivatives/versionB/fsLR32k/GLM" / label / "prepared_betas"
    return folder / f"{label}_organized_betas_task-{split}_normalized.pkl"


def _blocks(root: Path, subject: str, options: Options, vertices: np.ndarray) -> Iterator[Block]:
    for split in ("train", "test"):
        path = _betas(root, subject, split)
        betas, order = _open_betas(path, clips=options.clips(split), repeats=options.repeats(split))
        for start in range(0, len(order), ROWS_PER_BLOCK):
            # One gather per clip: the wide float64 rows are never copied as a whole.
            picked = [betas[i][:, vertices] for i in order[start : start + ROWS_PER_BLOCK]]
            yield Block(source=path, values=np.concatenate(picked).astype(np.float32))
        del betas


def _open_betas(path: Path, *, clips: list[str], repeats: int) -> tuple[np.ndarray, list[int]]:
    """The array (clips, repeats, 91282) and the position in it of each clip asked for."""
    content = pickles.load(path)
    if not isinstance(content, tuple) or len(content) != 2 or not isinstance(content[0], np.ndarray):
        raise InputError.about(path, expected="a pair (betas, stimulus order)", found=type(content).__name__)
    betas, names = content
    shape = (len(clips), repeats, atlas.GRAYORDINATES)
    require(betas.shape == shape, str(path), expected=f"betas of shape {shape}", found=betas.shape)
    require(betas.dtype.kind == "f", str(path), expected="floating-point betas", found=betas.dtype)
    position = {str(name).removeprefix("vid"): i for i, name in enumerate(names)}
    lost = [clip for clip in clips if clip not in position]
    require(not lost, str(path), expected=f"clips vid{clips[0]} to vid{clips[-1]}", found=f"no {lost[:3]}")
    return betas, [position[clip] for clip in clips]
