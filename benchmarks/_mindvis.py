"""How MinD-Vis computes a step of masked brain modelling, transcribed from a description of it, for `mbm` to time.

Modules have its names, so weights go over by name. What costs time is kept as it is there: attention written out (timm
0.5.4, its pin, has no other), all patches embedded before three quarters of them are dropped, two sorts for the mask,
the decoder's head on every token, the rate set and the loss read at every step, correlations one sample at a time,
AdamW as torch makes it by default, rows in memory as float64, each copied and handed out beside a blank picture.
"""

from __future__ import annotations

import copy
import importlib
import math
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

CLIP = 0.8
MASK_RATIO = 0.75


class Attention(nn.Module):
    """Softmax attention, every product a matrix of its own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * self.scale).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(n, length, width))


class Block(nn.Module):
    """Pre-norm block."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.norm1, self.norm2, self.attn = nn.LayerNorm(width), nn.LayerNorm(width), Attention(width, heads)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](nn.functional.gelu(self.mlp["fc1"](self.norm2(x))))


class PatchEmbedding(nn.Module):
    """Runs of values to tokens."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv1d(1, width, kernel_size=patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).transpose(1, 2).contiguous()


class Autoencoder(nn.Module):
    """The masked autoencoder; ``patches`` of the responses, which are padded already."""

    def __init__(self, sizes: Any, patches: int) -> None:
        super().__init__()
        wide, narrow, ratio = sizes.width, sizes.decoder_width, sizes.mlp_ratio
        self.patch = sizes.patch
        self.patch_embed = PatchEmbedding(sizes.patch, wide)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, wide))
        self.pos_embed = nn.Parameter(torch.zeros(1, patches + 1, wide), requires_grad=False)
        self.blocks = nn.ModuleList(Block(wide, sizes.heads, ratio) for _ in range(sizes.depth))
        self.norm = nn.LayerNorm(wide)
        self.decoder_embed = nn.Linear(wide, narrow)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, narrow))
        self.decoder_pos_embed = nn.Parameter(torch.zeros(1, patches + 1, narrow), requires_grad=False)
        self.decoder_blocks = nn.ModuleList(
            Block(narrow, sizes.decoder_heads, ratio) for _ in range(sizes.decoder_depth)
        )
        self.decoder_norm, self.decoder_pred = nn.LayerNorm(narrow), nn.Linear(narrow, sizes.patch)

    def forward(self, x: Tensor, *_: Any, mask_ratio: float = MASK_RATIO, **__: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Responses (n, 1, values) to the loss, predictions (n, patches, patch) and the mask (n, patches)."""
        tokens, mask, back = self._encode(x, mask_ratio)
        predicted = self._decode(tokens, back)
        errors = (predicted - x.reshape(len(x), -1, self.patch)).square().mean(dim=-1)
        masked = (errors * mask).sum()
        loss = masked / mask.sum() if mask.sum() != 0 else masked
        return loss, predicted, mask

    def unpatchify(self, x: Tensor) -> Tensor:
        """(n, patches, patch) to (n, 1, values)."""
        return x.reshape(len(x), 1, -1)

    def _encode(self, x: Tensor, mask_ratio: float) -> tuple[Tensor, Tensor, Tensor]:
        x = self.patch_embed(x) + self.pos_embed[:, 1:]
        n, length, width = x.shape
        kept = int(length * (1 - mask_ratio))
        order = torch.rand(n, length, device=x.device).argsort(dim=1)
        back = order.argsort(dim=1)
        x = x.gather(1, order[:, :kept, None].repeat(1, 1, width))
        mask = torch.ones(n, length, device=x.device)
        mask[:, :kept] = 0
        x = torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(n, -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x), mask.gather(1, back), back

    def _decode(self, x: Tensor, back: Tensor) -> Tensor:
        x = self.decoder_embed(x)
        blank = self.mask_token.repeat(len(x), back.shape[1] + 1 - x.shape[1], 1)
        tokens = torch.cat([x[:, 1:], blank], dim=1).gather(1, back[:, :, None].repeat(1, 1, x.shape[2]))
        x = torch.cat([x[:, :1], tokens], dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        return self.decoder_pred(self.decoder_norm(x))[:, 1:]


class Rows(Dataset):
    """Rows as they are handed out there: a copy, of which nothing gets zeroed, and a blank picture."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values.astype(np.float64)[:, None]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        values = copy.deepcopy(self.values[row])
        values[np.random.choice(len(values), int(0.2 * len(values)), replace=False)] = 0
        return {"fmri": torch.FloatTensor(values), "image": torch.zeros(3, 112, 112)}


def optimizer(model: nn.Module, rate: float) -> torch.optim.AdamW:
    """AdamW with what timm spares of decay: one dimension, or a name that ends in bias."""
    groups: dict[bool, list[Tensor]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[parameter.ndim > 1 and not name.endswith(".bias")].append(parameter)
    decay = [{"params": groups[False], "weight_decay": 0.0}, {"params": groups[True], "weight_decay": 0.05}]
    return torch.optim.AdamW(decay, lr=rate, betas=(0.9, 0.95))


def train(model: Autoencoder, batches: Iterable[dict[str, Tensor]], made: torch.optim.AdamW, rate: float) -> None:
    """A step for every batch."""
    model.train()
    losses, correlations = [], []
    for number, batch in enumerate(batches):
        for group in made.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * number / 1000))
        made.zero_grad()
        loss, predicted, _ = model(batch["fmri"])
        value = loss.item()
        if not math.isfinite(value):
            raise SystemExit(f"the loss is {value}")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        made.step()
        pairs = zip(model.unpatchify(predicted.detach().cpu()), batch["fmri"], strict=True)
        correlations.append(torch.tensor([torch.corrcoef(torch.cat(pair))[0, 1] for pair in pairs]).mean().item())
        made.zero_grad()
        losses.append(value)


Peer = tuple[nn.Module, Callable[..., None], str]  # a model, its training loop, and what to call it


def transcribed(sizes: Any, patches: int) -> Peer:
    """The peer above."""
    return Autoencoder(sizes, patches), train, "MinD-Vis, transcribed"


def original(folder: Path, sizes: Any, patches: int) -> Peer:
    """The peer itself, from a checkout of zjc062/mind-vis, with the timm that is installed."""
    code = folder / "code" if (folder / "code").is_dir() else folder
    sys.path.insert(0, str(code))
    sys.modules.setdefault("torch._six", types.ModuleType("torch._six")).inf = math.inf  # torch 2 has it no more
    try:
        timm = importlib.import_module("timm")
        autoencoder = importlib.import_module("sc_mbm.mae_for_fmri")
        trainer = importlib.import_module("sc_mbm.trainer")
    except ImportError as error:
        raise SystemExit(f"{folder}: expected a checkout of MinD-Vis, and timm installed, found {error}") from error
    model = autoencoder.MAEforFMRI(
        num_voxels=patches * sizes.patch,
        patch_size=sizes.patch,
        embed_dim=sizes.width,
        depth=sizes.depth,
        num_heads=sizes.heads,
        decoder_embed_dim=sizes.decoder_width,
        decoder_depth=sizes.decoder_depth,
        decoder_num_heads=sizes.decoder_heads,
        mlp_ratio=sizes.mlp_ratio,
    )
    return model, lambda *given: _their_epoch(trainer, *given), f"MinD-Vis, timm {timm.__version__}"


def _their_epoch(trainer: Any, model: nn.Module, batches: Any, made: torch.optim.AdamW, rate: float) -> None:
    config = SimpleNamespace(
        accum_iter=1, lr=rate, min_lr=0.0, warmup_epochs=0, num_epoch=1000, clip_grad=CLIP, mask_ratio=MASK_RATIO,
        local_rank=1,
    )  # fmt: skip
    scaler = trainer.NativeScalerWithGradNormCount()
    cpu = torch.device("cpu")
    trainer.train_one_epoch(model, batches, made, cpu, 0, scaler, None, config, None, model)


class Asked:
    """Batches, and when each was asked for; the last time is after the last step."""

    def __init__(self, loader: Any, clock: Callable[[], float]) -> None:
        self.loader, self.clock, self.times = loader, clock, []

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self.loader)
        while True:
            self.times.append(self.clock())
            try:
                batch = next(batches)
            except StopIteration:
                return
            yield batch
