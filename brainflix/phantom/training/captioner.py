"""A small BLIP that describes clips of the simulated world from b, the mean of its vision states over frames.

b will be regressed from brain responses, so half of the captions are decoded from a b that was
corrupted as a regression corrupts: noise, shrinkage towards the mean, a share of other clips.
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

_MEAN_PIXEL, _PIXEL_SCALE = 0.42, 5.0


@dataclass(frozen=True)
class CaptionerTraining:
    """How the captioner is trained.

    Attributes:
        sizes: of the model.
        frames: per clip.
        texture_steps: first steps, on single frames: which background.
        still_steps: next steps, on single frames: all that a frame can tell.
        clip_steps: next steps, on clips with captions and on single frames.
        refine_steps: last steps, on clips with captions alone, on a schedule of their own.
        scenes: per step.
        clips: how many of them are clips in the clip steps (the others stay single frames), and all
            that there are in the last steps.
        attribute_weight: of the heads' losses; the shipped model does not keep the heads.
        noise, shrinkage, leakage: largest corruption of b: noise in standard deviations, share of
            the batch's mean, share of differences between other clips.
        learning_rate, refine_learning_rate: peaks of cosines after a linear rise over ``warmup_share`` of
            the steps.
        weight_decay, clip_norm, precision: as in :class:`brainflix.training.TrainingSettings`.
        checkpoint_seconds: between saves of the state.
    """

    sizes: blueprints.TransformerSizes
    frames: int
    texture_steps: int
    still_steps: int
    clip_steps: int
    refine_steps: int
    scenes: int
    clips: int
    attribute_weight: float
    noise: float
    shrinkage: float
    leakage: float
    learning_rate: float
    refine_learning_rate: float
    warmup_share: float
    weight_decay: float
    clip_norm: float
    precision: Literal["float32", "bfloat16"]
    checkpoint_seconds: float

    @property
    def steps(self) -> int:
        """Optimiser steps before the last stage."""
        return self.texture_steps + self.still_steps + self.clip_steps


SETTINGS = CaptionerTraining


class CaptionLoss(nn.Module):
    """The model with its heads; calling it on scene numbers gives the loss."""

    def __init__(self, settings: CaptionerTraining, seed: int) -> None:
        super().__init__()
        self.settings, self.seed = settings, seed
        self.blip, self.tokenizer = blueprints.blip(settings.sizes, words=vocabulary())
        _centre_pixels(self.blip.vision_model.embeddings.patch_embedding)
        self.heads = heads.Heads(2 * settings.sizes.width)
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, rows: np.ndarray, generator: torch.Generator) -> Tensor:
        """Mean loss of scenes ``rows`` at this stage: textures, then stills, then clips with captions."""
        settings, step = self.settings, int(self.step)
        self.step += 1
        if step >= settings.steps:
            return self._clips(rows + settings.steps * settings.scenes, generator)[0]
        clips = settings.clips if step >= settings.texture_steps + settings.still_steps else 0
        made, pictures, _, places = self._draw(rows[clips:], 1)
        features = _pooled(self.embed(pictures))
        if step < settings.texture_steps:
            return self.heads.attributes(features, made, heads.TEXTURE)
        loss = self.heads.attributes(features, made, heads.STILL) + self.heads.places(features, places[:, 0])
        if not clips:
            return settings.attribute_weight * loss
        captioning, attributes = self._clips(rows[:clips], generator)
        return settings.attribute_weight * (loss + attributes) + captioning

    def _clips(self, rows: np.ndarray, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Losses of the captions (decoded from b and from a corrupted b) and of the heads."""
        made, pictures, captions, _ = self._draw(rows, self.settings.frames)
        b = self.embed(pictures)
        both = torch.cat([b, self._corrupt(b, generator)])
        return self._caption(both, captions * 2), self.heads.attributes(_pooled(b), made, heads.CLIP)

    def _draw(self, rows: np.ndarray, frames: int) -> tuple:
        pixels = self.settings.sizes.pixels
        return scenes.clips(rows, frames=frames, pixels=pixels, seed=self.seed, stream=scenes.TRAINING)

    def embed(self, pictures: np.ndarray) -> Tensor:
        """b (clip, token, width) of uint8 (clip, frame, row, column, 3): pixels in [0, 1], mean over frames."""
        images = torch.from_numpy(pictures).flatten(0, 1).permute(0, 3, 1, 2).float() / 255
        states = self.blip.vision_model(images).last_hidden_state
        return states.unflatten(0, pictures.shape[:2]).float().mean(1)

    def _corrupt(self, b: Tensor, generator: torch.Generator) -> Tensor:
        settings, n = self.settings, len(b)
        amount = torch.rand(3, n, 1, 1, generator=generator)
        one, other = (b[torch.randperm(n, generator=generator)] for _ in range(2))
        noise = torch.randn(b.shape, generator=generator) * b.std(0).detach()
        share = settings.shrinkage * amount[0]
        mixed = (1 - share) * b + share * b.mean(0)
        return mixed + settings.noise * amount[1] * noise + settings.leakage * amount[2] * (one - other)

    def _caption(self, b: Tensor, captions: list[str]) -> Tensor:
        tokens = self.tokenizer(captions, padding=True, return_tensors="pt", return_token_type_ids=False)
        ids, mask = tokens.input_ids, tokens.attention_mask
        ids[:, 0] = self.tokenizer.bos_token_id
        labels = ids.masked_fill(mask == 0, -100)
        decoder = self.blip.text_decoder
        return decoder(input_ids=ids, attention_mask=mask, encoder_hidden_states=b, labels=labels).loss


def _pooled(b: Tensor) -> Tensor:
    """Features (clip, 2 * width): the class token beside the mean of the others."""
    return torch.cat([b[:, 0], b[:, 1:].mean(1)], dim=1)


def _centre_pixels(convolution: nn.Conv2d) -> None:
    """Start as if pixels were centred and scaled: in [0, 1] their mean would drown the textures."""
    with torch.no_grad():
        convolution.weight *= _PIXEL_SCALE
        convolution.bias.copy_(-_MEAN_PIXEL * convolution.weight.sum((1, 2, 3)))


def train(*, out: Path, settings: CaptionerTraining, seed: int, checkpoints: Path, threads: int) -> None:
    """Train the captioner and write its checkpoint folder ``out``."""
    training.use_threads(threads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CaptionLoss(settings, seed)
    identity = {"settings": asdict(settings), "seed": seed}
    stages = {
        "main": (settings.steps, settings.scenes, settings.learning_rate),
        "refine": (settings.refine_steps, settings.clips, settings.refine_learning_rate),
    }
    for stage, (steps, batch, learning_rate) in stages.items():
        store = Checkpoints(checkpoints / stage, identity=identity, every_seconds=settings.checkpoint_seconds)
        schedule = scenes.Schedule(steps=steps, batch=batch, learning_rate=learning_rate)
        scenes.run(f"captioner ({stage})", model, schedule, settings, seed=seed, store=store)
    blueprints.save(out, model.blip, model.tokenizer, pixels=settings.sizes.pixels)
