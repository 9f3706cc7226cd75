"""Train the tiny AutoencoderKL on single frames of the procedural world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from brainflix.frozen import architectures
from brainflix.phantom.training import stream
from brainflix.phantom.training.loop import LoopSettings, train

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


@dataclass(frozen=True)
class VaeTraining:
    """What to train and how.

    Attributes:
        architecture: widths of the network.
        loop: steps, batch, learning rate.
        kl_weight: weight of the mean KL divergence per latent value beside the mean squared error.
        latent_noise: standard deviation of the noise put on latents in training, in units of their own.
        scaling_clips: clips from which the latents' standard deviation is measured.
    """

    architecture: architectures.VaeArchitecture
    loop: LoopSettings
    kl_weight: float
    latent_noise: float
    scaling_clips: int


def train_vae(*, settings: VaeTraining, seed: int, checkpoint: Path) -> AutoencoderKL:
    """Train from scratch and return the averaged model, its ``scaling_factor`` set so that z has unit std."""
    torch.manual_seed(seed)
    model = architectures.vae(settings.architecture)
    noise = torch.Generator()

    def loss(step: int) -> torch.Tensor:
        batch = stream.frames(seed=seed, purpose=stream.TRAINING, step=step, batch=settings.loop.batch)
        video = torch.from_numpy(batch)
        posterior = model.encode(video).latent_dist
        z = posterior.mean
        noise.manual_seed(1_000_003 * seed + step)
        jitter = torch.randn(z.shape, generator=noise) * z.detach().float().std() * settings.latent_noise
        error = (model.decode(z + jitter).sample.float() - video).square().mean()
        return error + settings.kl_weight * posterior.kl().mean() / z[0].numel()

    average = train(model=model, loss=loss, settings=settings.loop, checkpoint=checkpoint)
    average.register_to_config(scaling_factor=1 / latent_std(average, seed=seed, clips=settings.scaling_clips))
    return average


@torch.no_grad()
def latent_std(model: AutoencoderKL, *, seed: int, clips: int) -> float:
    """Standard deviation of unscaled latents over validation frames."""
    frames = stream.frames(seed=seed, purpose=stream.VALIDATION, step=0, batch=clips)
    return model.encode(torch.from_numpy(frames)).latent_dist.mode().std().item()


@torch.no_grad()
def round_trip_psnr(model: AutoencoderKL, *, seed: int, frames: int) -> torch.Tensor:
    """Peak signal-to-noise ratio in dB of each validation frame after encoding and decoding: (frames,)."""
    batch = stream.frames(seed=seed, purpose=stream.VALIDATION, step=1, batch=frames)
    video = torch.from_numpy(batch)
    decoded = model.decode(model.encode(video).latent_dist.mode()).sample.clamp(-1, 1)
    return -10 * torch.log10(((decoded - video) / 2).square().mean((1, 2, 3)))
