"""Step `generate`: from a latent and a caption to a video, clip by clip.

Every clip has its own noise, seeded by its name, and every batch is kept as soon as it is made: a job that is
killed goes on where it was, and makes the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brainflix import artifacts, frozen, training
from brainflix.artifacts import Samples
from brainflix.atomic import replacing
from brainflix.errors import InputError
from brainflix.frozen.protocols import GenerationSettings, VideoGenerator
from brainflix.pairs import MADE, SOURCES, select, train_moments
from brainflix.settings import Settings

AXES = ("frame", "row", "column", "rgb")


@dataclass(frozen=True)
class GenerateSettings(GenerationSettings):
    """How videos are made from what was predicted.

    Attributes:
        match_variance: stretch a predicted latent around the training mean until it varies, channel by
            channel, as much as training latents do; regression shrinks, and re-noising drowns what is shrunk.
            Each clip by its own numbers, so nothing is learned from other test clips.
        still: show the first frame throughout (Table 4, "image-only").
    """

    match_variance: bool
    still: bool


@dataclass(frozen=True)
class _Inputs:
    """What a video is made from, row by row: one of captions and states conditions it."""

    stimuli: list[str]
    captions: list[str]
    states: np.ndarray | None
    latents: np.ndarray | None

    def part(self, rows: slice) -> _Inputs:
        return _Inputs(
            self.stimuli[rows],
            self.captions[rows],
            None if self.states is None else self.states[rows],
            None if self.latents is None else self.latents[rows],
        )

    def digest(self, **other: object) -> str:
        """A name for these inputs and ``other`` (JSON-able)."""
        found = hashlib.sha256(json.dumps([self.stimuli, self.captions, other], sort_keys=True).encode())
        for array in (self.states, self.latents):
            found.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
        return found.hexdigest()[:16]


def generate(
    *,
    captions: Path,
    latents: Path | None = None,
    states: Path | None = None,
    targets: Path,
    generator: str,
    variant: str,
    subject: str,
    settings: Settings[GenerateSettings],
    seed: int,
    checkpoints: Path,
    threads: int,
    out: Path,
) -> None:
    """Generate videos from latents and captions.

    Args:
        captions: table written by ``describe``; its clips are made, in its order.
        latents: predicted z, or the true one; none starts from pure noise.
        states: predicted (or true) raw text states that condition in place of the captions.
        targets: true z of the dataset; its training rows say how much latents vary. Without latents any
            targets of the dataset: they say where the data come from.
        generator: name or folder of the video diffusion model.
        variant, subject: written into the file.
        checkpoints: folder for finished batches; they are gone once ``out`` is whole.
        out: Samples ``videos``, uint8 (clip, frame, row, column, rgb).

    Raises:
        InputError: a clip has no latent or states, latents and targets were made differently, or simulated and
            real data would be mixed.
    """
    training.use_threads(threads)
    inputs, about = _read(captions, latents, states, targets, settings)
    model = frozen.generator(generator, precision=settings.precision)
    folder = checkpoints / inputs.digest(generator=generator, settings=asdict(settings), seed=seed)
    batches = []
    for start in range(0, len(inputs.stimuli), settings.batch):
        batches.append(folder / f"batch-{start:05d}.npy")
        if not batches[-1].exists():
            _save(batches[-1], _make(inputs.part(slice(start, start + settings.batch)), model, seed, settings))
        print(
            f"generate: {min(start + settings.batch, len(inputs.stimuli))} of {len(inputs.stimuli)}",
            flush=True,
        )
    about |= {"variant": variant, "subject": subject, "seed": seed, "generator": generator}
    _write(out, inputs.stimuli, batches, {**about, "settings": asdict(settings)})
    _remove(folder)


def _remove(folder: Path) -> None:
    """Delete a folder of batches under a name of its own first, so that nobody finds half of it."""
    gone = folder.with_name(f"{folder.name}.{os.getpid()}.gone")
    with suppress(FileNotFoundError):  # a job orphaned by a killed workflow has made the same, and deleted it
        folder.rename(gone)
        shutil.rmtree(gone)
    with suppress(OSError):  # batches of other inputs are there
        folder.parent.rmdir()


def _read(
    captions: Path, latents: Path | None, states: Path | None, targets: Path, settings: GenerateSettings
) -> tuple[_Inputs, dict[str, object]]:
    table = artifacts.read_table(captions, columns=["stimulus", "caption_index", "caption"])
    names = list(table["stimulus"])
    truth = artifacts.read(targets, kind="targets", load=False)
    sources = {path: artifacts.read(path, kind=SOURCES, load=False) for path in (latents, states) if path}
    about = artifacts.common_about([truth.about, *(s.about for s in sources.values())], "dataset")
    if latents:
        artifacts.common_about([truth.about, sources[latents].about], *MADE)
    z = select(sources[latents], names, where=latents) if latents else None
    if z is not None and z.shape[1:] != truth.values.shape[1:]:
        expected = f"latents of shape {truth.values.shape[1:]} as in {targets}"
        raise InputError.about(latents, expected=expected, found=str(z.shape[1:]))
    if z is not None and settings.match_variance and sources[latents].kind == "predictions":
        z = match_variance(z, truth)
    c = select(sources[states], names, where=states) if states else None
    return _Inputs(names, list(table["caption"]), c, z), about


def match_variance(predicted: np.ndarray, targets: Samples) -> np.ndarray:
    """Stretch each latent around the training mean to the training targets' standard deviation per channel.

    A latent that equals the mean (up to rounding) stays as it is.

    Args:
        predicted: float32 (clip, channel, frame, row, column).
    """
    if targets.axes[0] != "channel":
        raise InputError(f"targets: expected latents with axes (channel, ...), found {targets.axes}")
    mean, variance = train_moments(targets)
    within = tuple(range(1, variance.ndim))
    wanted = np.sqrt(variance.mean(axis=within)).reshape(1, -1, *(1,) * len(within))
    away = predicted.astype(np.float64) - mean
    found = np.sqrt(np.mean(away**2, axis=tuple(axis + 1 for axis in within), keepdims=True))
    stretch = np.where(found > 1e-4 * wanted, wanted / np.maximum(found, 1e-30), 1.0)
    return (mean + stretch * away).astype(np.float32)


def _make(part: _Inputs, model: VideoGenerator, seed: int, settings: GenerateSettings) -> np.ndarray:
    states = model.text_states(part.captions) if part.states is None else part.states
    seeds = frozen.clip_seeds(seed, part.stimuli)
    videos = model.generate(states=states, latents=part.latents, seeds=seeds, settings=settings)
    return np.repeat(videos[:, :1], videos.shape[1], axis=1) if settings.still else videos


def _save(path: Path, videos: np.ndarray) -> None:
    with replacing(path) as partial, partial.open("wb") as file:
        np.save(file, videos, allow_pickle=False)


def _write(out: Path, stimuli: list[str], batches: list[Path], about: dict[str, object]) -> None:
    first = np.load(batches[0], mmap_mode="r", allow_pickle=False)
    shape, rows = (len(stimuli), *first.shape[1:]), pd.DataFrame({"stimulus": stimuli})
    with artifacts.create(
        out, kind="videos", shape=shape, dtype=np.uint8, rows=rows, axes=AXES, unit="sRGB", about=about
    ) as values:
        start = 0
        for path in batches:
            videos = np.load(path, allow_pickle=False)
            values[start : start + len(videos)] = videos
            start += len(videos)
