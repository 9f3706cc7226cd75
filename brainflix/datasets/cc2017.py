"""CC2017, Purdue's "video-fMRI": 3 people, 18 training and 5 test movies of 480 s (Wen et al. 2018).

The movie is cut into clips of 2 s, one per volume, and clip k (movie time 2k to 2k+2) is answered by the
volume 4 s after its onset. How many volumes precede the movie's second second depends on the run, and the
*number of volumes* tells it: in a run of 245 (recording began 2 s into the movie) clip k is volume k+1, in
a run of 246 it is volume k+2. That is also the official trimming (245: first 1, last 4; 246: first 2,
last 4), which therefore contains the 4-s lag already: no further shift anywhere downstream.

One run is off: in subject 3, test2, repeat 9 the recording lags by some 10 s; clip k is volume k+7, and
clips 235 to 239 are missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from brainflix import atlas
from brainflix.datasets import cifti
from brainflix.datasets.base import (
    Block,
    Choices,
    Facts,
    Responses,
    Size,
    require,
    require_positive,
    rows_table,
    splits,
    stimuli_table,
)
from brainflix.datasets.headers import Matrix
from brainflix.datasets.sources import Source
from brainflix.datasets.standardize import detrend, z_score
from brainflix.errors import InputError
from brainflix.settings import build

FACTS = Facts(
    name="cc2017",
    title="Neural encoding and decoding with deep learning for dynamic natural vision",
    doi="10.4231/R7SF2TCW",
    licence="CC0",
    citation=(
        "Wen H. et al. (2018). Neural encoding and decoding with deep learning for dynamic natural vision. "
        "Cerebral Cortex 28, 4136-4160."
    ),
    homepage="https://purr.purdue.edu/publications/2809",
    what_to_download=(
        "the folder video_fmri_dataset of PURR publication 2809 (a zip inside each zip): "
        "stimuli/{seg1-18,test1-5}.mp4 and subject{1,2,3}/fmri/*/cifti/*_Atlas.dtseries.nii"
    ),
)
SOURCES = tuple(
    Source(
        f"video_fmri_dataset/{folder}/*",
        f"ftp://purr.purdue.edu/10_4231_{record}.zip",
        f"public; its page is https://doi.org/10.4231/{record}",
        size,
        inner=f"10_4231_{record}/bundle.zip",
    )
    for folder, record, size in (
        ("stimuli", "R71Z42KK", None),
        ("subject1", "R7X63K3M", 15_297_443_422),
        ("subject2", "R7NS0S1F", None),
        ("subject3", "R7J101BV", None),
    )
)
HEADERS = {"_Atlas.dtseries.nii": Matrix(91_282, maps=(245, 246), step_seconds=2.0)}

FOLDER = "video_fmri_dataset"
CLIP_SECONDS = 2
CLIPS_PER_MOVIE = 240
LAG_VOLUMES = {245: 1, 246: 2}  # number of volumes of a run -> volume of clip 0
REPETITION_TIME_SECONDS = 2.0
LATE_RUN = ("3", "test2", 9)
LATE_RUN_LAG_VOLUMES = 7
NORMALISATIONS = {
    "train": "z per vertex by the subject's train rows",
    "paper": "z per vertex over the clips of each run; test rows by their own run",
    "official": "4th-order detrend and z per vertex over 240 volumes of each run; test rows by their own run",
}

WHERE = "options of dataset cc2017"


@dataclass(frozen=True)
class Options(Choices):
    """How much of the dataset there is, and the two choices on which published work differs.

    Attributes:
        train_segments, test_segments: movies seg1 ... and test1 ... (published: 18 and 5).
        train_repeats, test_repeats: runs of each movie (published: 2 and 10).
        clips: 240 a movie (4,320 + 1,200 in all), or 239: as the authors, without clip 0 of the movies
            whose recording began late (all but test2 to test5; 4,302 + 1,199).
        normalisation: ``train``: by the subject's train rows; ``paper``: z over the clips of a segment;
            ``official``, the data's own code: 4th-order detrend, then z. The last two scale test runs by themselves.
        nan_share: largest share of the vertices of a run that may be NaN or constant.
    """

    train_segments: int
    test_segments: int
    train_repeats: int
    test_repeats: int
    clips: Literal[239, 240]
    normalisation: Literal["train", "paper", "official"]
    nan_share: float

    @property
    def test_stimuli(self) -> int:
        return sum(CLIPS_PER_MOVIE - self.first_clip(movie) for movie, split in self.movies() if split == "test")

    def __post_init__(self) -> None:
        counts = ("train_segments", "test_segments", "train_repeats", "test_repeats")
        require_positive(self, *counts, where=WHERE)

    def size(self, subjects: int) -> Size:
        clips = dict.fromkeys(("train", "test"), 0)
        for movie, split in self.movies():
            clips[split] += CLIPS_PER_MOVIE - self.first_clip(movie)
        rows = (clips["train"] * self.train_repeats, clips["test"] * self.test_repeats)
        return Size(sum(clips.values()), clips["test"], *rows)

    def movies(self) -> list[tuple[str, str]]:
        """(movie, split) of every movie, in order."""
        train = [(f"seg{n}", "train") for n in range(1, self.train_segments + 1)]
        return train + [(f"test{n}", "test") for n in range(1, self.test_segments + 1)]

    def first_clip(self, movie: str) -> int:
        """0, or 1 where the authors start."""
        return int(self.clips == 239 and (movie.startswith("seg") or movie == "test1"))


class Run(NamedTuple):
    """One presentation of a movie to one subject."""

    movie: str
    split: str
    repeat: int
    path: Path

    @property
    def name(self) -> str:
        """As in the file's name, e.g. ``seg1_2``."""
        return f"{self.movie}_{self.repeat}"


