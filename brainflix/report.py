"""What the result tables are made of: their columns, the metrics' definitions, and how they are printed."""

from __future__ import annotations

import re

import pandas as pd

COLUMNS = [
    "dataset", "variant", "subject", "seed", "metric", "value", "low", "high",
    "chance", "ceiling", "n", "simulated", "definition",
]  # fmt: skip

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


def definition(metric: str) -> str:
    """What a metric measures, in one line.

    >>> definition("b_mse")
    'mean squared error of predicted b over all elements'
    """
    for pattern, text in _DEFINITIONS.items():
        if match := re.fullmatch(pattern, metric):
            return text.format(*match.groups())
    raise KeyError(metric)


def is_error(metric: str) -> bool:
    """Whether less is better."""
    return metric.endswith("_mse")


def readable(table: pd.DataFrame) -> str:
    """A metrics table as text: one line per variant, subject and seed, one column per metric.

    Values stand with their interval; the last lines are chance (mean over variants) and, where the data are
    simulated, a sentence that says so.
    """
    cells = table.assign(cell=[f"{r.value:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in table.itertuples()])
    index = ["dataset", "variant", "subject", "seed"]
    wide = _in_order(cells, index, "cell")
    chance = (
        table.groupby(["dataset", "metric"], sort=False)["chance"].mean().map("{:.3f}".format).reset_index()
    )
    chance = _in_order(chance.assign(variant="(chance)", subject="", seed=""), index, "chance")
    text = pd.concat([wide, chance]).fillna("").reset_index().to_string(index=False)
    return f"{text}\n{SIMULATED}" if table["simulated"].astype(bool).any() else text


def _in_order(table: pd.DataFrame, index: list[str], values: str) -> pd.DataFrame:
    wide = table.pivot(index=index, columns="metric", values=values)
    rows = pd.MultiIndex.from_frame(table[index].drop_duplicates())
    return wide.reindex(index=rows, columns=table["metric"].unique())
