"""BOLD Moments Dataset: 10 people, 1,102 clips of 3 s (OpenNeuro ds005165, derivatives version B).

Responses are single-trial betas on fsLR-32k, one pickle per subject and split: ``(array, names)`` with
array float64 (clips, repeats, 91282) and names ``vid0001`` ... They come z-scored: per session and vertex
by that session's *train* trials, so the statistics of test trials are never used. A standard deviation of
zero leaves NaN or infinity behind. Or they are the file that Brain Netflix itself was made from
(``Group41_...``), a dict of the 41 areas alone.

Stimuli left OpenNeuro in June 2024; they are handed out by the authors (form and password). People have them
in different trees; whichever is there is read, see ``TREES``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from brainflix import atlas
from brainflix.datasets import pickles
from brainflix.datasets.base import (
    Block,
    Facts,
    Responses,
    bids_label,
    first_existing,
    read_json,
    require,
    require_positive,
    rows_table,
    splits,
    stimuli_table,
)
from brainflix.datasets.headers import Matrix
from brainflix.datasets.sources import Source
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
OPENNEURO = "s3://openneuro.org/ds005165"
SOURCES = (
    Source("derivatives/versionB/*_organized_betas_task-train_normalized.pkl", OPENNEURO, "public", 2_190_778_149),
    Source("derivatives/versionB/*_organized_betas_task-test_normalized.pkl", OPENNEURO, "public", 744_862_288),
    Source("derivatives/versionB/fmriprep/*_task-test_*_bold.dtseries.nii", OPENNEURO, "public", 268 * 91_282 * 4),
    Source("derivatives/versionB/fmriprep/*_task-train_*_bold.dtseries.nii", OPENNEURO, "public", 238 * 91_282 * 4),
    Source("derivatives/versionB/*", OPENNEURO, "public"),
    Source("derivatives/stimuli_metadata/annotations.json", OPENNEURO, "public", 1_638_590),
    Source("*/func/*_events.tsv", OPENNEURO, "public"),
    Source(
        "*stimuli/*",
        "https://boldmomentsdataset.csail.mit.edu/stimuli_metadata",
        "the authors' form, which answers with a password of the zip",
    ),
)
HEADERS = {
    f"_task-{task}_run-{run}_space-fsLR_den-91k_bold.dtseries.nii": Matrix(91_282, maps=(volumes,), step_seconds=1.75)
    for task, volumes in (("test", 268), ("train", 238))
    for run in range(1, 11)
}

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
GROUP41 = "Group41_betas-GLMsingle_type-typed_z=1.pkl"
GROUP41_FILES = (
    f"sub-{{label}}/{GROUP41}",
    f"sub-{{label}}/prepared_allvoxel_pkl/{GROUP41}",
    f"sub-{{label}}/betas-prepared/prepared_allvoxel_pkl/{GROUP41}",
    f"sub{{label}}/prepared_allvoxel_pkl/{GROUP41}",
)
NORMALISATIONS = {
    "versionB": "z per session and vertex by that session's train trials, as published",
    "group41": "z=1 as published by the authors, who do not say over which trials",
}
ROWS_PER_BLOCK = 64

WHERE = "options of dataset bmd"


@dataclass(frozen=True)
class Options:
    """Which responses, and how much of the dataset there is; the published one has 1000, 102, 3 and 10.

    Attributes:
        betas: ``versionB``: the organised betas on OpenNeuro; ``group41``: the authors' dict of the 41 areas.
        train_clips, test_clips: clips 0001... and 1001... .
        train_repeats, test_repeats: presentations of each clip.
        nan_share: largest share of the vertices that may hold NaN or infinity.
    """

    betas: Literal["versionB", "group41"]
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
    return [_annotations(root), *map(Path, table["path"])]


def response_files(*, root: Path, subject: str, options: Mapping[str, Any]) -> list[Path]:
    """What `parcellate` reads: a pickle per split, or one of both."""
    if build(Options, options, where=WHERE).betas == "group41":
        return [_group41(root, subject)]
    return [_betas(root, subject, split) for split in ("train", "test")]


def stimuli(*, root: Path, subjects: Sequence[str], options: Mapping[str, Any]) -> pd.DataFrame:
    """The clips, whole files; the same for every subject."""
    parsed = build(Options, options, where=WHERE)
    return stimuli_table(
        (path.stem, split, path, None, None)
        for split in ("train", "test")
        for path in _movies(Path(root), split, parsed.clips(split))
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
        normalisation=NORMALISATIONS[parsed.betas],
        by_train_rows=False,
        nan_share=parsed.nan_share,
    )


def captions(*, root: Path, stimuli: pd.DataFrame) -> pd.DataFrame:
    """Five human sentences per clip: table (stimulus, caption_index, caption, source)."""
    path = _annotations(root)
    annotations = read_json(path, expected="BMD's annotations (JSON)")
    is_dict = isinstance(annotations, dict) and all(isinstance(entry, dict) for entry in annotations.values())
    require(is_dict, str(path), expected="an object per clip", found="something else")
    records = []
    for clip in stimuli["stimulus"]:
        sentences = annotations.get(clip, {}).get("text_descriptions")
        if not isinstance(sentences, list) or len(sentences) != CAPTIONS_PER_CLIP:
            found = len(sentences) if isinstance(sentences, list) else "none"
            raise InputError.about(path, expected=f"{CAPTIONS_PER_CLIP} captions of clip {clip}", found=str(found))
        records += [(clip, i, sentence, "human") for i, sentence in enumerate(sentences)]
    return pd.DataFrame(records, columns=["stimulus", "caption_index", "caption", "source"])


def _movies(root: Path, split: str, clips: Sequence[str]) -> list[Path]:
    """A split's clips in the first tree that holds its first or last one, else in the one we ask for."""
    for tree in TREES:
        folder = root / tree.format(split=split)
        for suffix in (".mp4", ""):
            if any((folder / f"{clip}{suffix}").exists() for clip in (clips[0], clips[-1])):
                return [folder / f"{clip}{suffix}" for clip in clips]
    return [root / TREES[0].format(split=split) / f"{clip}.mp4" for clip in clips]


