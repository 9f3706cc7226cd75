"""Write scenes as H.264 mp4 files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from brainflix.artifacts import replacing
from brainflix.phantom.world import Scene, render

TITLE = "simulated clip (brainflix phantom)"
COMMENT = "simulated: drawn by a program; nobody was scanned watching it"
CHUNK = 240  # frames drawn at once


def write_clip(path: Path, scene: Scene, *, frames: int, fps: int, pixels: int, crf: int) -> None:
    """Write one scene as a clip of ``frames`` frames at ``fps`` frames a second."""
    write_film(path, [(scene, frames)], fps=fps, pixels=pixels, crf=crf)


def write_film(path: Path, shots: Sequence[tuple[Scene, int]], *, fps: int, pixels: int, crf: int) -> None:
    """Write shots, given as (scene, number of frames), one after the other into one file.

    H.264 (libx264), yuv420p, one thread, so that the same scenes give the same bytes.
    """
    # The format is named because the temporary name does not end in .mp4.
    with replacing(path) as partial, av.open(str(partial), "w", format="mp4") as container:
        container.metadata.update({"title": TITLE, "comment": COMMENT})
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width = stream.height = pixels
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        # Macroblock trees read memory that was never written at small sizes: same input, other bytes.
        stream.options = {"crf": str(crf), "preset": "veryfast", "x264-params": "mbtree=0"}
        for picture in _pictures(shots, fps, pixels):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _pictures(shots: Sequence[tuple[Scene, int]], fps: int, pixels: int) -> Iterable[np.ndarray]:
    for scene, count in shots:
        for start in range(0, count, CHUNK):
            times = np.arange(start, min(start + CHUNK, count)) / fps
            yield from render(scene, times, pixels=pixels)
