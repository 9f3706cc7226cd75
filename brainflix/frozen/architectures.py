"""Blueprints of the tiny generator: real diffusers and transformers classes at the smallest useful widths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


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
