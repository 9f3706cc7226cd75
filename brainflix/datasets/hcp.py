"""Human Connectome Project, resting state: for pretraining only.

Four runs a subject of 1,200 volumes (TR .72 s), cleaned by ICA-FIX, on 91,282 grayordinates. Following the
authors' code: z-score each vertex over its run, then average windows of 10 volumes (8 s / .75, their
constant) without overlap: 120 rows a run; what is left over at the end is dropped. Windows of seconds over the
true TR can be asked for.

The 2025 release renamed the files; whichever name is there is read, newest first, compressed or not. Many
subjects lack runs or have short ones: those are left out and reported, as long as one run of a subject is left.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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
    Skipped,
    require,
    require_positive,
    rows_table,
    stimuli_table,
)
from brainflix.datasets.headers import Matrix
from brainflix.datasets.sources import Source
from brainflix.datasets.standardize import usable
from brainflix.errors import InputError
from brainflix.settings import build

FACTS = Facts(
    name="hcp",
    title="Human Connectome Project Young Adult, resting state",
    doi="10.1016/j.neuroimage.2013.05.041",
    licence="WU-Minn HCP open access data use terms (to be accepted by each user)",
    citation=(
        "Van Essen D. C. et al. (2013). The WU-Minn Human Connectome Project: an overview. NeuroImage 80, 62-79."
    ),
    homepage="https://www.humanconnectome.org/study/hcp-young-adult",
    what_to_download=(
        "<subject>/MNINonLinear/Results/rfMRI_REST{1,2}_{LR,RL}/rfMRI_REST*_Atlas_MSMAll_hp2000_clean"
        ".dtseries.nii (or ..._clean_rclean_tclean.dtseries.nii of the 2025 release) from BALSA or "
        "s3://hcp-openaccess/HCP_1200"
    ),
)
SOURCES = (
    Source(
        "*/MNINonLinear/Results/*.dtseries.nii",
        "s3://hcp-openaccess/HCP_1200",
        "AWS keys that HCP hands out once you accepted its terms (as profile hcp of the AWS CLI)",
        1200 * 91_282 * 4,
        keys="--profile hcp",
    ),
)
HEADERS = {".dtseries.nii": Matrix(91_282, step_seconds=0.72)}

NAMES = (
    "Atlas_MSMAll_hp2000_clean_rclean_tclean",  # 2025 release
    "Atlas_MSMAll_hp2000_clean",  # S1200
    "Atlas_hp2000_clean_rclean_tclean",  # without multimodal surface matching, 2025
    "Atlas_hp2000_clean",  # the same, S1200
)
S1200_NAME = NAMES[1]
REPETITION_TIME_SECONDS = 0.72
RUN_VOLUMES = 1200  # of a whole run

WHERE = "options of dataset hcp"


@dataclass(frozen=True)
class Options(Choices):
    """Which runs, and how volumes become rows.

    Attributes:
        runs: runs of each subject, of REST1_LR, REST1_RL, REST2_LR, REST2_RL.
        window_volumes: volumes averaged into one row (the authors': 10), or None where seconds are given.
        window_seconds: in place of that, seconds by the true TR: a volume belongs to the window it begins in.
        nan_share: largest share of the vertices of a run that may be NaN or constant.
    """

    runs: tuple[Literal["REST1_LR", "REST1_RL", "REST2_LR", "REST2_RL"], ...]
    window_volumes: int | None
    window_seconds: float | None
    nan_share: float

    resting = True

    def __post_init__(self) -> None:
        distinct = bool(self.runs) and len(set(self.runs)) == len(self.runs)
        require(distinct, f"{WHERE}, runs", expected="different runs", found=list(self.runs))
        windows = (self.window_volumes, self.window_seconds)
        one = windows.count(None) == 1
        require(
            one, f"{WHERE}, window_volumes and window_seconds", expected="one of them, the other null", found=windows
        )
        if self.window_seconds is None:
            require_positive(self, "window_volumes", where=WHERE)
        else:
            enough = self.window_seconds >= REPETITION_TIME_SECONDS
            expected = f"{REPETITION_TIME_SECONDS} s, a volume, or more"
            require(enough, f"{WHERE}, window_seconds", expected=expected, found=self.window_seconds)
            require_positive(self, where=WHERE)

    def size(self, subjects: int) -> Size:
        return Size(rest_rows=len(self.runs) * (len(self.edges(RUN_VOLUMES)) - 1))

    @property
    def window(self) -> str:
        """A window in words."""
        return f"{self.window_volumes} volumes" if self.window_seconds is None else f"{self.window_seconds:g} s"

    def edges(self, volumes: int) -> np.ndarray:
        """First volume of each whole window of a run, and the one behind the last: int64 (n_windows + 1,)."""
        length = self.window_volumes or self.window_seconds / REPETITION_TIME_SECONDS
        # Times such as 25 windows of 0.72 s are not exact in floating point.
        return np.ceil(np.arange(int(volumes / length + 1e-9) + 1) * length - 1e-9).astype(np.int64)


def raw_files(*, root: Path, subjects: Sequence[str], options: Mapping[str, Any]) -> list[Path]:
    """What `index` reads: nothing, rest has no stimuli."""
    build(Options, options, where=WHERE)
    return []


def response_files(*, root: Path, subject: str, options: Mapping[str, Any]) -> list[Path]:
    """What `parcellate` reads: the series that are there, or where there is none what they were called in S1200.

    Raises:
        InputError: a file can be neither found nor said to be missing.
    """
    parsed = build(Options, options, where=WHERE)
    found = [path for run in parsed.runs if (path := _series(Path(root), subject, run))]
    return found or absent_files(root=root, subject=subject, options=options)


def absent_files(*, root: Path, subject: str, options: Mapping[str, Any]) -> list[Path]:
    """What `parcellate` does without: S1200 names of the runs that are asked for and are not there."""
    parsed = build(Options, options, where=WHERE)
    return [
        _paths(Path(root), subject, run)[S1200_NAME] for run in parsed.runs if not _series(Path(root), subject, run)
    ]


def stimuli(*, root: Path, subjects: Sequence[str], options: Mapping[str, Any]) -> pd.DataFrame:
    """An empty table."""
    build(Options, options, where=WHERE)
    return stimuli_table([])


def responses(
    *, root: Path, subject: str, stimuli: pd.DataFrame, options: Mapping[str, Any], vertices: np.ndarray
) -> Responses:
    """One row per window; ``repeat`` counts the windows of a run, ``run`` names subject and run.

    Raises:
        InputError: a header is damaged or not HCP's, or no run of the subject has a whole window.
    """
    parsed = build(Options, options, where=WHERE)
    headers, skipped = _look(Path(root), subject, parsed)
    if not headers:
        found = "; ".join(f"{run.run}: {run.reason}" for run in skipped)
        raise InputError.about(Path(root) / subject, expected=f"a run of at least {parsed.window}", found=found)
    return Responses(
        rows=rows_table(
            ("rest", "rest", window + 1, f"{subject}/{run}")
            for run, header in headers.items()
            for window in range(len(parsed.edges(header.maps)) - 1)
        ),
        blocks=(_block(header, parsed, vertices) for header in headers.values()),
        normalisation=f"z per run and vertex, then means of {parsed.window}",
        by_train_rows=False,
        nan_share=parsed.nan_share,
        skipped=tuple(skipped),
    )


def captions(*, root: Path, stimuli: pd.DataFrame) -> None:
    """Rest has nothing to caption."""
    return None


def windows(series: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z-score each vertex over its run, then average windows.

    Args:
        series: (n_vertices, n_volumes).
        edges: as `Options.edges` gives them, (n_windows + 1,).

    Returns:
        means (n_vertices, n_windows), NaN where constant; temporal signal-to-noise ratio (n_vertices,).
    """
    # Deviations from one volume, not the first, which may be far off: little cancels then, so that the precision of
    # the file is enough for the sums, and what is constant becomes zeros.
    count = series.shape[1]
    origin = series[:, count // 2, None]
    shifted = np.subtract(series, origin, dtype=np.result_type(series, np.float32))
    sums = _sums(shifted[:, : edges[-1]], edges).astype(np.float64)
    shift = sums.sum(axis=1, keepdims=True) + shifted[:, edges[-1] :].sum(axis=1, keepdims=True, dtype=np.float64)
    shift /= count
    variance = np.vecdot(shifted, shifted).astype(np.float64)[:, None] / count - shift**2
    mean = origin + shift
    std = usable(np.sqrt(np.maximum(variance, 0)), mean)
    return (sums / np.diff(edges) - shift) / std, (mean / std)[:, 0]


def _sums(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Sums over windows, (n_vertices, n_volumes) -> (n_vertices, n_windows)."""
    lengths = np.diff(edges)
    if (lengths != lengths[0]).any():
        return np.add.reduceat(values, edges[:-1], axis=1)
    # A product with ones: numpy's own sums over so short an axis take far longer.
    return (values.reshape(-1, lengths[0]) @ np.ones(lengths[0], values.dtype)).reshape(len(values), -1)


def _paths(root: Path, subject: str, run: str) -> dict[str, Path]:
    """Where a run may be, by the middle of its name, newest first."""
    known = re.fullmatch(r"\d{6}", subject, flags=re.ASCII)
    require(known is not None, "subjects of dataset hcp", expected="six digits such as 100307", found=subject)
    folder = root / subject / f"MNINonLinear/Results/rfMRI_{run}"
    return {name: folder / f"rfMRI_{run}_{name}.dtseries.nii" for name in NAMES}


def _series(root: Path, subject: str, run: str) -> Path | None:
    plain = _paths(root, subject, run).values()
    return next((path for name in plain for path in (name, Path(f"{name}.gz")) if _is_there(path)), None)


def _is_there(path: Path) -> bool:
    """Whether there is such a name, be it a link to nothing: that is damage, not a run never recorded."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise InputError.about(path, expected="a file or none", found=error.strerror or str(error)) from error
    return True


def _look(root: Path, subject: str, options: Options) -> tuple[dict[str, cifti.Header], list[Skipped]]:
    """Headers of the runs that can be used, and the runs that cannot, with the reason."""
    headers, skipped = {}, []
    for run in options.runs:
        path = _series(root, subject, run)
        if path is None:
            absent = _paths(root, subject, run)[S1200_NAME]
            skipped.append(Skipped(f"{subject}/{run}", absent, None, "no such file"))
            continue
        header = cifti.read_header(path, grayordinates=atlas.GRAYORDINATES, step_seconds=REPETITION_TIME_SECONDS)
        if len(options.edges(header.maps)) > 1:
            headers[run] = header
        else:
            reason = f"{header.maps} volumes, shorter than a window of {options.window}"
            skipped.append(Skipped(f"{subject}/{run}", path, header.maps, reason))
    return headers, skipped


def _block(header: cifti.Header, options: Options, vertices: np.ndarray) -> Block:
    edges, ratios = options.edges(header.maps), []

    def transform(series: np.ndarray) -> np.ndarray:
        means, ratio = windows(series, edges)
        ratios.append(ratio[np.isfinite(ratio)])
        return means

    values = cifti.read(header, vertices, n_rows=len(edges) - 1, transform=transform)
    known = np.concatenate(ratios)
    return Block(header.path, values, volumes=header.maps, tsnr=float(np.median(known)) if len(known) else None)
