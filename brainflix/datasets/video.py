"""Movies to frames: evenly spread, exactly timed, decoded once.

What a container claims about its number of frames is never used: clips are decoded to the end first and
frames are picked among those that came out. (The paper's released reader returned the last frame fifteen
times; some of its clips hold one or two frames more than their header says.)

Windows are cut by time stamps, half open: a frame belongs to [start, stop) if it is first
*shown* in it.

A clip may also be a folder of pictures, a frame each, in the order of the numbers in their names. Those have
no time stamps, so such a clip is always taken whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from brainflix.errors import InputError

if TYPE_CHECKING:
    import av

    Frame = av.VideoFrame | Path

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
# Containers round time stamps; a frame this close to a window's edge is taken to be on it.
TOLERANCE_SECONDS = 1e-3

Window = tuple[float, float]
WHOLE: Window = (0.0, np.inf)


def frames(path: Path, *, count: int, pixels: int, start: float | None = None, stop: float | None = None) -> np.ndarray:
    """Frames spread evenly over a movie, or over one window of it.

    Args:
        count: number of frames: the ones at ``linspace`` over those decoded, first and last included.
        pixels: height and width returned; the picture is squeezed to it, as the paper does.
        start, stop: window in seconds from the first frame; None for the beginning or the end.

    Returns:
        uint8 (count, pixels, pixels, 3), RGB.

    Raises:
        InputError: no such file, no video in it, not decodable, no frame in the window, or a window of a folder.
    """
    window = (0.0 if start is None else start, np.inf if stop is None else stop)
    return next(clips(path, [window], count=count, pixels=pixels))


def clips(path: Path, windows: Sequence[Window], *, count: int, pixels: int) -> Iterator[np.ndarray]:
    """Frames of many windows of one movie, which is decoded once, from the first window to the last.

    Args:
        path: a movie, or a folder of pictures.
        windows: (start, stop) in seconds, starts rising; they may touch or overlap.

    Yields:
        uint8 (count, pixels, pixels, 3) for each window, in order.

    Raises:
        InputError: as `frames`.
    """
    path = Path(path)
    try:
        for window, held in (_of_folder if path.is_dir() else _of_movie)(path, windows):
            yield _pick(path, window, held, count=count, pixels=pixels)
    except PermissionError as error:
        raise InputError.about(path, expected="a clip that may be read", found=error.strerror or "none") from error


def _of_movie(path: Path, windows: Sequence[Window]) -> Iterator[tuple[Window, list[Frame]]]:
    """The frames of each window, as soon as they are complete."""
    waiting = [(window, []) for window in windows]
    for time, frame in _decode(path, start=windows[0][0]):
        while waiting and time >= waiting[0][0][1] - TOLERANCE_SECONDS:
            yield waiting.pop(0)
        if not waiting:
            return
        for (start, stop), held in waiting:
            if time < start - TOLERANCE_SECONDS:
                break
            if time < stop - TOLERANCE_SECONDS:
                held.append(frame)
    yield from waiting


def _of_folder(path: Path, windows: Sequence[Window]) -> Iterator[tuple[Window, list[Frame]]]:
    timed = [window for window in windows if window != WHOLE]
    if timed:
        expected = f"a movie, to cut {timed[0][0]:g} s to {timed[0][1]:g} s out of it"
        raise InputError.about(path, expected=expected, found="a folder")
    pictures = pictures_of(path)
    # By the numbers in the names, padded or not: 9.jpg before 10.jpg.
    pictures.sort(key=lambda file: [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", file.name)])
    for window in windows:
        yield window, pictures


def pictures_of(folder: Path) -> list[Path]:
    """Pictures in a folder; not what macOS calls ._1.jpg, which holds no picture."""
    return [f for f in folder.iterdir() if f.suffix.lower() in PICTURES and not f.name.startswith(".")]


def iterate(stimuli: pd.DataFrame, *, count: int, pixels: int) -> Iterator[tuple[int, np.ndarray]]:
    """Frames of every row of a table of stimuli (path, start_seconds, stop_seconds), in its order.

    Neighbouring rows on rising windows of one file share one pass over it.

    Yields:
        (row number from 0, uint8 (count, pixels, pixels, 3)).
    """
    row = 0
    for path, windows in _passes(stimuli):
        for picked in clips(Path(path), windows, count=count, pixels=pixels):
            yield row, picked
            row += 1


def _passes(stimuli: pd.DataFrame) -> Iterator[tuple[str, list[Window]]]:
    """The table as passes over files: (path, windows)."""
    path, windows = None, []
    starts = stimuli["start_seconds"].fillna(0.0)
    stops = stimuli["stop_seconds"].fillna(np.inf)
    for next_path, start, stop in zip(stimuli["path"], starts, stops, strict=True):
        if next_path != path or start < windows[-1][0]:
            if windows:
                yield path, windows
            path, windows = next_path, []
        windows.append((float(start), float(stop)))
    if windows:
        yield path, windows


def _pick(path: Path, window: Window, held: list[Frame], *, count: int, pixels: int) -> np.ndarray:
    if not held:
        expected = "frames" if window == WHOLE else f"frames from {window[0]:g} s to {window[1]:g} s"
        raise InputError.about(path, expected=expected, found="none that decodes")
    chosen = np.linspace(0, len(held) - 1, count).astype(int)
    resized = {i: _resize(_rgb(held[i]), pixels) for i in set(chosen.tolist())}
    return np.stack([resized[i] for i in chosen.tolist()])


def _rgb(frame: Frame) -> np.ndarray:
    if isinstance(frame, Path):
        return _read_picture(frame)
    # One thread: starting the many that PyAV would choose takes longer than the conversion.
    return frame.reformat(format="rgb24", threads=1).to_ndarray()


def _read_picture(path: Path) -> np.ndarray:
    import cv2

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError.about(path, expected="a picture", found=error.strerror or "nothing") from error
    # Not cv2.imread, whose only error is None and a warning.
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if picture is None:
        raise InputError.about(path, expected="a picture", found=f"{len(data):,} bytes of something else")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _resize(picture: np.ndarray, pixels: int) -> np.ndarray:
    import cv2

    if picture.shape[:2] == (pixels, pixels):
        return picture
    shrinks = min(picture.shape[:2]) >= pixels
    return cv2.resize(picture, (pixels, pixels), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _decode(path: Path, *, start: float) -> Iterator[tuple[float, av.VideoFrame]]:
    """(seconds since the movie's first frame, frame) in the order shown, from at or before ``start``."""
    import av

    if not path.is_file():
        raise InputError.about(path, expected="a movie", found="nothing")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError.about(path, expected="a movie", found="no video in it")
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # steps run side by side
            first = stream.start_time or 0
            if start > 0:
                container.seek(first + int(start / stream.time_base), stream=stream)  # to the key frame before
            for frame in container.decode(stream):
                if frame.pts is None:
                    raise InputError.about(path, expected="time stamps on frames", found="a frame without")
                yield float((frame.pts - first) * stream.time_base), frame
    except av.FFmpegError as error:
        raise InputError.about(path, expected="a movie that decodes", found=error.strerror or str(error)) from error
