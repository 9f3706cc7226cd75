"""The loop that trains the tiny backbones: one thread, bfloat16, averaged weights, resumable.

The batch of a step depends on the seed and the step alone, so a resumed run sees exactly the data that an
uninterrupted one would have seen. What is shipped is the exponential moving average of the weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LoopSettings:
    """How to train.

    Attributes:
        steps: optimizer steps in all.
        batch: examples a step.
        learning_rate: peak, of AdamW; warms up linearly and falls to zero along a cosine.
        warmup_steps: length of the warm-up.
        weight_decay: of AdamW.
        clip_norm: gradients are scaled down to this norm.
        average_decay: of the moving average of the weights, reached after about 10 / (1 - decay) steps.
        checkpoint_every: steps between checkpoints.
    """

    steps: int
    batch: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    clip_norm: float
    average_decay: float
    checkpoint_every: int


def train(*, model: nn.Module, loss: Callable[[int], Tensor], settings: LoopSettings, checkpoint: Path) -> nn.Module:
    """Train ``model`` in place and return the moving average of its weights as a copy in eval mode.

    Args:
        loss: the loss of a step, a scalar; draws its batch from the step's number.
        checkpoint: file to resume from and to save to; stays behind for the caller to remove.
    """
    average = deepcopy(model).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay
    )
    first = _resume(checkpoint, model, average, optimizer)
    report = _Report(first, settings.steps)
    for step in range(first, settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * schedule(step, settings)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(step)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        _update(average, model, decay=min(settings.average_decay, (1 + step) / (10 + step)))
        report(step, value)
        if (step + 1) % settings.checkpoint_every == 0 or step + 1 == settings.steps:
            _save(checkpoint, step + 1, model, average, optimizer)
    return average


def schedule(step: int, settings: LoopSettings) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine to zero."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * done))


@torch.no_grad()
def _update(average: nn.Module, model: nn.Module, *, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


def _save(path: Path, step: int, model: nn.Module, average: nn.Module, optimizer: torch.optim.AdamW) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"step": step, "model": model.state_dict(), "average": average.state_dict()}
    partial = path.with_name(path.name + ".partial")
    torch.save({**state, "optimizer": optimizer.state_dict()}, partial)
    partial.replace(path)


def _resume(path: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.AdamW) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]


class _Report:
    """Prints the mean loss and the rate every fifty steps."""

    def __init__(self, first: int, steps: int) -> None:
        self.first, self.steps, self.losses, self.start = first, steps, [], time.perf_counter()

    def __call__(self, step: int, value: Tensor) -> None:
        self.losses.append(value.item())
        if len(self.losses) < 50:
            return
        rate = (step + 1 - self.first) / (time.perf_counter() - self.start)
        mean = sum(self.losses) / len(self.losses)
        print(f"step {step + 1}/{self.steps}  loss {mean:.5f}  {rate:.2f} steps/s", flush=True)
        self.losses.clear()
