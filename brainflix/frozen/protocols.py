"""What a pretrained model must be able to do here, and the numbers that say how it does it.

Layouts are fixed: ``frames`` is uint8 (clip, frame, row, column, 3); a latent z is float32
(clip, channel, frame, row, column), already multiplied by the VAE's scaling factor; an image
embedding b is float32 (clip, token, width); text states c are float32 (caption, token, width).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from brainflix.errors import InputError

Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class LatentSettings:
    """How a clip becomes a latent z.

    Attributes:
        frames: frames per clip, spread evenly.
        pixels: height and width of a frame, px; a factor-8 VAE gives floor(pixels / 8).
        posterior: ``mode`` of the VAE's posterior, or a seeded ``sample`` (released code).
        posterior_seed: seed of the samples; unused with ``mode``.
        precision: arithmetic of the VAE; the halves need a GPU.
    """

    frames: int
    pixels: int
    posterior: Literal["mode", "sample"]
    posterior_seed: int
    precision: Precision


@dataclass(frozen=True)
class BlipSettings:
    """How a clip becomes an image embedding b.

    Attributes:
        frames: frames per clip, spread evenly; b is the mean over them.
        pixels: height and width of a frame, px.
        pixel_scale: ``unit`` is [0, 1] as in the released code; ``clip`` also takes off CLIP's mean
            and divides by its standard deviation, as BLIP was trained. Not interchangeable.
        precision: arithmetic of the vision tower; the halves need a GPU.
    """

    frames: int
    pixels: int
    pixel_scale: Literal["unit", "clip"]
    precision: Precision


@dataclass(frozen=True)
class TextSettings:
    """How captions become text states c or text embeddings e.

    Attributes:
        precision: arithmetic of the text encoder; the halves need a GPU.
    """

    precision: Precision


@dataclass(frozen=True)
class ClassSettings:
    """How a clip becomes class log-probabilities, frame by frame.

    Attributes:
        frames: frames per clip, spread evenly.
        pixels: height and width at which a frame is handed over, px (the classifier resizes it).
        precision: arithmetic of the classifier; the halves need a GPU.
    """

    frames: int
    pixels: int
    precision: Precision


TARGET_SETTINGS = {  # by kind of target
    "latent": LatentSettings,
    "blip": BlipSettings,
    "text-states": TextSettings,
    "text-embedding": TextSettings,
    "classes": ClassSettings,
}


@dataclass(frozen=True)
class DecodingSettings:
    """How a caption is decoded from an image embedding (section 4, stage 3).

    Attributes:
        prompt: text the caption continues; not part of the result.
        beams: 1 is greedy.
        min_length, max_length: tokens.
        count_prompt: whether the lengths count the prompt and the start token, as in the released code.
        repetition_penalty: divides the scores of tokens that were used already, prompt included.
    """

    prompt: str
    beams: int
    min_length: int
    max_length: int
    count_prompt: bool
    repetition_penalty: float


@dataclass(frozen=True)
class GenerationSettings:
    """How a video is made from a latent and text states (section 4, stage 3).

    Attributes:
        frames, pixels: size of a video made without a latent.
        scheduler: ``dpm++`` (released code) or ``ddim``.
        timestep_spacing: where the steps lie; said here because schedulers disagree when it is not.
        steps: nominal number of denoising steps; ``int(steps * strength)`` are executed.
        strength: how far up the noise schedule the latent is re-noised, 0 to 1.
        guidance: classifier-free guidance scale; 1 switches it off.
        negative_prompt: what guidance leads away from.
        latent_factor: multiplies z first, against the shrinkage of regression; 1 leaves it.
        batch: clips denoised together.
        precision: arithmetic of all networks; the halves need a GPU.
    """

    frames: int
    pixels: int
    scheduler: Literal["dpm++", "ddim"]
    timestep_spacing: Literal["leading", "linspace", "trailing"]
    steps: int
    strength: float
    guidance: float
    negative_prompt: str
    latent_factor: float
    batch: int
    precision: Precision

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise InputError.about("generation.strength", expected="more than 0, at most 1", found=f"{self.strength}")


class VideoGenerator(Protocol):
    """A text-conditioned latent video diffusion model."""

    def latent_shape(self, *, frames: int, pixels: int) -> tuple[int, int, int, int]:
        """(channel, frame, row, column) of the latent of a clip."""

    def encode(self, frames: np.ndarray, *, seeds: Sequence[int] | None) -> np.ndarray:
        """z of clips: the posterior's mode, or with ``seeds`` (one a clip) a sample of it."""

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Frames of latents."""

    def text_states(self, captions: Sequence[str]) -> np.ndarray:
        """c of captions: what the denoiser's cross-attention reads."""

    def generate(
        self,
        *,
        states: np.ndarray,
        latents: np.ndarray | None,
        seeds: Sequence[int],
        settings: GenerationSettings,
    ) -> np.ndarray:
        """Frames of one video per row of ``states``; no latents: from pure noise, at strength 1."""


class Captioner(Protocol):
    """An image captioner whose text decoder reads an image embedding."""

    def embed(self, frames: np.ndarray, *, pixel_scale: str) -> np.ndarray:
        """b of clips: the vision tower's last hidden states, averaged over frames."""

    def describe(self, embeddings: np.ndarray, *, settings: DecodingSettings) -> list[str]:
        """One caption per embedding."""


class TextEncoder(Protocol):
    """A text tower with a pooled, projected output."""

    def embed(self, captions: Sequence[str]) -> np.ndarray:
        """float32 (caption, width), not normalised."""


class ImageEncoder(Protocol):
    """A vision tower with a pooled, projected output in the space of a TextEncoder."""

    def embed(self, images: np.ndarray) -> np.ndarray:
        """float32 (image, width) of uint8 (image, row, column, 3), not normalised."""


class Classifier(Protocol):
    """An image classifier."""

    def log_probabilities(self, frames: np.ndarray) -> np.ndarray:
        """float32 (image, class) of uint8 images (image, row, column, 3)."""
