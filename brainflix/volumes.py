"""From volumes to grayordinates: Workbench's ribbon-constrained mapping, or nilearn's projection.

The cortex is sampled between the white and the pial surface; both tools average what lies between them. The
subcortex is the voxels of HCP's 2 mm atlas, in the standard 91,282 order.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from nibabel.cifti2 import BrainModelAxis

from brainflix.atlas import GRAYORDINATES, cortex_vertices
from brainflix.errors import InputError
from brainflix.surfaces import SIDES, Side, cortex_axis, data_file

Tool = Literal["workbench", "nilearn"]
ATLAS = "91282_Greyordinates/Atlas_ROIs.2.nii.gz"
# Labels of that atlas, in the order of the 91,282 grayordinates.
STRUCTURES = {
    26: "ACCUMBENS_LEFT", 58: "ACCUMBENS_RIGHT", 18: "AMYGDALA_LEFT", 54: "AMYGDALA_RIGHT", 16: "BRAIN_STEM",
    11: "CAUDATE_LEFT", 50: "CAUDATE_RIGHT", 8: "CEREBELLUM_LEFT", 47: "CEREBELLUM_RIGHT",
    28: "DIENCEPHALON_VENTRAL_LEFT", 60: "DIENCEPHALON_VENTRAL_RIGHT", 17: "HIPPOCAMPUS_LEFT",
    53: "HIPPOCAMPUS_RIGHT", 13: "PALLIDUM_LEFT", 52: "PALLIDUM_RIGHT", 12: "PUTAMEN_LEFT", 51: "PUTAMEN_RIGHT",
    10: "THALAMUS_LEFT", 49: "THALAMUS_RIGHT",
}  # fmt: skip
WORKBENCH = "wb_command"


def available() -> Tool:
    """Workbench where it is installed, else nilearn."""
    return "workbench" if shutil.which(WORKBENCH) else "nilearn"


@cache
def grayordinates() -> BrainModelAxis:
    """The standard 91,282: cortex, then the voxels of each structure, first axis fastest."""
    image = nib.load(data_file(ATLAS))
    labels = np.asarray(image.dataobj)
    axis = cortex_axis()
    for label, name in STRUCTURES.items():
        voxels = np.argwhere(labels == label)
        voxels = voxels[np.lexsort(voxels.T)]
        names = np.full(len(voxels), f"CIFTI_STRUCTURE_{name}")
        axis += BrainModelAxis(names, voxel=voxels, affine=image.affine, volume_shape=labels.shape)
    if len(axis) != GRAYORDINATES:
        raise InputError.about(data_file(ATLAS), expected=f"{GRAYORDINATES:,} grayordinates", found=f"{len(axis):,}")
    return axis


def to_grayordinates(volume: Path, surfaces: dict[tuple[Side, str], Path], tool: Tool) -> np.ndarray:
    """Values of a series of volumes at the 91,282 grayordinates: float32 (n_volumes, 91,282).

    Args:
        volume: 4-D NIfTI in the space of the surfaces; for the subcortex, MNI152 (NLin6Asym).
        surfaces: white, midthickness and pial of both sides on fsLR-32k.

    Raises:
        InputError: Workbench refuses the volume, or fails.
    """
    image = nib.load(volume)
    map_ = _by_workbench if tool == "workbench" else _by_nilearn
    sides = [map_(volume, surfaces, side)[vertices] for side, vertices in zip(SIDES, cortex_vertices(), strict=True)]
    return np.concatenate([*sides, _subcortex(image)]).T.astype(np.float32)


def _by_workbench(volume: Path, surfaces: dict[tuple[Side, str], Path], side: Side) -> np.ndarray:
    """(32,492, n_volumes), ribbon-constrained."""
    white, middle, pial = (str(surfaces[side, kind]) for kind in ("white", "midthickness", "pial"))
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/{side}.func.gii"
        command = [
            WORKBENCH,
            "-volume-to-surface-mapping",
            str(volume),
            middle,
            out,
            "-ribbon-constrained",
            white,
            pial,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            found = done.stderr.strip() or f"exit code {done.returncode}"
            raise InputError.about(volume, expected="a volume that wb_command can map", found=found)
        metric = nib.load(out)
        return np.stack([array.data for array in metric.darrays], axis=1)


def _by_nilearn(volume: Path, surfaces: dict[tuple[Side, str], Path], side: Side) -> np.ndarray:
    """(32,492, n_volumes), mean of samples along the line from white to pial."""
    from nilearn.surface import vol_to_surf

    pial, white = (str(surfaces[side, kind]) for kind in ("pial", "white"))
    values = vol_to_surf(str(volume), pial, inner_mesh=white, kind="depth", interpolation="linear")
    return np.asarray(values).reshape(len(values), -1)


def _subcortex(image: nib.Nifti1Image) -> np.ndarray:
    """(31,870, n_volumes), linear interpolation at the atlas's voxels."""
    from nilearn.image import resample_to_img

    atlas = nib.load(data_file(ATLAS))
    resampled = resample_to_img(image, atlas, interpolation="linear", copy_header=True, force_resample=False)
    voxels = grayordinates().voxel[grayordinates().volume_mask]
    return np.asarray(resampled.dataobj)[tuple(voxels.T)]
