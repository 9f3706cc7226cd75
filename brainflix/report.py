"""What the result tables are made of: their columns, the metrics' definitions, and how they are printed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

COLUMNS = [
    "dataset", "variant", "subject", "seed", "metric", "value", "low", "high",
    "chance", "ceiling", "n", "simulated", "definition",
]  # fmt: skip

_METRICS_A_LINE = 5
SIMULATED = "Made from simulated data: brainflix's phantom, not people."

_DEFINITIONS = {
    r"ssim": "structural similarity of frames (uniform 7x7, RGB, range 255), mean over frames",
    r"nway_(\d+)_top1": "{0}-way top-1, exact expectation, mean over frames; truth: the frame's best class",
    r"nway_(\d+)_any3": "{0}-way top-1, exact expectation, mean over frames; truth: any of 3 best classes",
    r"([zb])_mse": "mean squared error of predicted {0} over all elements",
    r"([zb])_corr": "correlation of predicted and true {0} over all elements",
    r"retrieval_top(\d+)": "share of test clips whose true b is among the {0} nearest to the predicted "
    "(cosine, centred on the training mean)",
    r"z_retrieval_top(\d+)": "share of test clips whose true z is among the {0} nearest to the predicted "
    "(cosine, centred on the training mean)",
}


def made_with(target: Mapping[str, Any]) -> str:
    """What a target was made with, by its ``about``: model, revision if known, settings.

    >>> made_with({"model": "google/vit", "settings": {"frames": 15, "pixels": 264}})
    'google/vit (frames 15, pixels 264)'
    """
    revision = f"@{target['revision']}" if target.get("revision") else ""
    settings = ", ".join(f"{key} {value}" for key, value in target["settings"].items())
    return f"{target['model']}{revision} ({settings})"


def definition(metric: str) -> str:
    """What a metric measures, in one line.

    >>> definition("b_mse")
    'mean squared error of predicted b over all elements'
    """
    for pattern, text in _DEFINITIONS.items():
        if match := re.fullmatch(pattern, metric):
            return text.format(*match.groups())
    raise KeyError(metric)


def measured(metric: str, using: str, shuffles: int) -> str:
    """A metric's definition, what it was measured with, and how its chance was found.

    >>> measured("b_mse", "blip (frames 15)", 20)
    'mean squared error of predicted b over all elements; with blip (frames 15); chance over 20 shuffles'
    """
    chance = f"over {shuffles} shuffles" if shuffles else "exact"
    return f"{definition(metric)}; with {using}; chance {chance}"


def is_error(metric: str) -> bool:
    """Whether less is better."""
    return metric.endswith("_mse")


def readable(table: pd.DataFrame) -> str:
    """A metrics table as text: a line per variant, subject and seed, a few metrics in a block.

    Values stand with their interval; the last line of a block is chance, averaged over the lines. Simulated
    results end with a sentence that says so.
    """
    blocks = [
        _block(part[part["metric"].isin(metrics)], dataset)
        for dataset, part in table.groupby("dataset", sort=False)
        for metrics in _portions(list(part["metric"].unique()))
    ]
    return "\n\n".join([*blocks, *([SIMULATED] if table["simulated"].astype(bool).any() else [])])


def _portions(metrics: list[str]) -> list[list[str]]:
    return [metrics[i : i + _METRICS_A_LINE] for i in range(0, len(metrics), _METRICS_A_LINE)]


def _block(part: pd.DataFrame, dataset: str) -> str:
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in part.itertuples():
        line = lines.setdefault((row.variant, f"sub-{row.subject}", f"seed-{row.seed}"), {})
        line[row.metric] = f"{row.value:.3f} ({row.low:.2f}-{row.high:.2f})"
    lines["chance", "", ""] = part.groupby("metric", sort=False)["chance"].mean().map("{:.3f}".format).to_dict()
    metrics = list(part["metric"].unique())
    cells = [[dataset, "", "", *metrics]]
    cells += [[*labels, *(line.get(metric, "") for metric in metrics)] for labels, line in lines.items()]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)
