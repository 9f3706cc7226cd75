"""Step `curves`: how the loss fell in training."""

from __future__ import annotations

from pathlib import Path

from brainflix import artifacts, figures
from brainflix.errors import InputError


def curves(*, curves: list[Path], labels: list[str], out: Path) -> None:
    """Draw training curves, a panel for each network.

    Args:
        curves: tables that pretrain, align and regress wrote.
        labels: of each, ``network/run``; runs of the same network share a panel.
        out: the figure (SVG).

    Raises:
        InputError: not a label for each curve; a table is not a training curve.
    """
    if len(labels) != len(curves):
        raise InputError(f"curves: expected a label for each of {len(curves)} curves, found {len(labels)}")
    panels: dict[str, dict[str, figures.Line]] = {}
    for path, label in zip(curves, labels, strict=True):
        table = artifacts.read_table(path, columns=["epoch", "loss"])
        network, _, run = label.partition("/")
        panels.setdefault(network, {})[run] = (table["epoch"].to_numpy(float), table["loss"].to_numpy(float))
    figures.write_lines(out, panels, x="epoch", y="training loss")
