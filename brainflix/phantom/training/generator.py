"""Train the demo's video generator: an autoencoder, then a denoiser of its latents, in Zeroscope's layout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from brainflix.frozen import architectures
from brainflix.phantom.training.unet import UNetTraining, train_unet
from brainflix.phantom.training.vae import VaeTraining, train_vae
from brainflix.training import use_threads


@dataclass(frozen=True)
class GeneratorTraining:
    """How both parts are trained."""

    vae: VaeTraining
    unet: UNetTraining


SETTINGS = GeneratorTraining

_INDEX = {
    "_class_name": "TextToVideoSDPipeline",
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet3DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def train(*, out: Path, settings: GeneratorTraining, seed: int, checkpoints: Path, threads: int) -> None:
    """Train autoencoder and denoiser and write the checkpoint folder ``out`` (float16)."""
    use_threads(threads)
    vae = train_vae(settings=settings.vae, seed=seed, checkpoint=checkpoints / "vae.pt")
    denoiser = train_unet(settings=settings.unet, vae=vae, seed=seed, checkpoints=checkpoints)
    parts = {
        "vae": vae.half(),
        "unet": denoiser.unet.half(),
        "text_encoder": denoiser.text.half(),
        "tokenizer": denoiser.tokenizer,
        "scheduler": architectures.scheduler(),
    }
    for name, part in parts.items():
        part.save_pretrained(out / name)
    (out / "model_index.json").write_text(json.dumps(_INDEX, indent=2) + "\n", encoding="utf-8")
