"""Pictures, drawn from arrays; a page is drawn once and video tiles are pasted into it.

The same arrays give the same bytes: fonts come with matplotlib, and no file carries a date.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from brainflix.atomic import replacing

_INK, _QUIET, _PAPER = "#1b1b1b", "#6b6b6b", "white"
_POINT_PIXELS = 4 / 3  # at 96 dots per inch
Line = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Tile:
    """A clip at a place of a page.

    Attributes:
        clip: uint8 (frame, row, column, 3).
        row, column: place in the grid.
        label: what the clip is, e.g. the name of a variant.
        caption: text under it.
    """

    clip: np.ndarray
    row: int
    column: int
    label: str
    caption: str = ""


@dataclass(frozen=True)
class Page:
    """A grid of clips under a title.

    Attributes:
        title, footer: lines above and below the grid.
        tile_pixels: height and width a frame is scaled to.
        tiles: what to show.
    """

    title: str
    footer: str
    tile_pixels: int
    tiles: Sequence[Tile] = field(default_factory=tuple)


def strips(page: Page, *, frames: int) -> np.ndarray:
    """Draw a page with ``frames`` evenly spaced frames of each clip side by side: uint8 (row, column, 3)."""
    chosen = [np.linspace(0, len(tile.clip) - 1, frames).round().astype(int) for tile in page.tiles]
    canvas, corners = _draw(page, frames)
    for tile, corner, times in zip(page.tiles, corners, chosen, strict=True):
        for place, time in enumerate(times):
            _paste(canvas, tile.clip[time], corner, place, page.tile_pixels)
    return canvas


def movie(page: Page) -> np.ndarray:
    """Draw a page at every frame of its clips: uint8 (frame, row, column, 3); height and width are even."""
    canvas, corners = _draw(page, 1)
    canvas = canvas[: len(canvas) // 2 * 2, : canvas.shape[1] // 2 * 2]
    count = max(len(tile.clip) for tile in page.tiles)
    pictures = np.repeat(canvas[None], count, axis=0)
    for tile, corner in zip(page.tiles, corners, strict=True):
        times = np.linspace(0, len(tile.clip) - 1, count).round().astype(int)
        for picture, time in zip(pictures, times, strict=True):
            _paste(picture, tile.clip[time], corner, 0, page.tile_pixels)
    return pictures


def _draw(page: Page, frames: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """The page with its text and without its clips, and the upper left corner of each clip."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size, gap = page.tile_pixels, max(page.tile_pixels // 8, 8)
    step_x, step_y, text = size * frames + gap, size + 52, 54
    rows, columns = (1 + max(getattr(t, key) for t in page.tiles) for key in ("row", "column"))
    width, height = gap + columns * step_x, text + rows * step_y + text // 2
    figure = Figure(figsize=(width / 96, height / 96), dpi=96, facecolor=_PAPER)

    def write(x: float, y: float, words: str, points: float, **style: object) -> None:
        figure.text(x / width, 1 - y / height, words, fontsize=points, va="top", **style)

    write(gap, 10, textwrap.fill(page.title, int((width - gap) / (9 * 0.62 * _POINT_PIXELS))), 9, color=_INK)
    write(gap, height - text // 2, page.footer, 7.5, color=_QUIET)
    corners = []
    for tile in page.tiles:
        x, y = gap + tile.column * step_x, text + tile.row * step_y
        corners.append((y + 14, x))
        write(x, y, tile.label, 7.5, color=_QUIET)
        letters = max(int(size * frames / (7 * 0.55 * _POINT_PIXELS)), 8)
        write(x, y + 16 + size, "\n".join(textwrap.wrap(tile.caption, letters)[:3]), 7, color=_INK)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy(), corners


def _paste(canvas: np.ndarray, frame: np.ndarray, corner: tuple[int, int], place: int, pixels: int) -> None:
    how = cv2.INTER_AREA if frame.shape[0] > pixels else cv2.INTER_CUBIC
    y, x = corner[0], corner[1] + place * pixels
    canvas[y : y + pixels, x : x + pixels] = cv2.resize(
        np.ascontiguousarray(frame), (pixels, pixels), interpolation=how
    )


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write uint8 (row, column, 3)."""
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    with replacing(path) as partial:
        partial.write_bytes(data.tobytes())


def write_mp4(path: Path, pictures: np.ndarray, *, fps: float, repeats: int) -> None:
    """Write uint8 (frame, row, column, 3), even in height and width, ``repeats`` times over, as H.264."""
    import av

    with replacing(path) as partial, av.open(str(partial), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "18"}
        stream.codec_context.thread_count = 1  # several threads may cut slices elsewhere
        for picture in np.concatenate([pictures] * repeats):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_lines(path: Path, panels: Mapping[str, Mapping[str, Line]], *, x: str, y: str) -> None:
    """Write small multiples as SVG: a panel for each key, in it a line (x, y) for each name.

    Args:
        x, y: what the axes are.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    style = {"svg.hashsalt": "brainflix", "svg.fonttype": "none", "font.size": 8, "axes.edgecolor": _QUIET}
    with mpl.rc_context(style), replacing(path) as partial:
        figure = Figure(figsize=(3.4 * columns, 2.5 * rows), layout="constrained", facecolor=_PAPER)
        for place, (title, lines) in enumerate(panels.items(), start=1):
            axes = figure.add_subplot(rows, columns, place)
            shades = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(lines)))
            for (name, (across, up)), shade in zip(lines.items(), shades, strict=True):
                axes.plot(across, up, color=shade, linewidth=1.2, label=name)
            axes.set_title(title, loc="left", fontsize=9, color=_INK)
            axes.set_xlabel(x, color=_QUIET)
            axes.set_ylabel(y, color=_QUIET)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, fontsize=6)
        figure.savefig(partial, format="svg", metadata={"Date": None})
