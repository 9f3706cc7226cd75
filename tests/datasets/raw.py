"""Small but true-to-format raw files, written with nibabel, for the tests of the readers."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import nibabel as nib
import numpy as np
from nibabel import cifti2

from brainflix import atlas

SUBCORTEX = 91_282 - 59_412


@cache
def brain_models(*, subcortex: int = SUBCORTEX) -> cifti2.BrainModelAxis:
    """The standard grayordinates; subcortical voxels only in number, none for cortex-only maps."""
    left, right = atlas.cortex_vertices()
    axis = cifti2.BrainModelAxis.from_surface(left, 32_492, "CIFTI_STRUCTURE_CORTEX_LEFT")
    axis += cifti2.BrainModelAxis.from_surface(right, 32_492, "CIFTI_STRUCTURE_CORTEX_RIGHT")
    if subcortex:
        voxels = np.stack(np.unravel_index(np.arange(subcortex), (91, 109, 91)), axis=1)
        axis += cifti2.BrainModelAxis(
            "CIFTI_STRUCTURE_THALAMUS_LEFT", voxel=voxels, affine=np.eye(4), volume_shape=(91, 109, 91)
        )
    return axis


def write_series(
    path: Path, data: np.ndarray, *, step_seconds: float, axis: cifti2.BrainModelAxis | None = None
) -> Path:
    """A dtseries of ``data`` (volume, grayordinate)."""
    series = cifti2.SeriesAxis(0, step_seconds, len(data))
    return _write(path, data, series, axis if axis is not None else brain_models())


def write_maps(path: Path, data: np.ndarray) -> Path:
    """A cortex-only dscalar of ``data`` (map, grayordinate)."""
    names = cifti2.ScalarAxis([f"map {i}" for i in range(len(data))])
    return _write(path, data, names, brain_models(subcortex=0))


def _write(path: Path, data: np.ndarray, rows: cifti2.Axis, columns: cifti2.Axis) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Cifti2Image(data, header=(rows, columns))
    image.nifti_header.set_data_dtype(data.dtype)
    nib.save(image, path)
    return path


def noise(shape: tuple[int, ...], *, seed: int) -> np.ndarray:
    """float32 values around 100, as a scanner's arbitrary units."""
    return 100 + np.random.default_rng(seed).random(shape, dtype=np.float32)


def write_movie(path: Path, frames: np.ndarray, *, fps: int, gop: int = 12, first_pts: int = 0) -> Path:
    """An H.264 mp4 of ``frames`` (n, height, width, 3), shown at ``fps`` from ``first_pts`` frames on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "1", "g": str(gop)})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, fps)
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = first_pts + i, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbered(n: int, *, height: int = 32, width: int = 48) -> np.ndarray:
    """Up to 200 frames that tell their number: left grey its twenties, right grey the rest."""
    frames = np.empty((n, height, width, 3), np.uint8)
    frames[:, :, : width // 2] = (20 + 22 * (np.arange(n) // 20))[:, None, None, None]
    frames[:, :, width // 2 :] = (20 + 11 * (np.arange(n) % 20))[:, None, None, None]
    return frames


def number_of(picture: np.ndarray) -> int:
    """Which numbered frame a picture is, at any size."""
    quarter = picture.shape[1] // 4
    left, right = picture[:, :quarter].mean(), picture[:, -quarter:].mean()
    return 20 * round((float(left) - 20) / 22) + round((float(right) - 20) / 11)


def write_sound(path: Path) -> None:
    """An mp4 without a picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts = 44_100, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