def _annotations(root: Path) -> Path:
    return first_existing(Path(root) / name for name in ANNOTATIONS)


def _group41(root: Path, subject: str) -> Path:
    label = bids_label(subject, dataset="bmd")
    return first_existing(Path(root) / name.format(label=label) for name in GROUP41_FILES)


def _betas(root: Path, subject: str, split: str) -> Path:
    label = f"sub-{bids_label(subject, dataset='bmd')}"
    folder = Path(root) / "derivatives/versionB/fsLR32k/GLM" / label / "prepared_betas"
    return folder / f"{label}_organized_betas_task-{split}_normalized.pkl"


def _blocks(root: Path, subject: str, options: Options, vertices: np.ndarray) -> Iterator[Block]:
    find = {"versionB": _organised, "group41": _of_41_areas}[options.betas]
    for path, betas, order, columns in find(root, subject, options, vertices):
        for start in range(0, len(order), ROWS_PER_BLOCK):
            # One gather per clip: the wide float64 rows are never copied as a whole.
            picked = [betas[i][:, columns] for i in order[start : start + ROWS_PER_BLOCK]]
            yield Block(source=path, values=np.concatenate(picked).astype(np.float32))
        del betas  # before the next one is read


Found = tuple[Path, np.ndarray, list[int], np.ndarray]  # betas (clips, repeats, n), order of clips, columns


def _organised(root: Path, subject: str, options: Options, vertices: np.ndarray) -> Iterator[Found]:
    """Split by split the array (clips, repeats, 91282); one in memory at a time."""
    for split in ("train", "test"):
        path = _betas(root, subject, split)
        yield path, *_open_betas(path, clips=options.clips(split), repeats=options.repeats(split)), vertices


def _open_betas(path: Path, *, clips: list[str], repeats: int) -> tuple[np.ndarray, list[int]]:
    """The array (clips, repeats, 91282) and the position in it of each clip asked for."""
    content = pickles.load(path)
    if not isinstance(content, tuple) or len(content) != 2:
        raise InputError.about(path, expected="a pair (betas, stimulus order)", found=type(content).__name__)
    betas, names = content
    _check_betas(path, betas, shape=(len(clips), repeats, atlas.GRAYORDINATES))
    position = {str(name).removeprefix("vid"): i for i, name in enumerate(names)}
    lost = [clip for clip in clips if clip not in position]
    require(not lost, str(path), expected=f"clips vid{clips[0]} to vid{clips[-1]}", found=f"no {lost[:3]}")
    return betas, [position[clip] for clip in clips]


def _of_41_areas(root: Path, subject: str, options: Options, vertices: np.ndarray) -> Iterator[Found]:
    """Split by split the array (clips, repeats, 13156), clips in order of their numbers."""
    path = _group41(root, subject)
    content = pickles.load(path)
    is_dict = isinstance(content, dict)
    require(is_dict, str(path), expected="a dict of betas", found=type(content).__name__)
    stored = np.ravel(content.get("roi_indices_hcp", atlas.vertices("glasser41")))
    place = {int(vertex): i for i, vertex in enumerate(stored)}
    lost = [int(vertex) for vertex in vertices if int(vertex) not in place]
    require(not lost, str(path), expected=f"the {len(vertices):,} vertices asked for", found=f"no {lost[:3]}")
    columns = np.array([place[int(vertex)] for vertex in vertices])
    for split in ("train", "test"):
        clips, betas = options.clips(split), content.get(f"{split}_data_allvoxel")
        _check_betas(path, betas, shape=(len(clips), options.repeats(split), len(stored)))
        yield path, betas, list(range(len(clips))), columns


def _check_betas(path: Path, betas: object, *, shape: tuple[int, int, int]) -> None:
    is_array = isinstance(betas, np.ndarray)
    require(is_array, str(path), expected="an array of betas", found=type(betas).__name__)
    require(betas.shape == shape, str(path), expected=f"betas of shape {shape}", found=betas.shape)
    require(betas.dtype.kind == "f", str(path), expected="floating-point betas", found=betas.dtype)
