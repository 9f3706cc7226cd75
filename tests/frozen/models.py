"""Random models in real checkpoint folders, small enough to build in a test."""

from __future__ import annotations

from pathlib import Path

import torch

from brainflix.frozen import blueprints

WORDS = ("a", "picture", "of", "red", "green", "ball", "box", "on", "stripes", "tiles", "moving", "resting")
SIZES = blueprints.TransformerSizes(
    pixels=32, patch=8, width=16, heads=2, vision_layers=2, text_layers=2, hidden=32, tokens=24
)


def shake(module: torch.nn.Module, *, seed: int, scale: float = 0.25) -> torch.nn.Module:
    """Random weights everywhere: fresh models have zero layers that hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_scale = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(1 + 0.1 * noise if is_scale else scale * noise)
    return module


def save_blip(folder: Path, *, seed: int = 0) -> Path:
    """A random BLIP captioner."""
    model, tokenizer = blueprints.blip(SIZES, words=WORDS)
    blueprints.save(folder, shake(model, seed=seed), tokenizer, pixels=SIZES.pixels)
    return folder


def save_clip(folder: Path, *, seed: int = 0) -> Path:
    """A random CLIP."""
    model, tokenizer = blueprints.clip(SIZES, words=WORDS)
    blueprints.save(folder, shake(model, seed=seed), tokenizer, pixels=SIZES.pixels)
    return folder


def save_generator(folder: Path, *, safe: bool = True, seed: int = 0) -> Path:
    """A random text-to-video model in the layout of Zeroscope: a DDIM scheduler file without timestep_spacing."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    width, level = SIZES.width, 8
    unet = UNet3DConditionModel(
        sample_size=4,
        block_out_channels=(level,) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=width,
        attention_head_dim=4,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(level,) * 4,
        norm_num_groups=4,
        latent_channels=4,
    )
    tokenizer = blueprints.clip_tokenizer(WORDS, tokens=10)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=10,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    shake(unet, seed=seed, scale=0.15).save_pretrained(folder / "unet", safe_serialization=safe)
    shake(vae, seed=seed + 1, scale=0.15).save_pretrained(folder / "vae", safe_serialization=safe)
    shake(text, seed=seed + 2).save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    scheduler.save_pretrained(folder / "scheduler")
    config = folder / "scheduler" / "scheduler_config.json"
    lines = [line for line in config.read_text().splitlines(keepends=True) if "timestep_spacing" not in line]
    config.write_text("".join(lines))
    return folder
