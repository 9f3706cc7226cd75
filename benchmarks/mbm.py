"""A step of masked brain modelling: ``python -m benchmarks mbm``. Two minutes on one core.

Width 256 and depth 6, decoder 128 and 2, 1,024 patches, batches of 8, float32, one thread: from row numbers to updated
weights. Ours is `pretrain`'s: memory-mapped rows through the training loop. The peer is MinD-Vis's
(:mod:`benchmarks._mindvis`), its rows in memory and its DataLoader; ``--peer-path`` times a checkout of the original
in place of the transcription. Both have the same weights, and must give the same loss for the same rows and mask. The
floor is the step's matrix products, counted by torch, at the speed of a large matrix product measured in the same
round: floor/ours is the share of that speed which a step reaches. Every way is warmed up by one step.

Where there is a GPU, the full model follows, in bfloat16 at the settings of config/paper.yaml. The last line is JSON.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import _mindvis
from benchmarks._turns import Comparison, in_child, peak_memory, report, take_turns
from brainflix import artifacts, atlas, config
from brainflix.checkpoints import Checkpoints
from brainflix.cohort import read_cohort
from brainflix.models.mbm import MaskedBrainModel, initialise, sincos_positions
from brainflix.models.mindvis import their_name
from brainflix.models.settings import MbmSettings, TrainingSettings
from brainflix.settings import build
from brainflix.training import train

PAPER = config.load([Path(__file__).parents[1] / "config" / "paper.yaml"])["pretrain"]
SIZES = MbmSettings(
    patch=16, width=256, depth=6, heads=4, mlp_ratio=1.0, decoder_width=128, decoder_depth=2, decoder_heads=4,
    mask_ratio=_mindvis.MASK_RATIO, pool="patches",
)  # fmt: skip
PATCHES, BATCH, SEED = 1024, 8, 0
RATE = 2.5e-4
LEAST, LARGEST_DIFFERENCE = 1.7, 1e-6  # the step's ratio, and how far the losses may be apart
GPU_SHARE, GPU_STEPS = 0.45, 12


def main(arguments: list[str]) -> None:
    """Measure, print a table, and JSON as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3, help="timed in a row")
    parser.add_argument("--rounds", type=int, default=5)
    original = "a checkout of zjc062/mind-vis to time, on the timm that is installed (it pins 0.5.4)"
    parser.add_argument("--peer-path", type=Path, default=None, help=original)
    parser.add_argument("--gpu-batch", type=int, default=128, help="of the full model, where there is a GPU")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    peer = partial(_mindvis.original, chosen.peer_path) if chosen.peer_path else _mindvis.transcribed
    products = counted(SIZES, PATCHES * SIZES.patch, BATCH)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "responses.h5"
        write(path, (1 + chosen.steps) * BATCH)
        losses, name = in_child(partial(both_losses, path, peer))[0]
        if abs(losses[0] - losses[1]) > LARGEST_DIFFERENCE:
            raise SystemExit(f"losses differ: ours {losses[0]!r}, the peer's {losses[1]!r}")
        ways = {"ours": partial(ours, path), "peer": partial(theirs, path, peer)}
        values = take_turns({**ways, "floor": partial(at_peak, products, "cpu")}, rounds=chosen.rounds)
        memory = peak_memory(ways)
    comparisons = [Comparison("mbm", name, "s a step", values, memory, (LEAST, None, None))]
    if torch.cuda.is_available():
        device = torch.device("cuda")
        comparisons += [full_size(device, chosen.gpu_batch, compiled=compiled) for compiled in (False, True)]
    peak = products / np.median(values["floor"])
    report(comparisons, loss_difference=abs(losses[0] - losses[1]), gflop=products / 1e9, peak_gflops=peak / 1e9)


def write(path: Path, rows: int) -> None:
    """A responses file as `parcellate` leaves it."""
    shape = (rows, PATCHES * SIZES.patch)
    table = pd.DataFrame({"stimulus": "rest", "split": "rest", "repeat": np.arange(rows), "run": "100307/REST1_LR"})
    about = {"dataset": "hcp", "subject": "100307", "space": "all", "simulated": True}
    values = np.random.default_rng(SEED).standard_normal(shape, dtype=np.float32)
    artifacts.write(path, artifacts.Samples("responses", values, table, ("vertex",), "z", about))


def model() -> MaskedBrainModel:
    """Ours; as many vertices as patches hold, so that neither side fills anything up."""
    made = MaskedBrainModel(SIZES, vertices=PATCHES * SIZES.patch)
    initialise(made, seed=SEED)
    return made


def with_our_weights(peer: Callable[..., _mindvis.Peer]) -> _mindvis.Peer:
    """The peer, its loop and its name."""
    made, loop, name = peer(SIZES, PATCHES)
    weights = {their_name(key): value for key, value in model().state_dict().items()}
    weights["patch_embed.proj.weight"] = weights["patch_embed.proj.weight"][:, None]
    for key, width in (("pos_embed", SIZES.width), ("decoder_pos_embed", SIZES.decoder_width)):
        weights[key] = sincos_positions(PATCHES, width)[None]
    made.load_state_dict(weights)
    return made, loop, name


