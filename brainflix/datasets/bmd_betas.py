"""The pickles of single-trial betas in which BMD's responses come.

``versionB``: on OpenNeuro, per split a pair ``(array, names)``: float64 (clips, repeats, 91282), ``vid0001`` ...
``group41``: what Brain Netflix itself was made from, a dict with an array (clips, repeats, 13156) per split: the
41 areas alone, clips in order of their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from brainflix import atlas
from brainflix.datasets import pickles
from brainflix.datasets.base import Block, first_existing, require

NORMALISATIONS = {
    "versionB": "z per session and vertex by that session's train trials, as published",
    "group41": "z=1 as published by the authors, who do not say over which trials",
}
GROUP41 = "Group41_betas-GLMsingle_type-typed_z=1.pkl"
GROUP41_FILES = (  # where the authors' codes and their downloads have it
    f"sub-{{label}}/{GROUP41}",
    f"sub-{{label}}/prepared_allvoxel_pkl/{GROUP41}",
    f"sub-{{label}}/betas-prepared/prepared_allvoxel_pkl/{GROUP41}",
    f"sub{{label}}/prepared_allvoxel_pkl/{GROUP41}",
)
ROWS_PER_BLOCK = 64

Found = tuple[Path, np.ndarray, Sequence[int], np.ndarray]
Clips = Mapping[str, list[str]]


def files(root: Path, label: str, kind: str) -> list[Path]:
    """The pickles of a subject: one per split, or one of both."""
    if kind == "group41":
        return [first_existing(root / name.format(label=label) for name in GROUP41_FILES)]
    folder = root / "derivatives/versionB/fsLR32k/GLM" / f"sub-{label}" / "prepared_betas"
    return [folder / f"sub-{label}_organized_betas_task-{split}_normalized.pkl" for split in ("train", "test")]


def blocks(
    paths: Sequence[Path], kind: str, *, clips: Clips, repeats: Mapping[str, int], vertices: np.ndarray
) -> Iterator[Block]:
    """Trials split by split, repeats of a clip side by side; never more than one pickle is in memory.

    Args:
        paths, kind: as `files` has them.
        clips, repeats: of each split: four-digit names in the order wanted, and presentations of each.
        vertices: grayordinates wanted (n_vertices,).

    Raises:
        InputError: a pickle is missing, damaged, dangerous or of another content.
    """
    find = {"versionB": _organised, "group41": _of_41_areas}[kind]
    for path, betas, order, columns in find(paths, clips, repeats, vertices):
        for start in range(0, len(order), ROWS_PER_BLOCK):
            # One gather per clip: the wide float64 rows are never copied as a whole.
            picked = [betas[i][:, columns] for i in order[start : start + ROWS_PER_BLOCK]]
            yield Block(source=path, values=np.concatenate(picked).astype(np.float32))
        del betas  # before the next one is read


def _organised(
    paths: Sequence[Path], clips: Clips, repeats: Mapping[str, int], vertices: np.ndarray
) -> Iterator[Found]:
    for path, split in zip(paths, clips, strict=True):
        yield path, *_open_pair(path, clips[split], repeats[split]), vertices


def _open_pair(path: Path, clips: list[str], repeats: int) -> tuple[np.ndarray, list[int]]:
    """The array (clips, repeats, 91282) and the position in it of each clip asked for."""
    content = pickles.load(path)
    is_pair = isinstance(content, tuple) and len(content) == 2
    require(is_pair, str(path), expected="a pair (betas, stimulus order)", found=type(content).__name__)
    betas, names = content
    _check(path, betas, shape=(len(clips), repeats, atlas.GRAYORDINATES))
    named = isinstance(names, (Sequence, np.ndarray)) and len(set(map(str, names))) == len(names) == len(betas)
    require(named, str(path), expected=f"a name for each of {len(betas):,} clips", found="other names")
    position = {str(name).removeprefix("vid"): i for i, name in enumerate(names)}
    lost = [clip for clip in clips if clip not in position]
    require(not lost, str(path), expected=f"clips vid{clips[0]} to vid{clips[-1]}", found=f"no {lost[:3]}")
    return betas, [position[clip] for clip in clips]


def _of_41_areas(
    paths: Sequence[Path], clips: Clips, repeats: Mapping[str, int], vertices: np.ndarray
) -> Iterator[Found]:
    (path,) = paths
    content = pickles.load(path)
    require(isinstance(content, dict), str(path), expected="a dict of betas", found=type(content).__name__)
    stored = np.ravel(content.get("roi_indices_hcp", atlas.vertices("glasser41")))
    place = {int(vertex): column for column, vertex in enumerate(stored)}
    lost = [vertex for vertex in vertices.tolist() if vertex not in place]
    require(not lost, str(path), expected=f"the {len(vertices):,} vertices asked for", found=f"no {lost[:3]}")
    columns = np.array([place[vertex] for vertex in vertices.tolist()])
    for split, names in clips.items():
        betas = content.get(f"{split}_data_allvoxel")
        _check(path, betas, shape=(len(names), repeats[split], len(stored)))
        yield path, betas, range(len(names)), columns


def _check(path: Path, betas: object, *, shape: tuple[int, int, int]) -> None:
    is_array = isinstance(betas, np.ndarray)
    require(is_array, str(path), expected="an array of betas", found=type(betas).__name__)
    require(betas.shape == shape, str(path), expected=f"betas of shape {shape}", found=betas.shape)
    require(betas.dtype.kind == "f", str(path), expected="floating-point betas", found=betas.dtype)
