"""A small BLIP that describes clips of the simulated world from b, the mean of its vision states over frames.

b will be regressed from brain responses, so half of the captions are decoded from a b that was
corrupted as a regression corrupts: noise, shrinkage towards the mean, a share of other clips.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from brainflix import training
from brainflix.checkpoints import Checkpoints
from brainflix.frozen import blueprints
from brainflix.phantom import world
from brainflix.phantom.captions import vocabulary
from brainflix.phantom.training import scenes

ATTRIBUTES = {
    "kind": world.KINDS,
    "colour": world.COLOURS,
    "motion": world.MOTIONS,
    "background": world.BACKGROUNDS,
}
STILL_ATTRIBUTES = ("kind", "colour", "background")
PLACE_BINS = 10  # of x, y and size each
_MEAN_PIXEL, _PIXEL_SCALE = 0.42, 5.0


@dataclass(frozen=True)
class CaptionerTraining:
    """How the captioner is trained.

    Attributes:
        sizes: of the model.
        frames: per clip.
        steps: optimiser steps.
        clips: clips per step, each with a caption.
        stills: single frames per step, which only the heads see.
        attribute_weight: of the heads' losses; the shipped model does not keep the heads.
        noise, shrinkage, leakage: largest corruption of b: noise in standard deviations, share of
            the batch's mean, share of differences between other clips.
        checkpoint_seconds: between saves of the state.
        optimisation: schedule and AdamW; one epoch of ``steps`` batches.
    """

    sizes: blueprints.TransformerSizes
    frames: int
    steps: int
    clips: int
    stills: int
    attribute_weight: float
    noise: float
    shrinkage: float
    leakage: float
    checkpoint_seconds: float
    learning_rate: float
    warmup_share: float
    weight_decay: float
    clip_norm: float
    precision: str


class CaptionLoss(nn.Module):
    """The model with heads that are thrown away later; calling it on scene numbers gives the loss.

    The heads read attributes from b, and from single frames also where the object is and how big, in
    bins: averaged over frames such features are a histogram of places, which tells motions apart.
    """

    def __init__(self, settings: CaptionerTraining, seed: int) -> None:
        super().__init__()
        self.settings, self.seed = settings, seed
        self.blip, self.tokenizer = blueprints.blip(settings.sizes, words=vocabulary())
        _centre_pixels(self.blip.vision_model.embeddings.patch_embedding)
        width = 2 * settings.sizes.width
        self.heads = nn.ModuleDict({name: _head(width, len(values)) for name, values in ATTRIBUTES.items()})
        self.place = nn.Linear(width, 3 * PLACE_BINS)

    def forward(self, rows: np.ndarray, generator: torch.Generator) -> Tensor:
        """Mean loss of scenes ``rows``: the first ``clips`` of them as clips, the others as stills."""
        settings = self.settings
        made, pictures, captions, _ = self._draw(rows[: settings.clips], settings.frames)
        b = self.embed(pictures)
        loss = self._attributes(_pooled(b), made, tuple(ATTRIBUTES))
        made, pictures, _, places = self._draw(rows[settings.clips :], 1)
        pooled = _pooled(self.embed(pictures))
        loss = loss + self._attributes(pooled, made, STILL_ATTRIBUTES) + self._places(pooled, places)
        both = torch.cat([b, self._corrupt(b, generator)])
        return settings.attribute_weight * loss + self._caption(both, captions * 2)

    def _draw(self, rows: np.ndarray, frames: int) -> tuple[list[world.Scene], np.ndarray, list[str], np.ndarray]:
        pixels = self.settings.sizes.pixels
        return scenes.clips(rows, frames=frames, pixels=pixels, seed=self.seed, stream=scenes.TRAINING)

    def embed(self, pictures: np.ndarray) -> Tensor:
        """b (clip, token, width) of uint8 (clip, frame, row, column, 3): pixels in [0, 1], mean over frames."""
        clips, frames = pictures.shape[:2]
        images = torch.from_numpy(pictures).flatten(0, 1).permute(0, 3, 1, 2).float() / 255
        states = self.blip.vision_model(images).last_hidden_state
        return states.unflatten(0, (clips, frames)).float().mean(1)

    def _attributes(self, pooled: Tensor, made: list[world.Scene], names: tuple[str, ...]) -> Tensor:
        truth = scenes.labels(made, names=ATTRIBUTES)
        losses = [nn.functional.cross_entropy(self.heads[n](pooled), torch.from_numpy(truth[n])) for n in names]
        return torch.stack(losses).mean()

    def _places(self, pooled: Tensor, places: np.ndarray) -> Tensor:
        """Cross-entropy of the bins of x, y (over the frame) and size (over 0.2 to 0.6 of it)."""
        share = torch.from_numpy(places[:, 0] - [0.0, 0.0, 0.2]) / torch.tensor([1.0, 1.0, 0.4])
        bins = (share * PLACE_BINS).long().clamp(0, PLACE_BINS - 1)
        logits = self.place(pooled).unflatten(1, (3, PLACE_BINS))
        return nn.functional.cross_entropy(logits.flatten(0, 1), bins.flatten())

    def _corrupt(self, b: Tensor, generator: torch.Generator) -> Tensor:
        settings, n = self.settings, len(b)
        amount = torch.rand(3, n, 1, 1, generator=generator)
        one, other = (b[torch.randperm(n, generator=generator)] for _ in range(2))
        mean, deviation = b.mean(0), b.std(0).detach()
        noise = torch.randn(b.shape, generator=generator) * deviation
        share = settings.shrinkage * amount[0]
        mixed = (1 - share) * b + share * mean
        return mixed + settings.noise * amount[1] * noise + settings.leakage * amount[2] * (one - other)

    def _caption(self, b: Tensor, captions: list[str]) -> Tensor:
        tokens = self.tokenizer(captions, padding=True, return_tensors="pt", return_token_type_ids=False)
        ids = tokens.input_ids
        ids[:, 0] = self.tokenizer.bos_token_id
        labels = ids.masked_fill(tokens.attention_mask == 0, -100)
        out = self.blip.text_decoder(
            input_ids=ids, attention_mask=tokens.attention_mask, encoder_hidden_states=b, labels=labels
        )
        return out.loss


def _head(width: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, classes))


def _pooled(b: Tensor) -> Tensor:
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
    optimisation = training.TrainingSettings(
        epochs=1,
        batch=settings.clips + settings.stills,
        accumulate=1,
        learning_rate=settings.learning_rate,
        warmup_epochs=settings.warmup_share,
        weight_decay=settings.weight_decay,
        betas=(0.9, 0.98),
        clip_norm=settings.clip_norm,
        precision=settings.precision,
    )
    store = Checkpoints(
        checkpoints, identity={"settings": asdict(settings), "seed": seed}, every_seconds=settings.checkpoint_seconds
    )
    curve = training.train(
        name="captioner",
        model=model,
        loss=model,
        n_rows=settings.steps * optimisation.batch,
        settings=optimisation,
        seed=seed,
        store=store,
    )
    blueprints.save(out, model.blip, model.tokenizer, pixels=settings.sizes.pixels)
    store.finish(curve)
