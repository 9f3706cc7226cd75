"""Maps of the cortex: a row per measure, on the inflated and the flat surface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from brainflix import surfaces
from brainflix.artifacts import replacing
from brainflix.report import SIMULATED

DOTS_PER_INCH = 200
VIEWS = (  # side, surface, view, heading
    ("L", "inflated", "lateral", "left, lateral"),
    ("L", "inflated", "medial", "left, medial"),
    ("R", "inflated", "medial", "right, medial"),
    ("R", "inflated", "lateral", "right, lateral"),
    ("L", "flat", (90, 270), "left, flat"),
    ("R", "flat", (90, 270), "right, flat"),
)
ZOOM = {"inflated": 1.2, "flat": 1.38}
# Inches: width of a view, height of a row, of the title, of the note, and width of the colour bars.
VIEW, ROW, TITLE, NOTE, BAR = 2.0, 1.7, 0.62, 0.3, 0.85
SLACK = 1.35  # a view is drawn on axes this much larger than its place, or its edges would be cut off
INK, QUIET, WARNING = "#1b1b1b", "#6b6b6b", "#a03020"


class Row(NamedTuple):
    """One measure.

    Attributes:
        values: (59,412,), NaN where nothing is known.
        label: name and unit, beside the colour bar.
        threshold: values below it are not painted.
        high: upper end of the colours, which start at 0; None is the 99.5th percentile.
        cmap: a matplotlib colour map.
    """

    values: np.ndarray
    label: str
    threshold: float
    high: float | None
    cmap: str


def write_png(path: Path, rows: Sequence[Row], *, title: str, simulated: bool, outline: np.ndarray) -> None:
    """Draw maps on the cortex, over grey sulci.

    Args:
        outline: bool (59,412,), region whose border is drawn on the flat surface.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = VIEW * len(VIEWS) + BAR, TITLE + ROW * len(rows) + NOTE
    page = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(page)

    def write(x: float, y: float, words: str, points: float, color: str, **style: str) -> None:
        page.text(x / width, 1 - y / height, words, fontsize=points, color=color, **{"va": "top", **style})

    write(0.12, 0.08, title, 11, INK)
    if simulated:
        write(width - 0.12, 0.1, SIMULATED, 9, WARNING, ha="right")
    for column, view in enumerate(VIEWS):
        write(VIEW * (column + 0.5), TITLE - 0.2, view[-1], 8, QUIET, ha="center")
    for line, row in enumerate(rows):
        place = (0.0, 1 - (TITLE + ROW * (line + 1)) / height, VIEW / width, ROW / height)
        _draw_row(page, place, row, outline)
    note = "; ".join(f"{row.label.split(' (')[0]} below {row.threshold:g}" for row in rows)
    write(0.12, height - 0.26, f"Grey: {note}. Line: border of the areas that are decoded.", 7.5, QUIET)
    with replacing(path) as partial:
        page.savefig(partial, format="png", metadata={"Software": None})


def _draw_row(page: Any, place: tuple[float, float, float, float], row: Row, outline: np.ndarray) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    x, y, w, h = place
    high = float(np.nanpercentile(row.values, 99.5)) if row.high is None else row.high
    for column in range(len(VIEWS)):
        extra_w, extra_h = (SLACK - 1) * w / 2, (SLACK - 1) * h / 2
        rectangle = (x + column * w - extra_w, y - extra_h, w * SLACK, h * SLACK)
        axes = page.add_axes(rectangle, projection="3d")
        _draw_view(page, axes, column, row, high, outline)
    bar_axes = page.add_axes((x + len(VIEWS) * w + 0.01, y + 0.12 * h, 0.009, 0.76 * h))
    bar = page.colorbar(ScalarMappable(Normalize(0, high), row.cmap), cax=bar_axes)
    bar.ax.tick_params(labelsize=7)
    bar.set_label(row.label, fontsize=7.5)


def _draw_view(page: Any, axes: Any, column: int, row: Row, high: float, outline: np.ndarray) -> None:
    from nilearn.plotting import plot_surf_contours, plot_surf_stat_map

    side, kind, view, _ = VIEWS[column]
    mesh, sulci = [*surfaces.mesh(side, kind)], np.nan_to_num(surfaces.on_mesh(surfaces.sulcal_depth(), side))
    where = {"hemi": surfaces.SIDES[side], "figure": page, "axes": axes}
    plot_surf_stat_map(
        mesh, surfaces.on_mesh(row.values, side), view=view, bg_map=sulci, colorbar=False, cmap=row.cmap,
        vmin=0, vmax=high, threshold=row.threshold, engine="matplotlib", **where,
    )  # fmt: skip
    if kind == "flat":
        region = np.nan_to_num(surfaces.on_mesh(outline.astype(np.float32), side)).astype(int)
        plot_surf_contours(mesh, region, levels=[1], colors=["black"], **where)
    axes.set_box_aspect(None, zoom=ZOOM[kind])
    axes.patch.set_visible(False)
