"""Does data loading keep the step busy: ``python -m benchmarks epoch``. About three minutes on two cores.

The training loop itself, on masked brain modelling of 13,156 vertices and batches of 300, reads a store of more rows
than one shuffling window holds; its file is dropped from the page cache before every run. The network is small, so
that a step takes about as long on one core of a CPU as the paper's does on an H100 (0.28 s at 40 % of its peak,
arithmetic); the table says how long it took. Measured is the share of an epoch that the step waits for its batch.
The peer is MinD-Vis' practice in the same loop: all rows in memory as float64 and a DataLoader without workers
(:mod:`benchmarks.store`); filling its memory is not timed, but counts as memory. The floor hands out one batch again
and again: what handing over costs.

``memory`` goes through part of an epoch of HCP's full size, 55 files of 9,600 rows of float32 (28 GB; sparse files that
take no room on disk), in windows of 128 blocks of 64, and counts all resident memory, pages of files included.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks import store
from benchmarks._turns import Comparison, evict, in_child, peak_memory, report, take_turns
from brainflix import artifacts
from brainflix.cohort import read_cohort
from brainflix.feed import Feed, Plan
from brainflix.models.mbm import MaskedBrainModel, MbmSettings, initialise
from brainflix.models.settings import BlockSettings, TrainingSettings
from brainflix.training import train

WIDTH = store.VERTICES
MODEL = MbmSettings(
    patch=206, width=96, depth=3, heads=4, mlp_ratio=1.0, decoder_width=64, decoder_depth=1, decoder_heads=4,
    mask_ratio=0.75, pool="patches",
)  # fmt: skip
TRAINING = TrainingSettings(
    epochs=1, batch=store.BATCH, accumulate=1, learning_rate=1e-4, warmup_epochs=0, weight_decay=0.05,
    betas=(0.9, 0.95), clip_norm=0.8, precision="float32", compile=False, blocks=BlockSettings(rows=64, window=16),
)  # fmt: skip
SHARDS, SHARD_ROWS, HCP_BLOCKS = 55, 9_600, BlockSettings(rows=64, window=128)
MOST_WAITING, MOST_BYTES = 0.05, 2e9


def main(arguments: list[str]) -> None:
    """Measure, print a table, and JSON as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4800, help="of the store; a window has 1,024")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--full-steps", type=int, default=80, help="steps of 300 rows at full size; a window has 27")
    parser.add_argument("--folder", type=Path, default=None, help="where to write; temporary by default")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        path = Path(folder) / "responses.h5"
        in_child(partial(store.write, path, chosen.rows))
        opened = {"ours": ahead, "peer": mind_vis, "floor": nothing}
        ways = {name: partial(waiting, path, way, chosen.rows) for name, way in opened.items()}
        values = take_turns(ways, rounds=chosen.rounds, before=partial(evict, path))
        memory = peak_memory(ways)
        shards = [Path(folder) / f"shard-{number:03}.h5" for number in range(SHARDS)]
        in_child(partial(sparse, shards))
        resident = in_child(partial(pass_over, shards, chosen.full_steps))[0]
    peer = "MinD-Vis' in-memory float64 Dataset and DataLoader, no workers"
    allowed = {"ours": values["ours"], "peer": [MOST_WAITING] * chosen.rounds}
    full = {"ours": [resident], "peer": [MOST_BYTES]}
    report(
        [
            Comparison("epoch", peer, "share of time waiting", values, memory),
            Comparison(
                "epoch, bar", "the 5 % that are allowed", "share of time waiting", allowed, {}, (1.0, None, None)
            ),
            Comparison("epoch, memory", "2 GB, for 528,000 rows", "bytes resident", full, {}, (1.0, None, None)),
        ]
    )


Reading = tuple[Callable[[np.ndarray], Any], Any]  # fetch and hints of the loop


def ahead(path: Path) -> Reading:
    """Ours, as in `pretrain`."""
    cohort = read_cohort([path], kind="responses", splits=("rest",))
    return (lambda rows: torch.from_numpy(cohort.take(rows))), cohort


def mind_vis(path: Path) -> Reading:
    """The peer; its batch is made when the step asks for it, in :func:`waiting`."""
    return store.mind_vis(path), None


def nothing(path: Path) -> Reading:
    """The floor."""
    batch = torch.zeros(store.BATCH, WIDTH)
    return (lambda rows: batch), None


def waiting(path: Path, way: Callable[[Path], Reading], rows: int) -> float:
    """Share of an epoch's time that its steps wait for their batch."""
    fetch, hints = way(path)
    model = MaskedBrainModel(MODEL, vertices=WIDTH)
    initialise(model, seed=0)
    inline, spent = way is mind_vis, 0.0

    def loss(batch: Any, generator: torch.Generator) -> torch.Tensor:
        nonlocal spent
        began = time.perf_counter()
        batch = fetch(batch) if inline else batch
        spent += time.perf_counter() - began
        return model.loss(batch, generator)

    with waited() as feeds:
        began = time.perf_counter()
        train(
            name="epoch", model=model, loss=loss, fetch=(lambda rows: rows) if inline else fetch, hints=hints,
            n_rows=rows, settings=TRAINING, seed=0, store=Nowhere(),
        )  # fmt: skip
        seconds = time.perf_counter() - began
    spent += feeds[0].waited
    print(f"{way.__name__}: {seconds / (rows // store.BATCH):.3f} s a step, {spent / seconds:.2%} of it waiting")
    return spent / seconds


@contextlib.contextmanager
def waited():
    """The feeds that are made within the block."""
    made, original = [], Feed.__init__

    def noting(self: Feed, *arguments: Any) -> None:
        made.append(self)
        original(self, *arguments)

    Feed.__init__ = noting
    try:
        yield made
    finally:
        Feed.__init__ = original


class Nowhere:
    """A store that keeps nothing."""

    def load(self) -> None:
        return None

    def save(self, state: dict[str, Any]) -> None:
        return None

    def watch(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def due(self) -> bool:
        return False

    def leave(self) -> None:
        return None


def sparse(paths: list[Path]) -> None:
    """Responses of HCP's size without their values: zeros that take no room on disk."""
    for number, path in enumerate(paths):
        subjects = [str(100_000 + 20 * number + i) for i in range(20)]
        runs = [f"{s}/{run}" for s in subjects for run in ("REST1_LR", "REST1_RL", "REST2_LR", "REST2_RL")]
        table = pd.DataFrame({"stimulus": "rest", "split": "rest", "repeat": 1, "run": np.repeat(runs, 120)})
        about = {"dataset": "hcp", "subject": ",".join(subjects), "space": "glasser41", "simulated": True}
        with artifacts.create(
            path, kind="responses", shape=(SHARD_ROWS, WIDTH), dtype=np.float32, rows=table, axes=("vertex",), unit="z",
            about=about,
        ) as values:  # fmt: skip
            values[-1] = 0  # HDF5 gives the rows their place


def pass_over(paths: list[Path], steps: int) -> float:
    """Most memory resident, in bytes, while batches are taken as `pretrain` takes them."""
    cohort = read_cohort(paths, kind="responses", splits=("rest",))
    plan, most = Plan(len(cohort), store.BATCH, 0, HCP_BLOCKS, cohort), 0
    for rows in plan.batches(0, steps):
        cohort.take(rows)
        status = Path("/proc/self/status").read_text()
        most = max(most, *(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")))
    return float(most)
