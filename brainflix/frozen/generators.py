"""Latent video diffusion in the checkpoint layout of Zeroscope, and SDEdit over batches of clips.

The networks are diffusers' own; the loop is ours. diffusers' VideoToVideoSDPipeline is deprecated,
takes one clip at a time and reads ``latents`` nowhere; for one clip the loop here gives the same
numbers (tests/frozen/test_generators.py). Section 4, stage 3: the regressed latent is re-noised
part of the way and denoised under the caption with classifier-free guidance.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainflix.errors import InputError
from brainflix.frozen.loading import device, explained, pretrained, quiet
from brainflix.frozen.protocols import GenerationSettings, Precision

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


class LatentDiffusion:
    """A VideoGenerator: UNet3DConditionModel, AutoencoderKL, CLIPTextModel, their tokenizer and noise schedule.

    Parts are loaded when first used: encoding clips never reads the denoiser.

    Args:
        root: a folder with the subfolders ``unet``, ``vae``, ``text_encoder``, ``tokenizer``, ``scheduler``
            (weights as .safetensors or .bin), or an id on the hub.

    Raises:
        InputError: a subfolder is missing, or half precision is asked for without a GPU.
    """

    def __init__(self, root: str, *, precision: Precision) -> None:
        missing = [part for part in PARTS if not (Path(root) / part).is_dir()]
        if Path(root).is_dir() and missing:
            raise InputError.about(root, expected=f"subfolders {', '.join(PARTS)}", found=f"no {', '.join(missing)}")
        self.root, self.precision = root, precision
        self._parts: dict[str, Any] = {}

    @property
    def unet(self) -> Any:
        """The denoiser."""
        from diffusers.models.unets.unet_3d_condition import UNet3DConditionModel

        return self._part("unet", UNet3DConditionModel)

    @property
    def vae(self) -> Any:
        """The autoencoder of single frames."""
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        return self._part("vae", AutoencoderKL)

    def _part(self, name: str, cls: Any) -> Any:
        if name not in self._parts:
            self._parts[name] = pretrained(cls, self.root, precision=self.precision, subfolder=name)
        return self._parts[name]

    def latent_shape(self, *, frames: int, pixels: int) -> tuple[int, int, int, int]:
        """(channel, frame, row, column); rows = floor(pixels / 8) for a VAE of four levels."""
        config = self.vae.config
        side = pixels // 2 ** (len(config.block_out_channels) - 1)
        return config.latent_channels, frames, side, side

    @torch.no_grad()
    def encode(self, frames: np.ndarray, *, seeds: Sequence[int] | None) -> np.ndarray:
        """z, float32 (clip, channel, frame, row, column), of uint8 (clip, frame, row, column, 3); scaled."""
        return np.stack([self._encode(clip, None if seeds is None else seeds[i]) for i, clip in enumerate(frames)])

    def _encode(self, clip: np.ndarray, seed: int | None) -> np.ndarray:
        images = torch.from_numpy(clip).permute(0, 3, 1, 2).to(device(), self.vae.dtype) / 127.5 - 1
        posterior = self.vae.encode(images).latent_dist
        z = posterior.mean
        if seed is not None:
            z = z + posterior.std * _noise(tuple(z.shape), seed).to(z)
        return (z * self.vae.config.scaling_factor).transpose(0, 1).float().cpu().numpy()

    @torch.no_grad()
    def decode(self, latents: np.ndarray) -> np.ndarray:
        """uint8 (clip, frame, row, column, 3) of z (clip, channel, frame, row, column), frame by frame."""
        return np.stack([self._decode(torch.from_numpy(np.asarray(z))) for z in latents])

    def _decode(self, z: Tensor) -> np.ndarray:
        z = z.transpose(0, 1).to(device(), self.vae.dtype) / self.vae.config.scaling_factor
        images = (self.vae.decode(z).sample.float() / 2 + 0.5).clamp(0, 1)
        return (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

    @torch.no_grad()
    def text_states(self, captions: Sequence[str]) -> np.ndarray:
        """c, float32 (caption, token, width): last hidden states, padded to the longest text."""
        from transformers.models.clip.modeling_clip import CLIPTextModel

        from brainflix.frozen.text import padded_tokens, tokenizer

        encoder = self._part("text_encoder", CLIPTextModel)
        if "tokenizer" not in self._parts:
            self._parts["tokenizer"] = tokenizer(self.root, subfolder="tokenizer")
        length = encoder.config.max_position_embeddings
        ids = padded_tokens(self._parts["tokenizer"], captions, length=length)
        return encoder(ids.to(device())).last_hidden_state.float().cpu().numpy()

    def scheduler(self, settings: GenerationSettings) -> Any:
        """The checkpoint's noise schedule under the sampler and spacing that ``settings`` name."""
        if settings.scheduler == "ddim":
            from diffusers.schedulers.scheduling_ddim import DDIMScheduler as Scheduler
        else:
            from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler as Scheduler
        with explained(Scheduler, self.root, "scheduler"), quiet():
            return Scheduler.from_pretrained(
                self.root, subfolder="scheduler", timestep_spacing=settings.timestep_spacing
            )

    @torch.no_grad()
    def generate(
        self,
        *,
        states: np.ndarray,
        latents: np.ndarray | None,
        seeds: Sequence[int],
        settings: GenerationSettings,
    ) -> np.ndarray:
        """Videos uint8 (clip, frame, row, column, 3).

        Args:
            states: c (clip, token, width), one per video.
            latents: z (clip, channel, frame, row, column) to start from; None starts from pure noise.
            seeds: one per video; a video depends on its own seed only.

        Raises:
            InputError: no denoising step would be executed.
        """
        executed_steps(settings, from_noise=latents is None)
        negative = torch.from_numpy(self.text_states([settings.negative_prompt]))
        videos = []
        for start in range(0, len(states), settings.batch):
            part = slice(start, start + settings.batch)
            z = self._denoise(
                torch.from_numpy(np.asarray(states[part])),
                negative,
                None if latents is None else torch.from_numpy(np.asarray(latents[part])),
                seeds[part],
                settings,
            )
            videos.append(self.decode(z.float().cpu().numpy()))
        return np.concatenate(videos)

    def _denoise(
        self, states: Tensor, negative: Tensor, z: Tensor | None, seeds: Sequence[int], settings: GenerationSettings
    ) -> Tensor:
        unet, scheduler = self.unet, self.scheduler(settings)
        shape = self.latent_shape(frames=settings.frames, pixels=settings.pixels) if z is None else z.shape[1:]
        noise = torch.stack([_noise((shape[1], shape[0], *shape[2:]), seed) for seed in seeds]).transpose(1, 2)
        to = {"device": device(), "dtype": unet.dtype}
        text = torch.cat([negative.expand_as(states), states]) if settings.guidance > 1 else states
        z = None if z is None else settings.latent_factor * z.to(**to)
        return sdedit(unet, scheduler, noise=noise.to(**to), latents=z, text=text.to(**to), settings=settings)


def _noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """Standard normal float32, drawn on the CPU so that a GPU gets the same."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def executed_steps(settings: GenerationSettings, *, from_noise: bool) -> int:
    """How many of the nominal steps are executed: ``int(steps * strength)``, all of them from pure noise.

    Raises:
        InputError: it is none.
    """
    executed = settings.steps if from_noise else int(settings.steps * settings.strength)
    if executed < 1:
        found = f"int({settings.steps} steps x strength {settings.strength}) = {executed}"
        raise InputError.about("generation", expected="at least one executed denoising step", found=found)
    return executed


def sdedit(
    unet: Any, scheduler: Any, *, noise: Tensor, latents: Tensor | None, text: Tensor, settings: GenerationSettings
) -> Tensor:
    """Noise latents part of the way up the schedule and denoise them (Meng et al. 2022).

    Args:
        noise: (clip, channel, frame, row, column).
        latents: clean z of the same shape, or None for pure noise.
        text: states (clip, token, width); with guidance (2 * clip, ...), the negative ones first.

    Returns:
        Clean latents (clip, channel, frame, row, column).
    """
    executed = executed_steps(settings, from_noise=latents is None)
    scheduler.set_timesteps(settings.steps, device=noise.device)
    first = settings.steps - executed
    timesteps = scheduler.timesteps[first * scheduler.order :]
    if hasattr(scheduler, "set_begin_index"):  # DDIM keeps no count of its steps
        scheduler.set_begin_index(first * scheduler.order)
    clips = len(noise)
    if latents is None:
        z = _fold(noise) * scheduler.init_noise_sigma
    else:
        z = scheduler.add_noise(_fold(latents), _fold(noise), timesteps[:1].repeat(clips * noise.shape[2]))
    for t in timesteps:
        x = scheduler.scale_model_input(_unfold(z, clips), t)
        if settings.guidance > 1:
            negative, positive = unet(torch.cat([x, x]), t, encoder_hidden_states=text).sample.chunk(2)
            epsilon = negative + settings.guidance * (positive - negative)
        else:
            epsilon = unet(x, t, encoder_hidden_states=text).sample
        z = scheduler.step(_fold(epsilon), t, z).prev_sample
    return _unfold(z, clips)


def _fold(x: Tensor) -> Tensor:
    """(clip, channel, frame, row, column) to (clip * frame, channel, row, column): schedulers know images."""
    return x.transpose(1, 2).flatten(0, 1)


def _unfold(x: Tensor, clips: int) -> Tensor:
    return x.unflatten(0, (clips, -1)).transpose(1, 2)
