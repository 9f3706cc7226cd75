"""AdamW and its schedule, as MinD-Vis has them, and what is compiled for a GPU."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from brainflix.models.settings import TrainingSettings


def adamw(model: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only (biases, norms and other vectors have none)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=tuple(settings.betas), fused=True)


def learning_rate(epoch: float, settings: TrainingSettings) -> float:
    """Linear warm-up from 0, then half a cosine to 0, by the fractional epoch (MinD-Vis)."""
    if epoch < settings.warmup_epochs:
        return settings.learning_rate * epoch / settings.warmup_epochs
    done = (epoch - settings.warmup_epochs) / (settings.epochs - settings.warmup_epochs)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def step_seed(seed: int, step: int) -> int:
    """A 63-bit seed for the random numbers of one step."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def compile_blocks(model: nn.Module) -> None:
    """Compile what is repeated, block by block: one compilation serves all blocks of a kind."""
    for blocks in model.modules():
        if isinstance(blocks, nn.ModuleList):
            for block in blocks:
                block.compile()
