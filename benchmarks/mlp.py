"""A step of the paper's MLP to z: ``python -m benchmarks mlp``. About three minutes on one core.

2,048 units and three residual blocks from 1,024 features, batches of 128, AdamW: once to the 65,340 numbers of z, as
published, and once to the principal components of the training targets (1,000 stimuli), which hold all there is to
them. Both are `brainflix`'s own loss and optimiser with the settings of ``config/paper.yaml``; timed are the targets
of a batch, its loss, gradient and update, in seconds of processor time on one thread, after a step that is not.

First two smaller networks are trained side by side in float64 by plain gradient descent, with dropout and batch norm:
the one in the basis has to predict what the other does, to 1e-10 of the largest number. (Under AdamW the two differ,
as it treats every coordinate on its own.) The last line is JSON.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks._turns import Comparison, peak_memory, report, take_turns
from brainflix.config import load
from brainflix.models.mlp import Affine, Mlp, MlpSettings, ResidualMlp, fit_affine
from brainflix.models.moments import gram, principal_weights
from brainflix.settings import build
from brainflix.training import adamw

FEATURES, TARGETS, STIMULI, BATCH = 1024, 65_340, 1000, 128
SGD_STEPS, CLOSE = 100, 1e-10
PAPER = Path(__file__).parents[1] / "config" / "paper.yaml"


def main(arguments: list[str]) -> None:
    """Measure, print a table, and JSON as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=TARGETS)
    parser.add_argument("--steps", type=int, default=3, help="timed in a row")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    difference = sgd_difference()
    print(f"after {SGD_STEPS} steps of SGD predictions differ by {difference:.1e} of the largest")
    if not difference <= CLOSE:
        raise SystemExit("descent in the basis is not descent in the targets")
    settings = build(MlpSettings, load([PAPER])["mlp"], where="mlp")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((STIMULI, FEATURES), np.float32)
    y = rng.standard_normal((STIMULI, chosen.targets), np.float32)
    ways = {
        name: partial(per_step, settings, x, y, fit_affine(x, y, components), chosen.steps)
        for name, components in (("ours", STIMULI), ("peer", None))
    }
    values, memory = take_turns(ways, rounds=chosen.rounds), peak_memory(ways)
    peer = f"all {chosen.targets:,} outputs, as published"
    report([Comparison("mlp", peer, "core s a step", values, memory, (6, None, None))])


def per_step(settings: MlpSettings, x: np.ndarray, y: np.ndarray, affine: Affine, steps: int) -> float:
    """Seconds a step."""
    mlp = Mlp.untrained(settings, affine, seed=0)
    mlp.network.train()
    optimizer, rng = adamw(mlp.network, settings.training), np.random.default_rng(0)
    scores = None if affine.basis is None else affine.to_network(y)

    def step() -> None:
        rows = rng.choice(STIMULI, BATCH, replace=False)
        wanted = affine.to_network(y[rows]) if scores is None else scores[rows]
        optimizer.zero_grad(set_to_none=True)
        mlp.loss(x[rows], wanted).backward()
        optimizer.step()

    step()
    start = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - start) / steps


def sgd_difference() -> float:
    """Largest difference, relative to the largest prediction, between training in the basis and in the targets."""
    rng = np.random.default_rng(1)
    stimuli, inputs, targets = 60, 32, 3000
    y = rng.standard_normal((stimuli, targets)) @ np.diag(rng.uniform(0.1, 3, targets))
    y -= y.mean(axis=0)
    axes = torch.from_numpy(principal_weights(gram(y, np.zeros(targets)), stimuli) @ y)
    x, wanted = torch.from_numpy(rng.standard_normal((stimuli, inputs))), torch.from_numpy(y)
    sizes = {"inputs": inputs, "hidden": 48, "blocks": 3, "dropout": 0.3}
    within, direct = (ResidualMlp(outputs=n, **sizes).double() for n in (len(axes), targets))
    within.initialise(0)
    last = {name: axes.T @ getattr(within.output, name).data for name in ("weight", "bias")}
    direct.load_state_dict({**within.state_dict(), **{f"output.{name}": value for name, value in last.items()}})
    for network, aim in ((within, wanted @ axes.T), (direct, wanted)):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
        for step in range(SGD_STEPS):
            torch.manual_seed(step)  # the same units drop out
            rows = torch.randperm(stimuli)[: stimuli // 2]
            optimizer.zero_grad()
            ((network(x[rows]) - aim[rows]).square().sum(dim=1).mean() / targets).backward()
            optimizer.step()
    with torch.inference_mode():
        one, other = within.eval()(x) @ axes, direct.eval()(x)
    return float((one - other).abs().max() / other.abs().max())
