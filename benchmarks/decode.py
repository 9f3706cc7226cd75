"""Frames of clips: ``python -m benchmarks decode``. About a minute on one core.

Fifteen frames spread over clips of 3 s at 268 pixels (30 frames a second, H.264 at crf 20: textures that drift, with
a little grain), as `extract` decodes them. Measured in seconds of a core (processor time), so that neither
neighbours nor a peer's extra threads matter. Peers: the loop over OpenCV's VideoCapture that brain2video
uses (every frame read and resized, then fifteen picked), and imageio (every frame read at once, then resized). The
floor decodes and does nothing with the pictures. Clips are in the page cache. Targets are computed once per
stimulus, so a clip is decoded once, however many trials showed it. The last line is JSON; its peer is OpenCV.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import cv2
import imageio.v3 as imageio
import numpy as np

from benchmarks._turns import Comparison, in_child, peak_memory, report, take_turns
from brainflix.datasets import video

COUNT, PIXELS, FPS, SECONDS = 15, 268, 30, 3
CLOSE = 4.0  # mean levels of 255 by which two decoders' conversions from YUV may differ


def main(arguments: list[str]) -> None:
    """Measure, print a table, and JSON as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--movie", type=Path, default=None, help="a film to cut the clips out of, one from each minute")
    parser.add_argument("--folder", type=Path, default=None, help="where to write; temporary by default")
    chosen = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        paths = [Path(folder) / f"{i:04d}.mp4" for i in range(chosen.clips)]
        for seed, path in enumerate(paths):
            in_child(
                lambda path=path, seed=seed: write(path, cut(chosen.movie, seed) if chosen.movie else texture(seed))
            )
        in_child(partial(check_close, paths))
        readers = {"ours": ours, "peer": opencv, "imageio": with_imageio, "floor": decode_only}
        ways = {name: partial(per_clip, paths, reader) for name, reader in readers.items()}
        values, memory = take_turns(ways, rounds=chosen.rounds), peak_memory(ways)
    main_pair = {name: values[name] for name in ("ours", "peer", "floor")}
    second, memory_2 = ({"ours": d["ours"], "peer": d["imageio"]} for d in (values, memory))
    report(
        [
            Comparison("decode", "OpenCV frame loop", "core s a clip", main_pair, memory, (1, None, None)),
            Comparison("decode, imageio", "imageio.v3.imread", "core s a clip", second, memory_2, (4, None, None)),
        ]
    )


def per_clip(paths: Sequence[Path], reader: Callable[[Path], object]) -> float:
    """Seconds of a core that a clip takes."""
    start = time.process_time()
    for path in paths:
        reader(path)
    return (time.process_time() - start) / len(paths)


def ours(path: Path) -> np.ndarray:
    """As `extract` does: uint8 (15, 268, 268, 3), RGB."""
    return video.frames(path, count=COUNT, pixels=PIXELS)


def opencv(path: Path) -> np.ndarray:
    """brain2video's loop: every frame is read, resized and turned to RGB; fifteen are kept."""
    capture, pictures = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1]), []
    while True:
        good, picture = capture.read()
        if not good:
            break
        pictures.append(cv2.cvtColor(cv2.resize(picture, (PIXELS, PIXELS)), cv2.COLOR_BGR2RGB))
    capture.release()
    return spread(pictures)


def with_imageio(path: Path) -> np.ndarray:
    """Every frame at once, then the fifteen resized."""
    pictures = imageio.imread(path, plugin="pyav")
    return np.stack([cv2.resize(picture, (PIXELS, PIXELS)) for picture in spread(pictures)])


def decode_only(path: Path) -> int:
    """The floor."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return sum(1 for _ in container.decode(video=0))


def spread(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Fifteen of them, first and last included."""
    return np.stack([pictures[i] for i in np.linspace(0, len(pictures) - 1, COUNT).astype(int)])


def check_close(paths: Sequence[Path]) -> None:
    """Refuse to time readers that pick other frames."""
    for path in paths:
        for reader in (opencv, with_imageio):
            there, mine = (way(path).astype(float) for way in (reader, ours))
            own = np.abs(there - mine).mean(axis=(1, 2, 3))
            other = np.abs(there[1:] - mine[:-1]).mean(axis=(1, 2, 3))
            if own.max() > CLOSE or (other < own[1:]).any():
                raise SystemExit(f"{reader.__name__} and ours differ by {own.max():.1f} levels")


def texture(seed: int) -> Iterator[np.ndarray]:
    """Pictures of coloured 1/f texture that drifts, with a little grain."""
    rng, size = np.random.default_rng(seed), 2 * PIXELS
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij"))
    spectrum = np.fft.rfft2(rng.standard_normal((3, size, size))) / np.maximum(frequency, 1 / size)
    values = np.fft.irfft2(spectrum)
    values = 128 + 50 * values / values.std(axis=(1, 2), keepdims=True)
    step = rng.uniform(1, 3, 2)
    for i in range(FPS * SECONDS):
        y, x = (step * i).astype(int)
        picture = np.moveaxis(np.roll(values, (-y, -x), axis=(1, 2))[:, :PIXELS, :PIXELS], 0, 2)
        yield np.clip(picture + rng.normal(0, 1, picture.shape), 0, 255).astype(np.uint8)


def cut(movie: Path, number: int) -> np.ndarray:
    """Pictures of a film, from the middle of its minute ``number``."""
    start = 60.0 * number + 30
    return video.frames(movie, count=FPS * SECONDS, pixels=PIXELS, start=start, stop=start + SECONDS)


def write(path: Path, pictures: Iterable[np.ndarray]) -> None:
    """A clip of pictures, as BMD's are sized."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "20"})
        stream.width = stream.height = PIXELS
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
