"""Write CIFTI-2 files straight to disk.

A CIFTI matrix lies on disk with its first axis (time, or the map) fastest, so an array (grayordinates, time)
in C order is written as it is, after the header and the XML that names both axes.
"""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

import numpy as np
from nibabel.cifti2 import Cifti2Header, ScalarAxis, SeriesAxis
from nibabel.cifti2.cifti2_axes import Axis
from nibabel.nifti2 import Nifti2Header

from brainflix.artifacts import replacing
from brainflix.phantom.mesh import brain_models

DESCRIPTION = b"simulated by brainflix (phantom)"
DENSE_SERIES, DENSE_SCALARS = 3002, 3006  # NIfTI intent codes
EXTENSION_CODE = 32


def write_series(path: Path, values: np.ndarray, *, repetition_time: float) -> None:
    """Write a ``.dtseries.nii``: float32 ``values`` (grayordinates, volumes), one volume per ``repetition_time`` s."""
    axis = SeriesAxis(start=0.0, step=repetition_time, size=values.shape[1], unit="SECOND")
    _write(path, values, axis, intent=(DENSE_SERIES, b"ConnDenseSeries"))


def write_scalars(path: Path, values: np.ndarray, *, names: list[str]) -> None:
    """Write a ``.dscalar.nii``: float32 ``values`` (grayordinates, maps), one name per map."""
    _write(path, values, ScalarAxis(names), intent=(DENSE_SCALARS, b"ConnDenseScalar"))


def _write(path: Path, values: np.ndarray, axis: Axis, *, intent: tuple[int, bytes]) -> None:
    if values.dtype != np.float32:
        raise TypeError(f"values must be float32, not {values.dtype}")
    grayordinates, length = values.shape
    xml = _xml(axis, grayordinates)
    padding = -(len(xml) + 8) % 16
    header = Nifti2Header()
    header.set_data_dtype(np.float32)
    header.set_data_shape((1, 1, 1, 1, length, grayordinates))
    header["vox_offset"] = 540 + 4 + 8 + len(xml) + padding
    header["intent_code"], header["intent_name"] = intent
    header["descrip"] = DESCRIPTION
    header["magic"] = b"n+2"
    with replacing(path) as partial, open(partial, "wb") as file:
        file.write(header.binaryblock)
        file.write(b"\1\0\0\0" + struct.pack("<ii", len(xml) + 8 + padding, EXTENSION_CODE))
        file.write(xml + b"\0" * padding)
        np.ascontiguousarray(values).tofile(file)


def _xml(axis: Axis, grayordinates: int) -> bytes:
    """XML of both axes. The one of the brain models is long and always the same, so it is made once."""
    own = Cifti2Header.from_axes([axis, _shortest_axis()]).to_xml()
    head, _, tail = own.partition(b'<MatrixIndicesMap AppliesToMatrixDimension="1"')
    return head + _brain_models_xml(grayordinates) + tail[tail.index(b"</MatrixIndicesMap>") + 19 :]


def _shortest_axis() -> Axis:
    return ScalarAxis(["any"])


@cache
def _brain_models_xml(grayordinates: int) -> bytes:
    whole = Cifti2Header.from_axes([_shortest_axis(), brain_models(grayordinates)]).to_xml()
    start = whole.index(b'<MatrixIndicesMap AppliesToMatrixDimension="1"')
    return whole[start : whole.index(b"</MatrixIndicesMap>", start) + 19]
