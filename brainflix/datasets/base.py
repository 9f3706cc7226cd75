"""What every dataset file is made of: its facts, its options, and the responses it hands out."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from brainflix.errors import InputError

STIMULI_COLUMNS = ("stimulus", "split", "path", "start_seconds", "stop_seconds")
ROW_COLUMNS = ("stimulus", "split", "repeat", "run")


@dataclass(frozen=True)
class Facts:
    """Where a dataset comes from; complete by construction, so no dataset can be added without it.

    Attributes:
        what_to_download: one sentence: what to fetch and where to put it under the root folder.
    """

    name: str
    title: str
    doi: str
    licence: str
    citation: str
    homepage: str
    what_to_download: str

    def __post_init__(self) -> None:
        empty = [f.name for f in fields(self) if not getattr(self, f.name).strip()]
        if empty:
            raise ValueError(f"facts of {self.name or 'a dataset'} lack {', '.join(empty)}")
        if not re.fullmatch(r"10\.\d{4,9}/\S+", self.doi):
            raise ValueError(f"{self.name}: {self.doi!r} is no DOI")
        if not self.homepage.startswith("https://"):
            raise ValueError(f"{self.name}: {self.homepage!r} is no https address")


class Size(NamedTuple):
    """How large a dataset is by its options, for estimates.

    Attributes:
        stimuli, test_stimuli: clips of all subjects, and those of them that are held out.
        train_rows, test_rows, rest_rows: responses of a subject.
    """

    stimuli: int = 0
    test_stimuli: int = 0
    train_rows: int = 0
    test_rows: int = 0
    rest_rows: int = 0


class Choices:
    """What every dataset's ``Options`` say of it beside their fields, known before anything is read.

    Attributes:
        captioned: whether human captions come along.
        resting: whether nothing was shown.
        test_stimuli: how many are held out; None where only the files say.
    """

    captioned = False  # no annotations: these are no options
    resting = False
    test_stimuli = None

    def size(self, subjects: int) -> Size:
        """How large the dataset is with so many subjects."""
        raise NotImplementedError


@dataclass(frozen=True)
class Block:
    """Consecutive rows of responses that came out of one raw file.

    Attributes:
        source: the raw file, to be named when its values are refused.
        values: float32 (n_rows, n_vertices); NaN or infinite where the file says nothing usable.
        volumes: volumes of the file, where it is a series whose quality was looked at.
        tsnr: their temporal signal-to-noise ratio, mean over standard deviation, median over vertices.
    """

    source: Path
    values: np.ndarray
    volumes: int | None = None
    tsnr: float | None = None


@dataclass(frozen=True)
class Skipped:
    """A run that gives no rows, which its dataset allows.

    Attributes:
        volumes: volumes of the file; None where there is none.
        reason: why, in words.
    """

    run: str
    source: Path
    volumes: int | None
    reason: str


@dataclass(frozen=True)
class Responses:
    """One subject's responses, to be streamed.

    Attributes:
        rows: table (stimulus, split, repeat, run), one line per row of the blocks, in their order.
        blocks: iterable of Block; together they have ``len(rows)`` rows. Opens the raw files lazily.
        normalisation: how the values were or will be scaled, in words, for the file's ``about``.
        by_train_rows: the reader of the blocks still has to z-score each vertex with the mean and
            standard deviation of the rows whose split is ``train``.
        nan_share: largest share of the vertices that may be unusable in one block.
        skipped: runs that were asked for and have no rows.
    """

    rows: pd.DataFrame
    blocks: Iterable[Block]
    normalisation: str
    by_train_rows: bool
    nan_share: float
    skipped: tuple[Skipped, ...] = ()


def require(condition: bool, where: str, *, expected: str, found: object) -> None:
    """Refuse an option or a raw file in one sentence unless ``condition`` holds."""
    if not condition:
        raise InputError.about(where, expected=expected, found=str(found))


def require_positive(options: Any, *names: str, where: str) -> None:
    """Refuse options that have to be 1 or more; ``nan_share`` has to be a share."""
    for name in names:
        value = getattr(options, name)
        require(value > 0, f"{where}, {name}", expected="1 or more", found=value)
    share = options.nan_share
    require(0 <= share <= 1, f"{where}, nan_share", expected="a share from 0 to 1", found=share)


def is_there(path: Path) -> bool:
    """Whether there is such a file or folder.

    Raises:
        InputError: nobody can tell, as a folder on the way may not be entered, or a link leads to itself.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise InputError.about(path, expected="a file or none", found=error.strerror or str(error)) from error
    return True


def first_existing(paths: Iterable[Path]) -> Path:
    """The first of several names under which a file is known that is there, else the first of all."""
    names = list(paths)
    return next((path for path in names if is_there(path)), names[0])


def read_text(path: Path, *, expected: str) -> str:
    """Text of a UTF-8 file.

    Raises:
        InputError: missing, unreadable or not UTF-8; it says what was ``expected``.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError.about(path, expected=expected, found=error.strerror or "nothing") from error
    except UnicodeDecodeError as error:
        raise InputError.about(path, expected=expected, found=f"text that is not UTF-8 ({error})") from error


def read_json(path: Path, *, expected: str) -> Any:
    """Content of a JSON file; refused like `read_text`."""
    try:
        return json.loads(read_text(path, expected=expected))
    except json.JSONDecodeError as error:
        raise InputError.about(path, expected=expected, found=f"no JSON ({error})") from error


def stimuli_table(records: Iterable[Sequence[Any]]) -> pd.DataFrame:
    """Table of stimuli from (stimulus, split, path, start_seconds, stop_seconds); None = whole file."""
    table = pd.DataFrame(list(records), columns=list(STIMULI_COLUMNS))
    windows = ["start_seconds", "stop_seconds"]
    return table.astype({"stimulus": str, "split": str, "path": str, **dict.fromkeys(windows, float)})


def rows_table(records: Iterable[Sequence[Any]]) -> pd.DataFrame:
    """Table of response rows from (stimulus, split, repeat, run)."""
    table = pd.DataFrame(list(records), columns=list(ROW_COLUMNS))
    return table.astype({"stimulus": str, "split": str, "repeat": int, "run": str})


def splits(stimuli: pd.DataFrame) -> dict[str, str]:
    """Which split each stimulus belongs to.

    Raises:
        InputError: a stimulus is listed twice.
    """
    twice = stimuli["stimulus"][stimuli["stimulus"].duplicated()]
    require(twice.empty, "stimuli table", expected="every stimulus once", found=f"{', '.join(twice[:3])} twice")
    return dict(zip(stimuli["stimulus"], stimuli["split"], strict=True))


def bids_label(subject: str, *, dataset: str) -> str:
    """Two-digit label of a numbered subject, with or without its zero or prefix.

    >>> bids_label("1", dataset="bmd"), bids_label("sub-01", dataset="bmd")
    ('01', '01')
    """
    number = re.fullmatch(r"(?:sub-?)?(\d{1,2})", str(subject))
    require(number is not None, f"subjects of dataset {dataset}", expected="numbers such as 01", found=subject)
    return f"{int(number[1]):02d}"
