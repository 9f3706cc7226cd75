"""Step `reliability`: one subject's mean response to each stimulus, and how well repeats agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainflix import artifacts, atlas
from brainflix.artifacts import Samples
from brainflix.datasets import adapter, is_simulated
from brainflix.datasets.base import STIMULI_COLUMNS, Responses
from brainflix.errors import InputError
from brainflix.reliability import Presentations
from brainflix.settings import Options

CORTEX = "cortex"


def reliability(
    *,
    name: str,
    dataset: str,
    root: Path,
    subjects: list[str],
    options: Options,
    stimuli: Path,
    out: Path,
    space: str = CORTEX,
) -> None:
    """Average repeats over the whole cortex, and measure how well they agree.

    For looking at only: nothing is fitted on what is written here.

    Args:
        name: what the config calls the dataset; written into the file.
        dataset: adapter, one of brainflix.datasets.ADAPTERS.
        root: folder that holds the download.
        subjects: one subject.
        options: the adapter's options.
        stimuli: table that `index` wrote.
        out: Samples ``reliability``, float32 (row, vertex), in the dataset's own units. Rows with
            ``statistic`` ``mean`` are the mean of ``repeats`` presentations of a stimulus. Rows without a
            stimulus describe a split: ``ncsnr``, ``split-half`` (see brainflix.reliability), ``published-ncsnr``.
        space: ``cortex`` (59,412 vertices), or a list of areas, one of brainflix.atlas.SPACES.

    Raises:
        InputError: more than one subject, no stimulus was shown twice, or a raw file is missing or damaged.
    """
    if len(subjects) != 1:
        raise InputError.about("subjects", expected="one subject", found=", ".join(subjects))
    vertices = np.arange(atlas.CORTEX) if space == CORTEX else atlas.vertices(space)
    table = artifacts.read_table(stimuli, columns=STIMULI_COLUMNS)
    module = adapter(dataset)
    found = module.responses(root=root, subject=subjects[0], stimuli=table, options=options, vertices=vertices)
    splits = _repeated(found.rows, where=f"{name}, subject {subjects[0]}")
    published = getattr(module, "published_ncsnr", lambda **_: {})(root=root, subject=subjects[0], options=options)
    rows, values = [], []
    for split, presentations in _collect(found, splits, len(vertices)).items():
        repeats = presentations.counts.sum(axis=1)
        rows += [(s, split, "mean", float(n)) for s, n in zip(splits[split], repeats, strict=True)]
        values.append(presentations.means())
        maps = {"ncsnr": presentations.ncsnr(), "split-half": presentations.split_half()}
        if split in published:
            maps["published-ncsnr"] = published[split][vertices]
        rows += [("", split, statistic, float(repeats.mean())) for statistic in maps]
        values += [each[None] for each in maps.values()]
    about: dict[str, Any] = {
        "dataset": name,
        "subject": subjects[0],
        "space": space,
        "simulated": is_simulated(root),
        "options": dict(options),
    }
    names = pd.DataFrame(rows, columns=["stimulus", "split", "statistic", "repeats"])
    stacked = np.concatenate(values).astype(np.float32)
    artifacts.write(out, Samples("reliability", stacked, names, ("vertex",), "as the dataset has it", about))


def _repeated(rows: pd.DataFrame, where: str) -> dict[str, list[str]]:
    """Stimuli of each split in which some were shown more than once, sorted."""
    splits = {
        str(split): sorted(part["stimulus"].unique())
        for split, part in rows.groupby("split", sort=False)
        if part["stimulus"].duplicated().any()
    }
    if not splits:
        raise InputError.about(where, expected="stimuli that were shown more than once", found="none")
    return splits


def _collect(found: Responses, splits: dict[str, list[str]], n_vertices: int) -> dict[str, Presentations]:
    """Read all responses once; presentations of each split by stimulus."""
    sums = {split: Presentations(len(names), n_vertices) for split, names in splits.items()}
    place = {(split, name): i for split, names in splits.items() for i, name in enumerate(names)}
    start = 0
    for block in found.blocks:
        rows = found.rows.iloc[start : start + len(block.values)]
        start += len(block.values)
        for split, presentations in sums.items():
            chosen = (rows["split"] == split).to_numpy()
            stimuli = np.array([place[split, name] for name in rows["stimulus"][chosen]], np.int64)
            presentations.add(stimuli, block.values[chosen])
    return sums
