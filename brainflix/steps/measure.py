"""Step `measure`: how good a predicted target is, clip by clip, before any video is made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from brainflix import artifacts, metrics
from brainflix.pairs import read_pairs


def measure(*, predictions: Path, targets: Path, out: Path) -> None:
    """Score predicted targets.

    Args:
        predictions: Samples ``predictions`` (or ``targets``, for a perfect prediction) of the test clips.
        targets: Samples ``targets``; its training rows give the mean that is the baseline.
        out: table, one row per test clip: mse and correlation over all elements; rank of the true clip among
            the test clips by cosine after centring on the training mean (1 is best, ``clips`` is the worst);
            the same two of predicting the training mean for everything.
    """
    pairs = read_pairs(predictions, targets)
    _, similarity = metrics.pairwise_distances(pairs.predicted, pairs.true, centre=pairs.centre)
    baseline = np.broadcast_to(pairs.centre, pairs.true.shape)
    table = pd.DataFrame(
        {
            "stimulus": pairs.stimuli,
            "mse": metrics.mean_squared_error(pairs.predicted, pairs.true),
            "correlation": metrics.correlation(pairs.predicted, pairs.true),
            "rank": metrics.retrieval_rank(similarity, np.arange(len(pairs.stimuli))),
            "clips": len(pairs.stimuli),
            "mse_of_mean": metrics.mean_squared_error(baseline, pairs.true),
            "correlation_of_mean": metrics.correlation(baseline, pairs.true),
            "simulated": pairs.about["simulated"],
        }
    )
    artifacts.write_table(out, table)
