"""Minibatches out of the training store: ``python -m benchmarks store``. Under a minute on one core.

Batches of 300 random rows of 13,156 responses, as `pretrain` takes them: `Cohort.take` on the memory-mapped
responses file, then a float32 tensor. The peer is the practice of MinD-Vis (its ``hcp_dataset``, transcribed):
all rows in memory as float64, copied one by one with a blank image beside each, collated by a DataLoader without
workers. The floor is a bare numpy memmap of the same rows, one fancy index a batch. Every way is warmed up by one
batch; the file is in the page cache throughout (that is what a second epoch sees). Opening the store and filling
the peer's memory are not timed, but count in the peak of memory. The last line is JSON.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks._turns import Comparison, in_child, peak_memory, report, take_turns
from brainflix import artifacts, atlas
from brainflix.cohort import read_cohort

BATCH, VERTICES = 300, len(atlas.vertices("glasser41"))
Take = Callable[[np.ndarray], torch.Tensor]


def main(arguments: list[str]) -> None:
    """Measure, print a table, and JSON as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4800, help="rows of the store; ten subjects of HCP by default")
    parser.add_argument("--batches", type=int, default=20, help="timed in a row")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None, help="where to write; temporary by default")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        path = Path(folder) / "responses.h5"
        in_child(partial(write, path, chosen.rows))
        opened = {"ours": cohort, "peer": mind_vis, "floor": memmap}
        check_equal(path, opened, chosen.rows)
        ways = {name: partial(per_batch, path, way, chosen.rows, chosen.batches) for name, way in opened.items()}
        values, memory = take_turns(ways, rounds=chosen.rounds), peak_memory(ways)
    peer = "MinD-Vis' in-memory float64 Dataset and DataLoader"
    floor = {"ours": values["ours"], "peer": values["floor"]}
    # Within 1.5 times a memmap is a ratio of at least 1 / 1.5.
    report(
        [
            Comparison("store", peer, "s a batch", values, memory, (12, None, None)),
            Comparison("store, memmap", "numpy.memmap, one fancy index", "s a batch", floor, {}, (1 / 1.5, None, None)),
        ]
    )


def write(path: Path, rows: int) -> None:
    """A responses file as `parcellate` leaves it."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"stimulus": "rest", "split": "rest", "repeat": np.arange(rows), "run": "100307/REST1_LR"})
    about = {"dataset": "hcp", "subject": "100307", "space": "glasser41", "simulated": True}
    with artifacts.create(
        path,
        kind="responses",
        shape=(rows, VERTICES),
        dtype=np.float32,
        rows=table,
        axes=("vertex",),
        unit="z",
        about=about,
    ) as values:
        for start in range(0, rows, BATCH):
            part = slice(start, min(start + BATCH, rows))
            values[part] = rng.standard_normal((part.stop - part.start, VERTICES), dtype=np.float32)


def cohort(path: Path) -> Take:
    """Ours, as in `pretrain`."""
    opened = read_cohort([path], kind="responses", splits=("train", "rest"))
    return lambda rows: torch.from_numpy(opened.take(rows))


def memmap(path: Path) -> Take:
    """The floor."""
    values = artifacts.read(path, kind="responses", load=False).values
    assert isinstance(values, np.memmap)
    return lambda rows: torch.from_numpy(values[rows])


class InMemory(Dataset):
    """What MinD-Vis feeds its masked model: a copy of a float64 row, and an image that nothing looks at."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.image = values, torch.zeros(3, 112, 112)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        fmri = torch.from_numpy(copy.deepcopy(self.values[row])[None])
        return {"fmri": fmri, "image": self.image.clone()}


def mind_vis(path: Path) -> Take:
    """The peer."""
    dataset = InMemory(artifacts.read(path, kind="responses").values.astype(np.float64))

    def take(rows: np.ndarray) -> torch.Tensor:
        loader = DataLoader(dataset, batch_size=BATCH, sampler=rows.tolist(), num_workers=0)
        return next(iter(loader))["fmri"][:, 0].float()

    return take


def per_batch(path: Path, way: Callable[[Path], Take], rows: int, batches: int) -> float:
    """Seconds a batch."""
    take, rng = way(path), np.random.default_rng(1)
    wanted = [rng.choice(rows, BATCH, replace=False) for _ in range(batches + 1)]
    take(wanted[0])
    start = time.perf_counter()
    for batch in wanted[1:]:
        take(batch)
    return (time.perf_counter() - start) / batches


def check_equal(path: Path, opened: dict[str, Callable[[Path], Take]], rows: int) -> None:
    """Refuse to time what does not give the same."""
    wanted = np.random.default_rng(2).choice(rows, BATCH, replace=False)
    ours, *others = [in_child(lambda way=way: way(path)(wanted).numpy())[0] for way in opened.values()]
    if not all(np.array_equal(ours, other) for other in others):
        raise SystemExit("ours and the peer's batches differ")
