"""MOSAIC: BOLD Moments and the Human Action Dataset, processed alike and packed as one HDF5 file per subject.

The files hold what GLMsingle made of fMRIPrep's series, one dataset per trial: a vector of 91,282 grayordinates
under ``betas/sub-01_BMD_stimulus-<stem>_phase-train_rep-0``, z-scored by the subject's train trials (BMD: session by
session), with attribute ``nan_indices``. Repeats count from 0. They are read one trial at a time.

Stimuli are not part of MOSAIC; they lie where the study itself has them, or in MOSAIC's own ``stimuli/raw``. A stem is
the clip's name before the study renamed it: BMD's annotations tell which of its 1,102 clips that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from brainflix import atlas
from brainflix.datasets import bmd, had
from brainflix.datasets.base import (
    Block,
    Choices,
    Facts,
    Responses,
    Size,
    bids_label,
    is_there,
    read_json,
    require,
    require_positive,
    rows_table,
    splits,
    stimuli_table,
)
from brainflix.datasets.sources import Source
from brainflix.errors import InputError
from brainflix.settings import build

if TYPE_CHECKING:
    import h5py

FACTS = Facts(
    name="mosaic",
    title="MOSAIC",
    doi="10.64898/2025.11.28.690060",
    licence="that of the study inside (BMD, HAD: CC0 for responses); MOSAIC adds none; stimuli as the study says",
    citation=(
        "Lahner B., Deb M., Murty N. A. R., Oliva A. (2025). MOSAIC: A scalable framework for fMRI dataset "
        "aggregation and modeling of human vision. bioRxiv 2025.11.28.690060. And the study inside."
    ),
    homepage="https://mosaic.csail.mit.edu",
    what_to_download=(
        "sub-XX_BMD.hdf5 or sub-XX_HAD.hdf5 from the portal; and from the study itself the stimuli and, for BMD, "
        "derivatives/stimuli_metadata/annotations.json"
    ),
)
BUCKET = "s3://mosaicfmri"
FOLDER = "fMRIPrepv23_2_0/task_fMRI/betas/GLMsinglev1_2"
TRIAL_BYTES = atlas.GRAYORDINATES * 8
SOURCES = (
    Source("sub-*_BMD.hdf5", f"{BUCKET}/{FOLDER}/BOLDMomentsDataset", "public", 4_020 * TRIAL_BYTES),
    Source("sub-*_HAD.hdf5", f"{BUCKET}/{FOLDER}/HumanActionsDataset", "public", 720 * TRIAL_BYTES),
    Source("stimuli/raw/*", "https://github.com/blahner/mosaic-preprocessing", "its copy_dataset_stim.py fills it"),
    Source("stimuli/*/v_*_label_1.mp4", had.OPENNEURO, "public"),
    *bmd.SOURCES,  # annotations, and the clips themselves
)
HEADERS: dict[str, Any] = {}

FOLDERS = (".", "hdf5_files/single_subject", f"{FOLDER}/{{study}}")  # of subjects' files, below the root
LONG_NAMES = {"BMD": "BOLDMomentsDataset", "HAD": "HumanActionsDataset"}
NORMALISATIONS = {
    "BMD": "z per session and vertex by that session's train trials, as published",
    "HAD": "z per vertex by the subject's train trials, as published",
}
RAW_STIMULI = Path("stimuli/raw")
ROWS_PER_BLOCK = 64

WHERE = "options of dataset mosaic"


@dataclass(frozen=True)
class Options(Choices):
    """Which study, and how much of it there is (published: BMD 3000 and 1020, HAD 540 and 180).

    Attributes:
        study: BMD or HAD. MOSAIC's other six show pictures, not videos.
        train_trials, test_trials: of each subject.
        nan_share: largest share of the vertices that may hold NaN or infinity.
    """

    study: Literal["BMD", "HAD"]
    train_trials: int
    test_trials: int
    nan_share: float

    @property
    def captioned(self) -> bool:
        return self.study == "BMD"

    def __post_init__(self) -> None:
        require_positive(self, "train_trials", "test_trials", where=WHERE)

    def size(self, subjects: int) -> Size:
        train, test = self.train_trials, self.test_trials
        if self.study == "HAD":  # every subject saw clips of their own, once
            return Size(subjects * (train + test), subjects * test, train, test)
        clips = (train // 3, test // 10)  # repeats of BMD
        return Size(sum(clips), clips[1], train, test)


class Trial(NamedTuple):
    """One trial, as the name of its HDF5 dataset tells it; ``repeat`` counts from 1."""

    key: str
    stem: str
    split: str
    repeat: int


def raw_files(*, root: Path, subjects: Sequence[str], options: Mapping[str, Any]) -> list[Path]:
    """What `index` and `caption` read beside the movies, which are known once these are."""
    parsed = build(Options, options, where=WHERE)
    files = [_file(Path(root), subject, parsed.study) for subject in subjects]
    return files + ([bmd.annotations_file(root)] if parsed.study == "BMD" else [])


def response_files(*, root: Path, subject: str, options: Mapping[str, Any]) -> list[Path]:
    """What `parcellate` reads: the subject's file."""
    return raw_files(root=root, subjects=[subject], options=options)