def clip_name(movie: str, clip: int) -> str:
    """Name of a clip, as the authors' mp4 files.

    >>> clip_name("seg1", 1)
    'seg1_begin-002_end-004'
    """
    return f"{movie}_begin-{CLIP_SECONDS * clip:03d}_end-{CLIP_SECONDS * (clip + 1):03d}"


def parse_clip_name(name: str) -> tuple[str, int]:
    """Movie and clip number of a clip's name, padded or not (the authors use both).

    >>> parse_clip_name("test5_begin-10_end-12")
    ('test5', 5)

    Raises:
        InputError: no such clip can exist.
    """
    match = re.fullmatch(r"((?:seg|test)[1-9]\d*)_begin-(\d{1,3})_end-(\d{1,3})", name, flags=re.ASCII)
    if match is not None:
        begin, end = int(match[2]), int(match[3])
        if begin % CLIP_SECONDS == 0 and end == begin + CLIP_SECONDS and begin // CLIP_SECONDS < CLIPS_PER_MOVIE:
            return match[1], begin // CLIP_SECONDS
    raise InputError.about("clip name", expected="one like seg1_begin-002_end-004", found=name)


def raw_files(*, root: Path, subjects: Sequence[str], options: Mapping[str, Any]) -> list[Path]:
    """What `index` needs: the movies."""
    parsed = build(Options, options, where=WHERE)
    return [_movie(Path(root), movie) for movie, _ in parsed.movies()]


def response_files(*, root: Path, subject: str, options: Mapping[str, Any]) -> list[Path]:
    """What `parcellate` reads: a series per run."""
    parsed = build(Options, options, where=WHERE)
    return [run.path for run in _runs(Path(root), subject, parsed)]


def stimuli(*, root: Path, subjects: Sequence[str], options: Mapping[str, Any]) -> pd.DataFrame:
    """Clips as windows of their movie, in the movie's order; the same for every subject."""
    parsed = build(Options, options, where=WHERE)
    return stimuli_table(
        (
            clip_name(movie, clip),
            split,
            _movie(Path(root), movie),
            CLIP_SECONDS * clip,
            CLIP_SECONDS * (clip + 1),
        )
        for movie, split in parsed.movies()
        for clip in range(parsed.first_clip(movie), CLIPS_PER_MOVIE)
    )


