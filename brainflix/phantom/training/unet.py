"""Train the tiny UNet3D, with its text encoder, on latents of clips of the procedural world."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
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
        group: clips that are drawn and encoded together; a step draws one new group and reuses older ones.
        memory: how many groups back a step may reach.
        without_caption: share of clips whose caption is left out, for classifier-free guidance.
        focus: range of steps of the noise schedule in which shapes are decided; re-noising with a strength of
            0.8 starts in it.
        focus_share: share of clips noised to a step in that range; the others get any step.
        object_weight: how many times errors count where the object is. It is a tenth of the picture, and its
            shape is a small part of that: without a weight it would be learned last.
    """

    architecture: architectures.UNetArchitecture
    loop: LoopSettings
    group: int
    memory: int
    without_caption: float
    focus: tuple[int, int]
    focus_share: float
    object_weight: float


class Denoiser(nn.Module):
    """A UNet3D and the text encoder it looks at, trained together."""

    def __init__(self, settings: UNetTraining, vae: AutoencoderKL, seed: int) -> None:
        super().__init__()
        self.settings, self.seed = settings, seed
        self.tokenizer = clip_tokenizer(sorted(vocabulary()), tokens=settings.architecture.tokens)
        pixels = stream.PIXELS // 2 ** (len(vae.config.block_out_channels) - 1)
        channels = vae.config.latent_channels
        self.unet = architectures.unet(settings.architecture, latent_channels=channels, latent_pixels=pixels)
        # In bfloat16 on a CPU plain matrix products are faster than the fused attention.
        self.unet.set_attn_processor(AttnProcessor())
        for layer in self.unet.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0  # endless data: nothing to guard against
        self.text = architectures.text_encoder(settings.architecture, self.tokenizer)
        self.alphas = architectures.scheduler().alphas_cumprod

    def loss(self, z: Tensor, weights: Tensor, captions: list[str], step: int) -> Tensor:
        """Weighted mean squared error of v (Salimans and Ho 2022) of latents noised to random steps of the schedule.

        Args:
            z: scaled latents (clip, channel, frame, row, column).
            weights: of the errors (clip, 1, frame, row, column).
            step: seeds noise, steps of the schedule and left-out captions.
        """
        rng = np.random.default_rng([self.seed, 5, step])
        left_out = rng.random(len(z)) < self.settings.without_caption
        kept = ["" if left else caption for caption, left in zip(captions, left_out, strict=True)]
        focused = rng.random(len(z)) < self.settings.focus_share
        anywhere = rng.integers(len(self.alphas), size=len(z))
        t = torch.from_numpy(np.where(focused, rng.integers(*self.settings.focus, size=len(z)), anywhere))
        noise = torch.from_numpy(rng.standard_normal(tuple(z.shape), dtype=np.float32))
        signal = self.alphas[t].view(-1, 1, 1, 1, 1)
        noisy = signal.sqrt() * z + (1 - signal).sqrt() * noise
        wanted = signal.sqrt() * noise - (1 - signal).sqrt() * z
        ids = self.tokenizer(kept, padding="max_length", truncation=True, return_tensors="pt").input_ids
        states = self.text(input_ids=ids).last_hidden_state
        errors = (self.unet(noisy, t, encoder_hidden_states=states).sample.float() - wanted).square()
        return (errors.mean(1, keepdim=True) * weights).sum() / weights.sum()


def train_unet(*, settings: UNetTraining, vae: AutoencoderKL, seed: int, checkpoints: Path) -> Denoiser:
    """Train from scratch and return the averaged model."""
    torch.manual_seed(seed)
    model = Denoiser(settings, vae, seed)

    @lru_cache(maxsize=settings.memory)
    def group(number: int) -> tuple[Tensor, Tensor, list[str]]:
        drawn = stream.clips(seed=seed, purpose=stream.TRAINING, step=FIRST_GROUP + number, batch=settings.group)
        z = encode(vae, drawn.videos)
        return z, 1 + (settings.object_weight - 1) * objects(drawn.places, z.shape[-1]), drawn.captions

    def loss(step: int) -> Tensor:
        older = np.random.default_rng([seed, 4, step]).integers(
            max(0, step - settings.memory), step + 1, size=settings.loop.batch // settings.group - 1
        )
        parts = [group(int(number)) for number in (step, *older)]
        z, weights, captions = zip(*parts, strict=True)
        return model.loss(torch.cat(z), torch.cat(weights), list(chain.from_iterable(captions)), step)

    return train(model=model, loss=loss, settings=settings.loop, checkpoint=checkpoints / "unet.pt")


def objects(places: np.ndarray, cells: int) -> Tensor:
    """Which cells of a grid the object's bounding box touches: (clip, 1, frame, row, column), 0 or 1.

    Args:
        places: (clip, frame, 3) of x, y and size in fractions of the frame.
    """
    x, y, size = torch.from_numpy(places).float().unbind(-1)
    centres = (torch.arange(cells) + 0.5) / cells
    reach = (size / 2 + 0.5 / cells)[..., None]
    across, down = ((centres - c[..., None]).abs() < reach for c in (x, y))
    return (down[..., :, None] & across[..., None, :]).float()[:, None]


@torch.no_grad()
def encode(vae: AutoencoderKL, videos: np.ndarray) -> Tensor:
    """Scaled latents (clip, channel, frame, row, column) of uint8 (clip, frame, row, column, 3)."""
    frames = torch.from_numpy(stream.as_signal(videos)).flatten(0, 1).permute(0, 3, 1, 2)
    z = vae.encode(frames).latent_dist.mode().float() * vae.config.scaling_factor
    return z.unflatten(0, videos.shape[:2]).transpose(1, 2).contiguous()