def stimuli(*, root: Path, subjects: Sequence[str], options: Mapping[str, Any]) -> pd.DataFrame:
    """Every clip the subjects saw, whole files, with its split: train, test, or HAD's overlap."""
    parsed = build(Options, options, where=WHERE)
    split_of: dict[str, str] = {}
    for subject in subjects:
        path = _file(Path(root), subject, parsed.study)
        for trial in _trials(path, subject, parsed):
            known = split_of.setdefault(trial.stem, trial.split)
            require(known == trial.split, str(path), expected=f"{trial.stem} in split {known}", found=trial.split)
    table = _clips_of_bmd(Path(root), split_of) if parsed.study == "BMD" else _clips_of_had(Path(root), split_of)
    return had.without_shared_moments(table) if parsed.study == "HAD" else table


def responses(
    *, root: Path, subject: str, stimuli: pd.DataFrame, options: Mapping[str, Any], vertices: np.ndarray
) -> Responses:
    """One row per trial, in the order of the file."""
    parsed = build(Options, options, where=WHERE)
    path, split_of = _file(Path(root), subject, parsed.study), splits(stimuli)
    names = _names_of_bmd(Path(root)) if parsed.study == "BMD" else {}
    trials, records = _trials(path, subject, parsed), []
    for trial in trials:
        clip = names.get(trial.stem, trial.stem)
        found = split_of.get(clip, "no such clip")
        fits = found in (trial.split, "overlap")
        require(fits, "stimuli table", expected=f"{clip} in split {trial.split}", found=found)
        records.append((clip, found, trial.repeat, "n/a"))
    return Responses(
        rows=rows_table(records),
        blocks=_blocks(path, [trial.key for trial in trials], vertices),
        normalisation=NORMALISATIONS[parsed.study],
        by_train_rows=False,
        nan_share=parsed.nan_share,
    )


def captions(*, root: Path, stimuli: pd.DataFrame) -> pd.DataFrame | None:
    """BMD's five human sentences per clip; HAD has none."""
    is_bmd = bool(len(stimuli)) and stimuli["stimulus"].str.fullmatch(r"\d{4}").all()
    return bmd.captions(root=root, stimuli=stimuli) if is_bmd else None


def _file(root: Path, subject: str, study: str) -> Path:
    """A subject's file, under the name of the bucket or of the portal (with a checksum in it)."""
    stem = f"sub-{bids_label(subject, dataset='mosaic')}_{study}"
    for name in FOLDERS:
        folder = root / name.format(study=LONG_NAMES[study])
        found = [folder / f"{stem}.hdf5", *sorted(folder.glob(f"{stem}_crc32-*.hdf5"))]
        if path := next((path for path in found if is_there(path)), None):
            return path
    return root / f"{stem}.hdf5"


def _open(path: Path) -> h5py.File:
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        found = error.strerror or str(error)
        raise InputError.about(path, expected="a subject's file of MOSAIC (HDF5)", found=found) from error