def responses(
    *, root: Path, subject: str, stimuli: pd.DataFrame, options: Mapping[str, Any], vertices: np.ndarray
) -> Responses:
    """One row per clip and presentation: run by run, clips in order."""
    parsed = build(Options, options, where=WHERE)
    split_of = splits(stimuli)
    name_of = {parse_clip_name(name): name for name in split_of}  # padded or not, as the table has it
    runs = _runs(Path(root), subject, parsed)
    records = []
    for run in runs:
        for clip in _clips(run, subject, parsed):
            name = name_of.get((run.movie, clip), "")
            expected = f"{clip_name(run.movie, clip)} in split {run.split}"
            found = split_of.get(name, "no such clip")
            require(found == run.split, "stimuli table", expected=expected, found=found)
            records.append((name, run.split, run.repeat, run.name))
    return Responses(
        rows=rows_table(records),
        blocks=(_block(run, _number(subject), parsed, vertices) for run in runs),
        normalisation=NORMALISATIONS[parsed.normalisation],
        by_train_rows=parsed.normalisation == "train",
        nan_share=parsed.nan_share,
    )


def captions(*, root: Path, stimuli: pd.DataFrame) -> None:
    """CC2017 comes without sentences."""
    return None


def volumes_of_clips(n_volumes: int, *, clips: Sequence[int], lag: int | None = None) -> np.ndarray:
    """Volume that answers each clip, 0-based: int64 (n_clips,).

    >>> volumes_of_clips(245, clips=[0, 239]).tolist(), volumes_of_clips(246, clips=[0, 239]).tolist()
    ([1, 240], [2, 241])
    """
    return np.asarray(clips) + (LAG_VOLUMES[n_volumes] if lag is None else lag)


def _number(subject: str) -> str:
    number = re.fullmatch(r"(?:subject|sub-)?0*([1-9]\d*)", str(subject))
    if number is None:
        raise InputError.about("subjects of dataset cc2017", expected="numbers such as 1", found=subject)
    return number[1]


def home(root: Path) -> Path:
    """Where the archives are unpacked: the folder that holds the one which ``root`` may be."""
    return root.parent if root.name == FOLDER else root


def _top(root: Path) -> Path:
    """The folder of the archives, which ``root`` may hold or be."""
    return root if root.name == FOLDER else root / FOLDER


def _movie(root: Path, movie: str) -> Path:
    return _top(root) / "stimuli" / f"{movie}.mp4"


def _runs(root: Path, subject: str, options: Options) -> list[Run]:
    folder = _top(root) / f"subject{_number(subject)}" / "fmri"
    repeats = {"train": options.train_repeats, "test": options.test_repeats}
    return [
        Run(movie, split, repeat, folder / movie / "cifti" / f"{movie}_{repeat}_Atlas.dtseries.nii")
        for movie, split in options.movies()
        for repeat in range(1, repeats[split] + 1)
    ]


def _is_late(run: Run, subject: str) -> bool:
    return (_number(subject), run.movie, run.repeat) == LATE_RUN


def _clips(run: Run, subject: str, options: Options) -> range:
    missing = LATE_RUN_LAG_VOLUMES - LAG_VOLUMES[246] if _is_late(run, subject) else 0
    return range(options.first_clip(run.movie), CLIPS_PER_MOVIE - missing)


def _block(run: Run, subject: str, options: Options, vertices: np.ndarray) -> Block:
    header = cifti.read_header(run.path, grayordinates=atlas.GRAYORDINATES, step_seconds=REPETITION_TIME_SECONDS)
    legal = {246: LATE_RUN_LAG_VOLUMES} if _is_late(run, subject) else LAG_VOLUMES
    expected = " or ".join(map(str, legal)) + " volumes"
    require(header.maps in legal, str(run.path), expected=expected, found=header.maps)
    volumes = volumes_of_clips(header.maps, clips=_clips(run, subject, options), lag=legal[header.maps])
    # The official code scales over the 240 volumes it keeps, whatever clips are used afterwards.
    kept = slice(legal[header.maps], min(legal[header.maps] + CLIPS_PER_MOVIE, header.maps))

    def transform(series: np.ndarray) -> np.ndarray:
        if options.normalisation == "paper":
            return z_score(series[:, volumes], ddof=1)
        if options.normalisation == "official":
            return z_score(detrend(series[:, kept], order=4), ddof=1)[:, volumes - kept.start]
        return series[:, volumes]

    return Block(run.path, cifti.read(header, vertices, n_rows=len(volumes), transform=transform))