def both_losses(path: Path, peer: Callable[..., _mindvis.Peer]) -> tuple[list[float], str]:
    """Loss of the same rows under the same mask, ours and the peer's; and the peer's name."""
    x = torch.from_numpy(artifacts.read(path, kind="responses").values[:BATCH])
    made, _, name = with_our_weights(peer)
    own = model().loss(x, torch.Generator().manual_seed(SEED)).item()
    torch.manual_seed(SEED)  # both draw one uniform number a patch
    return [own, made(x[:, None], mask_ratio=SIZES.mask_ratio)[0].item()], name


def ours(path: Path) -> float:
    """Seconds a step."""
    cohort, made = read_cohort([path], kind="responses", splits=("train", "rest")), model()
    return seconds_a_step(made, cohort.take, len(cohort), training(BATCH, precision="float32", compile=False))


def theirs(path: Path, peer: Callable[..., _mindvis.Peer]) -> float:
    """Seconds a step."""
    made, loop, _ = with_our_weights(peer)
    rows = _mindvis.Rows(artifacts.read(path, kind="responses").values)
    batches = _mindvis.Asked(DataLoader(rows, batch_size=BATCH, shuffle=True), time.perf_counter)
    loop(made, batches, _mindvis.optimizer(made, RATE), RATE)
    return (batches.times[-1] - batches.times[1]) / (len(batches) - 1)


def training(batch: int, **changes: Any) -> TrainingSettings:
    """The paper's, for a pass over a few batches."""
    paper = build(TrainingSettings, PAPER["training"], where="pretrain.training")
    return replace(paper, epochs=1, batch=batch, accumulate=1, warmup_epochs=0, blocks=None, **changes)


def seconds_a_step(
    made: MaskedBrainModel, fetch: Callable[[np.ndarray], np.ndarray], rows: int, settings: TrainingSettings
) -> float:
    """Seconds a step of the training loop, the first left out."""
    device, begun = next(made.parameters()).device, []

    def loss(values: np.ndarray | Tensor, generator: torch.Generator) -> Tensor:
        if len(begun) < 2:
            begun.append(clock(device))
        return made.loss(torch.as_tensor(values).to(device, non_blocking=True), generator)

    with tempfile.TemporaryDirectory() as folder:
        store = Checkpoints(Path(folder), identity={}, every_seconds=math.inf)
        train(name="mbm", model=made, loss=loss, n_rows=rows, settings=settings, seed=SEED, store=store, fetch=fetch)
    return (clock(device) - begun[1]) / (rows // settings.batch - 1)


def clock(device: torch.device) -> float:
    """The time, once a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def counted(sizes: MbmSettings, vertices: int, rows: int) -> int:
    """Operations of a step's matrix products, forward and backward, two a multiply-add."""
    with torch.device("meta"):
        made, x = MaskedBrainModel(sizes, vertices=vertices), torch.zeros(rows, vertices)
    # Written out, attention is counted on every device.
    written_out = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with FlopCounterMode(display=False) as counter, written_out:
        made.loss(x, torch.Generator().manual_seed(SEED)).backward()
    return counter.get_total_flops()


def at_peak(products: int, where: str) -> float:
    """Seconds for so many operations at the speed of a large matrix product: the best of some."""
    device = torch.device(where)
    size, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (2048, torch.float32)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    out, times = a @ b, []
    for _ in range(6):
        start = clock(device)
        torch.mm(a, b, out=out)
        times.append(clock(device) - start)
    return products / (2 * size**3 / min(times))


def full_size(device: torch.device, batch: int, *, compiled: bool) -> Comparison:
    """The model of the paper on a GPU, against the speed of matrix products there; the bar is for it compiled."""
    sizes, vertices = build(MbmSettings, PAPER["model"], where="pretrain.model"), len(atlas.vertices("glasser41"))
    made = MaskedBrainModel(sizes, vertices=vertices)
    initialise(made, seed=SEED)
    x = np.random.default_rng(SEED).standard_normal((batch, vertices), dtype=np.float32)
    products = counted(sizes, vertices, batch)

    def fetch(rows: np.ndarray) -> Tensor:
        return torch.from_numpy(x[rows % batch])

    seconds = seconds_a_step(made.to(device), fetch, (1 + GPU_STEPS) * batch, training(batch, compile=compiled))
    floor = at_peak(products, device.type)
    how = "compiled" if compiled else "as it is"
    name = f"full size, {how}, batch {batch}, {torch.cuda.get_device_name(device)}"
    print(f"{name}: {products / batch / 1e9:.0f} GFLOP a sample, {batch / seconds:.0f} samples/s")
    values = {"ours": [seconds], "peer": [floor]}
    bar = GPU_SHARE if compiled else None
    return Comparison(name, "its matrix products in bfloat16", "s a step", values, {}, (bar, None, None))