def _trials(path: Path, subject: str, options: Options) -> list[Trial]:
    """Trials of a file in its order; only names are read."""
    with _open(path) as file:
        is_group = hasattr(file.get("betas"), "keys")
        require(is_group, str(path), expected="a group betas", found=", ".join(file) or "nothing in it")
        keys = list(file["betas"])
    who = f"sub-{bids_label(subject, dataset='mosaic')}_{options.study}"
    form = re.compile(rf"{re.escape(who)}_stimulus-(.+)_phase-(train|test)_rep-(\d+)")
    trials = []
    for key in keys:
        match = form.fullmatch(key)
        expected = f"names such as {who}_stimulus-..._phase-train_rep-0"
        require(match is not None, str(path), expected=expected, found=key)
        trials.append(Trial(key, match[1], match[2], int(match[3]) + 1))
    for split, expected in (("train", options.train_trials), ("test", options.test_trials)):
        found = sum(trial.split == split for trial in trials)
        require(found == expected, str(path), expected=f"{expected:,} {split} trials", found=f"{found:,}")
    return trials


def _names_of_bmd(root: Path) -> dict[str, str]:
    """Four-digit clip names by the stem of the name in Moments in Time."""
    path = bmd.annotations_file(root)
    entries = read_json(path, expected="BMD's annotations (JSON)")
    try:
        return {Path(entry["MiT_filename"]).stem: clip for clip, entry in entries.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError.about(path, expected="a MiT_filename of each clip", found=f"none ({error})") from error


def _clips_of_bmd(root: Path, split_of: Mapping[str, str]) -> pd.DataFrame:
    names, path = _names_of_bmd(root), bmd.annotations_file(root)
    unknown = [stem for stem in split_of if stem not in names]
    require(not unknown, str(path), expected="every clip of the trials", found=f"no {', '.join(unknown[:3])}")
    stems = {names[stem]: stem for stem in split_of}
    records = []
    for split in ("train", "test"):
        clips = sorted(clip for clip, stem in stems.items() if split_of[stem] == split)
        movies = bmd.movies(root, split, clips)
        if (root / RAW_STIMULI).is_dir():
            movies = [root / RAW_STIMULI / f"{stems[clip]}.mp4" for clip in clips]
        records += [(clip, split, movie, None, None) for clip, movie in zip(clips, movies, strict=True)]
    return stimuli_table(records)


def _clips_of_had(root: Path, split_of: Mapping[str, str]) -> pd.DataFrame:
    """Below a folder per action, which the stem begins with: v_Tai chi_id_...; or all in MOSAIC's own folder."""
    is_raw = (root / RAW_STIMULI).is_dir()
    folders = {stem: "raw" if is_raw else stem.removeprefix("v_").partition("_id_")[0] for stem in split_of}
    return stimuli_table(
        (stem, split, root / "stimuli" / folders[stem] / f"{stem}.mp4", None, None) for stem, split in split_of.items()
    )


def _blocks(path: Path, keys: Sequence[str], vertices: np.ndarray) -> Iterator[Block]:
    with _open(path) as file:
        for first in range(0, len(keys), ROWS_PER_BLOCK):
            some = keys[first : first + ROWS_PER_BLOCK]
            yield Block(path, np.stack([_betas(path, file["betas"], key, vertices) for key in some]))


def _betas(path: Path, betas: h5py.Group, key: str, vertices: np.ndarray) -> np.ndarray:
    """One trial: float32 (n_vertices,), NaN where the file says so."""
    where, trial, shape = f"{path}, /betas/{key}", betas.get(key), (atlas.GRAYORDINATES,)
    is_dataset = hasattr(trial, "dtype")  # neither a group nor a link to nothing
    fits = is_dataset and trial.shape == shape and trial.dtype.kind == "f"
    found = f"{trial.dtype} {trial.shape}" if is_dataset else "something else"
    require(fits, where, expected=f"floats of shape {shape}", found=found)
    try:
        values = trial[...]
        values[np.asarray(trial.attrs.get("nan_indices", []), dtype=np.int64)] = np.nan
    except (OSError, ValueError, IndexError) as error:
        raise InputError.about(where, expected="a readable trial with nan_indices", found=str(error)) from error
    with np.errstate(over="ignore"):
        return values[vertices].astype(np.float32)
