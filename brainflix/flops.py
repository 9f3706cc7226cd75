"""Operations that networks take, in closed form: 2 per multiply-add, matrix products only; tests count them.

A training step takes three forward passes: one, and two of products for the gradients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TRAINING = 3.0


def transformer(tokens: int, width: int, depth: int, hidden: int) -> float:
    """Forward pass of pre-norm blocks over a sequence: qkv, attention, output, MLP."""
    linear = 2.0 * tokens * width * (4 * width + 2 * hidden)
    attention = 4.0 * tokens**2 * width
    return depth * (linear + attention)


def encoder(model: Mapping[str, Any], *, vertices: int, visible: float = 1.0) -> float:
    """Forward pass of the MBM encoder over a share of a response's patches.

    Args:
        model: as :class:`brainflix.models.settings.MbmSettings`.
    """
    patches = -(-vertices // model["patch"])
    seen = patches if visible == 1.0 else max(1, int(patches * visible))
    embedding = 2.0 * seen * model["patch"] * model["width"]
    hidden = int(model["width"] * model["mlp_ratio"])
    return embedding + transformer(seen + 1, model["width"], model["depth"], hidden)


def masked_model(model: Mapping[str, Any], *, vertices: int) -> float:
    """Forward pass of masked brain modelling: encoder over what is visible, decoder over all."""
    patches, width = -(-vertices // model["patch"]), model["decoder_width"]
    share = 1 - model["mask_ratio"]
    seen = max(1, int(patches * share))
    decoder = 2.0 * (seen + 1) * model["width"] * width + 2.0 * (patches - seen) * width * model["patch"]
    decoder += transformer(patches + 1, width, model["decoder_depth"], int(width * model["mlp_ratio"]))
    return encoder(model, vertices=vertices, visible=share) + decoder


def mlp(inputs: int, outputs: int, settings: Mapping[str, Any]) -> float:
    """Forward pass of the residual MLP."""
    hidden = settings["hidden"]
    return 2.0 * (inputs * hidden + settings["blocks"] * hidden**2 + hidden * outputs)


def ridge(rows: int, features: int, targets: int, stimuli: int) -> float:
    """Fit of all penalties: Gram matrix of the features and its eigenvectors, Gram matrix of the targets."""
    small = min(rows, features)
    return 2.0 * rows * features * small + 20.0 * small**3 + 1.0 * stimuli**2 * targets + 4.0 * rows * small * stimuli


@dataclass(frozen=True)
class Frozen:
    """Operations of a pretrained model; tests/frozen/test_flops.py holds the headline's to torch's counter.

    Attributes:
        pixels: of the frames that the counts are for; others scale with the area.
        encode, decode: a frame through the autoencoder, or through the vision tower.
        denoise: a frame through the denoiser, once.
        text: a caption through the text tower.
        channels, factor: of a latent: its channels, and pixels a latent pixel.
        tokens, width: of an image embedding at ``pixels``, or of text states.
        patch: pixels of an image token.
    """

    pixels: int = 1
    encode: float = 0.0
    decode: float = 0.0
    denoise: float = 0.0
    text: float = 0.0
    channels: int = 0
    factor: int = 1
    tokens: int = 0
    width: int = 0
    patch: int = 0

    def area(self, pixels: int) -> float:
        """How much larger a frame is than those that were counted."""
        return (pixels / self.pixels) ** 2


# By their names in the config. sdxl, eilev and blip's words are not counted but reckoned: 2 operations per weight and
# token (sdxl's denoiser: its published 6 TFLOP at 128 x 128, by the area).
FROZEN = {
    "zeroscope": Frozen(
        pixels=264, encode=0.29e12, decode=0.66e12, denoise=0.356e12, text=46e9, channels=4, factor=8, tokens=77,
        width=1024,
    ),
    "sdxl": Frozen(pixels=264, encode=0.29e12, decode=0.66e12, denoise=0.8e12, text=170e9, channels=4, factor=8),
    "blip": Frozen(pixels=240, encode=41e9, text=0.3e9, width=768, patch=16),
    "openclip": Frozen(text=47e9, width=1024),
    "eilev": Frozen(pixels=224, encode=0.52e12, text=5.4e9),
    "vit": Frozen(pixels=224, encode=35e9),
}  # fmt: skip


def latent_numbers(model: Frozen, *, frames: int, pixels: int) -> int:
    """How many numbers a latent has."""
    return model.channels * frames * (pixels // model.factor) ** 2


def generation(model: Frozen, settings: Mapping[str, Any]) -> float:
    """Operations of one generated clip: denoising with or without guidance, then decoding."""
    strength = settings["strength"] if model.denoise else 1.0
    steps = max(1, math.floor(settings["steps"] * strength)) * (2 if settings["guidance"] != 1 else 1)
    frames = 1 if settings["still"] else settings["frames"]
    return frames * model.area(settings["pixels"]) * (steps * model.denoise + model.decode)
