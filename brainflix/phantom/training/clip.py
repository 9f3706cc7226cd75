"""A small CLIP that matches clips of the simulated world with captions: its text tower gives alignment its targets.

Heads read the attributes from caption embeddings too: without them the text tower drops what the vision
tower cannot see, which is motion (the shipped vision tower tells it from single frames no better than
chance, and nothing in the pipeline uses that tower).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from brainflix import training
from brainflix.checkpoints import Checkpoints
from brainflix.frozen import blueprints
from brainflix.phantom.captions import vocabulary
from brainflix.phantom.training import heads, scenes

_PIXEL_MEAN, _PIXEL_DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class ClipTraining:
    """How the contrastive model is trained.

    Attributes:
        sizes: of the model.
        frames: per clip.
        texture_steps: first steps, on single frames: which background.
        still_steps: next steps, on single frames: all that a frame can tell.
        clip_steps: last steps, on clips with captions.
        scenes: per step.
        clips: how many of them are clips in the last steps; the others stay single frames.
        attribute_weight: of the heads' losses, on frames, clips and captions; the heads are not shipped.
        learning_rate: peak of a cosine after a linear rise over ``warmup_share`` of the steps.
        weight_decay, clip_norm, precision: as in :class:`brainflix.training.TrainingSettings`.
        checkpoint_seconds: between saves of the state.
    """

    sizes: blueprints.TransformerSizes
    frames: int
    texture_steps: int
    still_steps: int
    clip_steps: int
    scenes: int
    clips: int
    attribute_weight: float
    learning_rate: float
    warmup_share: float
    weight_decay: float
    clip_norm: float
    precision: Literal["float32", "bfloat16"]
    checkpoint_seconds: float

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages."""
        return self.texture_steps + self.still_steps + self.clip_steps


SETTINGS = ClipTraining


class ContrastiveLoss(nn.Module):
    """The model with its heads; calling it on scene numbers gives the loss."""

    def __init__(self, settings: ClipTraining, seed: int) -> None:
        super().__init__()
        self.settings, self.seed = settings, seed
        self.clip, self.tokenizer = blueprints.clip(settings.sizes, words=vocabulary())
        self.heads, self.text_heads = (heads.Heads(settings.sizes.width) for _ in range(2))
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, rows: np.ndarray, generator: torch.Generator) -> Tensor:
        """Mean loss of scenes ``rows`` at this stage: textures, then stills, then clips with captions."""
        settings, step = self.settings, int(self.step)
        self.step += 1
        clips = settings.clips if step >= settings.texture_steps + settings.still_steps else 0
        made, pictures, others, places = self._draw(rows[clips:], 1)
        features = self.images(pictures)[:, 0]
        if step < settings.texture_steps:
            return self.heads.attributes(features, made, heads.TEXTURE)
        loss = self.heads.attributes(features, made, heads.STILL) + self.heads.places(features, places[:, 0])
        if not clips:
            return settings.attribute_weight * loss
        made, pictures, captions, _ = self._draw(rows[:clips], settings.frames)
        features, texts = self.images(pictures), self.texts(captions + others)
        loss = loss + self.heads.attributes(features.mean(1), made, heads.CLIP)
        loss = loss + self.text_heads.attributes(texts[:clips], made, heads.CLIP)
        return settings.attribute_weight * loss + self._contrast(video_embedding(features), texts)

    def _draw(self, rows: np.ndarray, frames: int) -> tuple:
        pixels = self.settings.sizes.pixels
        return scenes.clips(rows, frames=frames, pixels=pixels, seed=self.seed, stream=scenes.TRAINING)

    def images(self, pictures: np.ndarray) -> Tensor:
        """Projected frame embeddings (clip, frame, width) of uint8 (clip, frame, row, column, 3)."""
        images = torch.from_numpy(pictures).flatten(0, 1).permute(0, 3, 1, 2).float() / 255
        mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (_PIXEL_MEAN, _PIXEL_DEVIATION))
        pooled = self.clip.vision_model((images - mean) / deviation).pooler_output
        return self.clip.visual_projection(pooled).float().unflatten(0, pictures.shape[:2])

    def texts(self, captions: list[str]) -> Tensor:
        """Projected caption embeddings (caption, width)."""
        tokens = self.tokenizer(captions, padding=True, return_tensors="pt")
        return self.clip.text_projection(self.clip.text_model(**tokens).pooler_output).float()

    def _contrast(self, videos: Tensor, texts: Tensor) -> Tensor:
        """Symmetric InfoNCE (Radford et al. 2021), the scale capped at 100.

        Args:
            texts: of the videos, then others that only stand against them.
        """
        scale = self.clip.logit_scale.exp().clamp(max=100)
        logits = scale * videos @ nn.functional.normalize(texts, dim=-1).T
        truth = torch.arange(len(logits))
        backward = nn.functional.cross_entropy(logits[:, truth].T, truth)
        return (nn.functional.cross_entropy(logits, truth) + backward) / 2


def video_embedding(frames: Tensor) -> Tensor:
    """(clip, width), normalised: the mean of normalised frame embeddings (clip, frame, width)."""
    return nn.functional.normalize(nn.functional.normalize(frames, dim=-1).mean(1), dim=-1)


def train(*, out: Path, settings: ClipTraining, seed: int, checkpoints: Path, threads: int) -> None:
    """Train the model and write its checkpoint folder ``out``."""
    training.use_threads(threads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ContrastiveLoss(settings, seed)
    store = Checkpoints(
        checkpoints, identity={"settings": asdict(settings), "seed": seed}, every_seconds=settings.checkpoint_seconds
    )
    schedule = scenes.Schedule(steps=settings.steps, batch=settings.scenes, learning_rate=settings.learning_rate)
    scenes.run("clip", model, schedule, settings, seed=seed, store=store)
    blueprints.save(out, model.clip, model.tokenizer, pixels=settings.sizes.pixels)
