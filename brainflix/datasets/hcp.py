"""Human Connectome Project, resting state: for pretraining only.

Four runs a subject of 1,200 volumes (TR .72 s), cleaned by ICA-FIX, on 91,282 grayordinates. Following the
authors' code: z-score each vertex over its run, then average windows of 10 volumes (8 s / .75, their
constant) without overlap: 120 rows a run; what is left over at the end is dropped. Runs of any length from
one window on are read.

The 2025 release renamed the files; whichever name is there is read, newest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from brainflix import atlas
from brainflix.datasets import cifti
from brainflix.datasets.base import (
    Block,
    Facts,
    Responses,
    require,
    require_positive,
    rows_table,
    stimuli_table,
)
from brainflix.datasets.headers import Matrix
from brainflix.datasets.sources import Source
from brainflix.datasets.standardize import z_score
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
    "Atlas_hp2000_clean",  # S1200 without multimodal surface matching
)
S1200_NAME = NAMES[1]
REPETITION_TIME_SECONDS = 0.72

WHERE = "options of dataset hcp"


@dataclass(frozen=True)
class Options:
    """Which runs, and how volumes become rows.

    Attributes:
        runs: runs of each subject, of REST1_LR, REST1_RL, REST2_LR, REST2_RL.
        window_volumes: volumes averaged into one row (the authors': 10).
        nan_share: largest share of the vertices of a run that may be NaN or constant.
    """

    runs: tuple[Literal["REST1_LR", "REST1_RL", "REST2_LR", "REST2_RL"], ...]
    window_volumes: int
    nan_share: float

    def __post_init__(self) -> None:
        distinct = bool(self.runs) and len(set(self.runs)) == len(self.runs)
        require(distinct, f"{WHERE}, runs", expected="different runs", found=list(self.runs))
        require_positive(self, "window_volumes", where=WHERE)


def raw_files(*, root: Path, subjects: Sequence[str], options: Mapping[str, Any]) -> list[Path]:
    """What `index` reads: nothing, rest has no stimuli."""
    build(Options, options, where=WHERE)
    return []


def response_files(*, root: Path, subject: str, options: Mapping[str, Any]) -> list[Path]:
    """What `parcellate` reads: a series per run, under whichever of its names is there, or the S1200 name."""
    parsed = build(Options, options, where=WHERE)
    return [_series(Path(root), subject, run) for run in parsed.runs]


def stimuli(*, root: Path, subjects: Sequence[str], options: Mapping[str, Any]) -> pd.DataFrame:
    """An empty table."""
    build(Options, options, where=WHERE)
    return stimuli_table([])


def responses(
    *, root: Path, subject: str, stimuli: pd.DataFrame, options: Mapping[str, Any], vertices: np.ndarray
) -> Responses:
    """One row per window; ``repeat`` counts the windows of a run, ``run`` names subject and run."""
    parsed = build(Options, options, where=WHERE)
    headers = {run: _header(_series(Path(root), subject, run), parsed) for run in parsed.runs}
    return Responses(
        rows=rows_table(
            ("rest", "rest", window + 1, f"{subject}/{run}")
            for run, header in headers.items()
            for window in range(header.maps // parsed.window_volumes)
        ),
        blocks=_blocks(headers.values(), parsed, vertices),
        normalisation=f"z per run and vertex, then means of {parsed.window_volumes} volumes",
        by_train_rows=False,
        nan_share=parsed.nan_share,
    )


def captions(*, root: Path, stimuli: pd.DataFrame) -> None:
    """Rest has nothing to caption."""
    return None


def windows(series: np.ndarray, *, window: int) -> np.ndarray:
    """z-score, then window means: (n_vertices, n_volumes) -> (n_vertices, n_volumes // window)."""
    n_windows = series.shape[1] // window
    scaled = z_score(series, ddof=0)[:, : n_windows * window]
    # A product with equal weights: numpy's own mean over so short an axis takes far longer.
    means = np.ascontiguousarray(scaled).reshape(-1, window) @ np.full(window, 1 / window)
    return means.reshape(len(series), n_windows)


def _series(root: Path, subject: str, run: str) -> Path:
    folder = root / str(subject) / f"MNINonLinear/Results/rfMRI_{run}"
    paths = {name: folder / f"rfMRI_{run}_{name}.dtseries.nii" for name in NAMES}
    return next((path for path in paths.values() if path.exists()), paths[S1200_NAME])


def _header(path: Path, options: Options) -> cifti.Header:
    header = cifti.read_header(path, grayordinates=atlas.GRAYORDINATES, step_seconds=REPETITION_TIME_SECONDS)
    enough = f"at least {options.window_volumes} volumes"
    require(header.maps >= options.window_volumes, str(path), expected=enough, found=header.maps)
    return header


def _blocks(headers: Sequence[cifti.Header], options: Options, vertices: np.ndarray) -> Iterator[Block]:
    for header in headers:
        n_rows = header.maps // options.window_volumes
        values = cifti.read(
            header, vertices, n_rows=n_rows, transform=lambda s: windows(s, window=options.window_volumes)
        )
        yield Block(header.path, values)
