"""The noise ceilings that BMD's authors published beside the betas, for comparison with ours.

A pickle per split and number of trials: a pair of float64 vectors (91,282,), the noise-ceiling signal-to-noise
ratio and the ceiling in percent. Which comes first is not documented; the formula that links them tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from brainflix import atlas
from brainflix.datasets import pickles
from brainflix.datasets.base import bids_label, require


def published_ncsnr(*, root: Path, subject: str, options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Published ncsnr of each split, float64 (91,282,), as far as the files are there.

    Raises:
        InputError: a file is damaged, or is not a ratio and its noise ceiling.
    """
    label = bids_label(subject, dataset="bmd")
    folder = Path(root) / "derivatives/versionB/fsLR32k/GLM" / f"sub-{label}" / "prepared_betas"
    paths = {split: folder / f"sub-{label}_noiseceiling_task-{split}_n-1.pkl" for split in ("train", "test")}
    return {split: _read(path) for split, path in paths.items() if path.exists()}


def _read(path: Path) -> np.ndarray:
    from brainflix.stats import noise_ceiling  # imports scipy, which asking for file names does without

    pair = pickles.load(path)
    shapes = [np.shape(vector) for vector in pair] if isinstance(pair, (tuple, list)) else []
    require(shapes == [(atlas.GRAYORDINATES,)] * 2, str(path), expected="two vectors of 91,282", found=shapes)
    for ratio, percent in (pair, pair[::-1]):
        known = np.isfinite(ratio) & np.isfinite(percent)
        if known.any() and np.allclose(noise_ceiling(ratio[known], repeats=1), percent[known], atol=1e-3):
            return np.asarray(ratio, np.float64)
    require(False, str(path), expected="a ratio and its noise ceiling of one trial", found="other numbers")
    raise AssertionError
