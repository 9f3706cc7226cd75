"""Blueprints of the tiny generator: real diffusers and transformers classes at the smallest useful widths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer


@dataclass(frozen=True)
class VaeArchitecture:
    """An image autoencoder that halves the resolution at every width but the last.

    Attributes:
        widths: channels from full to lowest resolution, each divisible by ``groups``.
        latent_channels: channels of z.
        groups: of every group norm.
    """

    widths: tuple[int, ...]
    latent_channels: int
    groups: int


def vae(settings: VaeArchitecture) -> AutoencoderKL:
    """A fresh AutoencoderKL for RGB frames, without attention."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(settings.widths),
        up_block_types=("UpDecoderBlock2D",) * len(settings.widths),
        block_out_channels=settings.widths,
        layers_per_block=1,
        latent_channels=settings.latent_channels,
        norm_num_groups=settings.groups,
        sample_size=64,
        mid_block_add_attention=False,
    )


@dataclass(frozen=True)
class UNetArchitecture:
    """A video denoiser of two resolutions that both look at the text.

    Attributes:
        widths: channels at full and at half resolution, each divisible by ``groups``.
        text_width: width of the text states.
        text_hidden, text_layers, text_heads: the text encoder's transformer.
        tokens: longest caption.
        head_width: width of an attention head.
        groups: of every group norm.
    """

    widths: tuple[int, ...]
    text_width: int
    text_hidden: int
    text_layers: int
    text_heads: int
    tokens: int
    head_width: int
    groups: int


def unet(settings: UNetArchitecture, *, latent_channels: int, latent_pixels: int) -> UNet3DConditionModel:
    """A fresh UNet3DConditionModel for latents (clip, channel, frame, row, column)."""
    from diffusers.models.unets.unet_3d_condition import UNet3DConditionModel

    return UNet3DConditionModel(
        sample_size=latent_pixels,
        in_channels=latent_channels,
        out_channels=latent_channels,
        down_block_types=("CrossAttnDownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "CrossAttnUpBlock3D"),
        block_out_channels=settings.widths,
        layers_per_block=1,
        cross_attention_dim=settings.text_width,
        attention_head_dim=settings.head_width,
        norm_num_groups=settings.groups,
    )


def text_encoder(settings: UNetArchitecture, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A fresh CLIPTextModel for the denoiser to look at."""
    from transformers.models.clip.configuration_clip import CLIPTextConfig
    from transformers.models.clip.modeling_clip import CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.text_width,
        intermediate_size=settings.text_hidden,
        num_hidden_layers=settings.text_layers,
        num_attention_heads=settings.text_heads,
        max_position_embeddings=settings.tokens,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        projection_dim=settings.text_width,
    )
    return CLIPTextModel(config)


def scheduler() -> DDIMScheduler:
    """The noise schedule: a cosine, which leaves small latents more signal than Zeroscope's; v-prediction."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )
