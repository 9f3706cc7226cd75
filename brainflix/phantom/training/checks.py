"""How good the backbones of the demo are, on validation scenes that training never drew.

Loads them as any pretrained model is loaded. Chance is one in six (kind, colour, background) or one in
five (motion).
"""

from __future__ import annotations

from itertools import product

import numpy as np

from brainflix import frozen
from brainflix.frozen.protocols import DecodingSettings, GenerationSettings
from brainflix.phantom.attributes import read_videos
from brainflix.phantom.captions import caption, read_attributes
from brainflix.phantom.training import scenes
from brainflix.phantom.training.heads import ATTRIBUTES
from brainflix.phantom.world import Scene

FRAMES, PIXELS = 8, 64
Accuracies = dict[str, float]


def caption_accuracies(
    name: str, *, decoding: DecodingSettings, clips: int, seed: int, noise: float = 0.0, shrinkage: float = 0.0
) -> Accuracies:
    """How often captions decoded from b name the right value, per attribute.

    Args:
        noise: standard deviations of noise added to b, each number on its own.
        shrinkage: share of the mean over clips mixed into b.
    """
    made, frames, _, _ = scenes.clips(range(clips), frames=FRAMES, pixels=PIXELS, seed=seed, stream=scenes.VALIDATION)
    captioner = frozen.captioner(name, precision="float32")
    b = captioner.embed(frames, pixel_scale="unit")
    spread = np.random.default_rng([seed, scenes.VALIDATION]).standard_normal(b.shape) * b.std(0)
    b = (1 - shrinkage) * b + shrinkage * b.mean(0) + noise * spread
    said = captioner.describe(b.astype(np.float32), settings=decoding)
    return _accuracies(made, [read_attributes(sentence) for sentence in said])


def retrieval_accuracies(name: str, *, clips: int, seed: int) -> tuple[Accuracies, Accuracies]:
    """How often the best of 1,080 captions has the right value, for clips and for other wordings of themselves.

    Every combination of attributes is one plain caption; the first result matches clips with them, the
    second the clips' own captions in any wording, which says how well text embeddings tell attributes.
    """
    made, frames, texts, _ = scenes.clips(
        range(clips), frames=FRAMES, pixels=PIXELS, seed=seed, stream=scenes.VALIDATION
    )
    encoder = frozen.text_encoder(name, precision="float32")
    values = list(product(*ATTRIBUTES.values()))
    gallery = [dict(zip(ATTRIBUTES, combination, strict=True)) for combination in values]
    plain = _unit(encoder.embed([caption(_scene(made[0], answer), paraphrase=0) for answer in gallery]))
    accuracies = []
    for query in (_video_embeddings(name, frames), _unit(encoder.embed(texts))):
        best = (query @ plain.T).argmax(axis=1)
        accuracies.append(_accuracies(made, [gallery[i] for i in best]))
    return accuracies[0], accuracies[1]


def generation_accuracies(
    name: str, *, generation: GenerationSettings, clips: int, seed: int
) -> tuple[Accuracies, Accuracies, float]:
    """How good videos made from the true latent and the true caption are.

    Returns:
        how often the attributes read from the generated videos, and from the true ones (what the reading is
        worth), are right; and the autoencoder's round trip: mean peak signal-to-noise ratio over clips, dB.
    """
    made, frames, texts, _ = scenes.clips(
        range(clips), frames=FRAMES, pixels=PIXELS, seed=seed, stream=scenes.VALIDATION
    )
    model = frozen.generator(name, precision="float32")
    z = model.encode(frames, seeds=None)
    error = (model.decode(z).astype(float) - frames) ** 2
    psnr = float(np.mean(10 * np.log10(255**2 / error.mean(axis=(1, 2, 3, 4)))))
    videos = model.generate(
        states=model.text_states(texts),
        latents=z,
        seeds=frozen.clip_seeds(seed, [str(i) for i in range(clips)]),
        settings=generation,
    )
    return _accuracies(made, read_videos(videos)), _accuracies(made, read_videos(frames)), psnr


def _scene(scene: Scene, attributes: dict[str, str]) -> Scene:
    return Scene(**{**vars(scene), **attributes})


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _video_embeddings(name: str, frames: np.ndarray) -> np.ndarray:
    """Means of normalised frame embeddings (clip, width) of uint8 (clip, frame, row, column, 3)."""
    images = frozen.image_encoder(name, precision="float32").embed(frames.reshape(-1, *frames.shape[2:]))
    return _unit(_unit(images).reshape(*frames.shape[:2], -1).mean(axis=1))


def _accuracies(made: list[Scene], answers: list[dict[str, str]]) -> Accuracies:
    return {
        name: float(
            np.mean([answer.get(name) == getattr(scene, name) for scene, answer in zip(made, answers, strict=True)])
        )
        for name in ATTRIBUTES
    }
