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
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LoopSettings:
    """How to train.

    Attributes:
        steps: optimizer steps in all.
        batch: examples a step.
        optimizer: AdamW, or Muon (Jordan et al. 2024) for the weights of linear and convolutional layers
            and AdamW for all others; Muon gets a denoiser as far in a third of the steps.
        learning_rate: peak; warms up linearly and falls to zero along a cosine.
        warmup_steps: length of the warm-up.
        weight_decay: of the optimizer.
        clip_norm: gradients are scaled down to this norm.
        average_decay: of the moving average of the weights, reached after about 10 / (1 - decay) steps.
        checkpoint_every: steps between checkpoints.
    """

    steps: int
    batch: int
    optimizer: Literal["adamw", "muon"]
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
    optimizers = _optimizers(model, settings)
    first = _resume(checkpoint, model, average, optimizers)
    report = _Report(first, settings.steps)
    for step in range(first, settings.steps):
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = settings.learning_rate * schedule(step, settings)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(step)
        model.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        for optimizer in optimizers:
            optimizer.step()
        _update(average, model, decay=min(settings.average_decay, (1 + step) / (10 + step)))
        report(step, value)
        if (step + 1) % settings.checkpoint_every == 0 or step + 1 == settings.steps:
            _save(checkpoint, step + 1, model, average, optimizers)
    return average


def schedule(step: int, settings: LoopSettings) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine to zero."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * done))


class _Muon(torch.optim.Muon):
    """Muon for matrices of any shape: all axes but the first are taken as one."""

    def __init__(self, weights: list[nn.Parameter], *, learning_rate: float, weight_decay: float) -> None:
        self.weights = weights
        flat = [nn.Parameter(weight.detach().view(len(weight), -1)) for weight in weights]  # the same memory
        super().__init__(
            flat, lr=learning_rate, momentum=0.95, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
        )

    def step(self) -> None:
        for flat, weight in zip(self.param_groups[0]["params"], self.weights, strict=True):
            flat.grad = None if weight.grad is None else weight.grad.view_as(flat)
        super().step()


def _optimizers(model: nn.Module, settings: LoopSettings) -> list[torch.optim.Optimizer]:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adamw":
        return [torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=decay)]
    layers = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d, nn.Conv3d))]
    weights = [layer.weight for layer in layers]
    others = [p for p in model.parameters() if not any(p is w for w in weights)]
    return [
        _Muon(weights, learning_rate=rate, weight_decay=decay),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


@torch.no_grad()
def _update(average: nn.Module, model: nn.Module, *, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


def _save(path: Path, step: int, model: nn.Module, average: nn.Module, optimizers: list[torch.optim.Optimizer]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"step": step, "model": model.state_dict(), "average": average.state_dict()}
    partial = path.with_name(path.name + ".partial")
    torch.save({**state, "optimizers": [optimizer.state_dict() for optimizer in optimizers]}, partial)
    partial.replace(path)


def _resume(path: Path, model: nn.Module, average: nn.Module, optimizers: list[torch.optim.Optimizer]) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(kept)
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
