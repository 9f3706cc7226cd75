"""Train the tiny UNet3D, with its text encoder, on latents of clips of the procedural world."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from brainflix.frozen import architectures
from brainflix.frozen.blueprints import clip_tokenizer
from brainflix.phantom.captions import vocabulary
from brainflix.phantom.training import stream
from brainflix.phantom.training.loop import LoopSettings, train

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

# Batches are made of groups of clips; clips of an autoencoder's stream start at step 0, these far from them.
FIRST_GROUP = 10_000_000


@dataclass(frozen=True)
class UNetTraining:
    """What to train and how.

    Attributes:
        architecture: widths of the denoiser and its text encoder.
        loop: steps, batch, learning rate.
        refine: a second run from where the first ended, at a lower rate.
        group: clips that are drawn and encoded together; a step draws one new group and reuses older ones.
        memory: how many groups back a step may reach.
        without_caption: share of clips whose caption is left out, for classifier-free guidance.
        highest_noise: most steps of the schedule lie below this; re-noising at strength 0.8 starts there.
        share_below: share of clips trained there.
    """

    architecture: architectures.UNetArchitecture
    loop: LoopSettings
    refine: LoopSettings
    group: int
    memory: int
    without_caption: float
    highest_noise: int
    share_below: float


class Denoiser(nn.Module):
    """A UNet3D and the text encoder it looks at, trained together."""

    def __init__(self, settings: UNetTraining, vae: AutoencoderKL, seed: int) -> None:
        super().__init__()
        self.settings, self.seed = settings, seed
        self.tokenizer = clip_tokenizer(sorted(vocabulary()), tokens=settings.architecture.tokens)
        pixels = stream.PIXELS // 2 ** (len(vae.config.block_out_channels) - 1)
        channels = vae.config.latent_channels
        self.unet = architectures.unet(settings.architecture, latent_channels=channels, latent_pixels=pixels)
        self.text = architectures.text_encoder(settings.architecture, self.tokenizer)
        self.alphas = architectures.scheduler().alphas_cumprod

    def loss(self, z: Tensor, captions: list[str], step: int) -> Tensor:
        """Mean squared error of v (Salimans and Ho 2022) of latents noised to random steps of the schedule.

        Args:
            z: scaled latents (clip, channel, frame, row, column).
            step: seeds noise, steps of the schedule and left-out captions.
        """
        rng = np.random.default_rng([self.seed, 5, step])
        left_out = rng.random(len(z)) < self.settings.without_caption
        kept = ["" if left else caption for caption, left in zip(captions, left_out, strict=True)]
        low, high = self.settings.highest_noise, len(self.alphas)
        below = rng.random(len(z)) < self.settings.share_below
        t = torch.from_numpy(np.where(below, rng.integers(low, size=len(z)), rng.integers(low, high, size=len(z))))
        noise = torch.from_numpy(rng.standard_normal(tuple(z.shape), dtype=np.float32))
        signal = self.alphas[t].view(-1, 1, 1, 1, 1)
        noisy = signal.sqrt() * z + (1 - signal).sqrt() * noise
        wanted = signal.sqrt() * noise - (1 - signal).sqrt() * z
        ids = self.tokenizer(kept, padding="max_length", truncation=True, return_tensors="pt").input_ids
        states = self.text(input_ids=ids).last_hidden_state
        return (self.unet(noisy, t, encoder_hidden_states=states).sample.float() - wanted).square().mean()


def train_unet(*, settings: UNetTraining, vae: AutoencoderKL, seed: int, checkpoints: Path) -> Denoiser:
    """Train from scratch and return the averaged model."""
    torch.manual_seed(seed)
    model = Denoiser(settings, vae, seed)

    @lru_cache(maxsize=settings.memory)
    def group(number: int) -> tuple[Tensor, list[str]]:
        videos, captions, _ = stream.clips(
            seed=seed, purpose=stream.TRAINING, step=FIRST_GROUP + number, batch=settings.group
        )
        return encode(vae, videos), captions

    def loss(step: int) -> Tensor:
        older = np.random.default_rng([seed, 4, step]).integers(
            max(0, step - settings.memory), step + 1, size=settings.loop.batch // settings.group - 1
        )
        parts = [group(int(number)) for number in (step, *older)]
        return model.loss(torch.cat([z for z, _ in parts]), [c for _, told in parts for c in told], step)

    train(model=model, loss=loss, settings=settings.loop, checkpoint=checkpoints / "unet.pt")
    return train(
        model=model,
        loss=lambda step: loss(settings.loop.steps + step),
        settings=settings.refine,
        checkpoint=checkpoints / "unet-refine.pt",
    )


@torch.no_grad()
def encode(vae: AutoencoderKL, videos: np.ndarray) -> Tensor:
    """Scaled latents (clip, channel, frame, row, column) of uint8 (clip, frame, row, column, 3)."""
    frames = torch.from_numpy(stream.as_signal(videos)).flatten(0, 1).permute(0, 3, 1, 2)
    z = vae.encode(frames).latent_dist.mode().float() * vae.config.scaling_factor
    return z.unflatten(0, videos.shape[:2]).transpose(1, 2).contiguous()
