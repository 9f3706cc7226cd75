"""Step `extract`: what a stimulus is to a frozen model. One verb for every kind of target:

- ``latent``: z of the video generator, (channel, frame, row, column), scaled (section 4, stage 2);
- ``blip``: b, the captioner's vision states averaged over frames, (token, width);
- ``text-states``: c, what the generator's cross-attention reads, averaged over a clip's captions, (token, width);
- ``text-embedding``: e, CLIP's pooled text embedding, normalised per caption, then averaged, (width);
- ``classes``: log-probabilities of a classifier, frame by frame, (frame, class); of test stimuli only, as
  nothing learns from them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from brainflix import artifacts, frozen, training
from brainflix.datasets import is_simulated, video
from brainflix.datasets.base import STIMULI_COLUMNS
from brainflix.errors import InputError
from brainflix.frozen.protocols import TARGET_SETTINGS, BlipSettings, ClassSettings, LatentSettings, TextSettings
from brainflix.frozen.revisions import revision
from brainflix.settings import Options, build

CLIPS_AT_ONCE = 16
Rows = pd.DataFrame


@dataclass(frozen=True)
class _Target:
    """A kind of target: its settings, the names of its axes, and how to make it.

    Attributes:
        batches: (backbone, settings, stimuli) to arrays (clip, *shape), in the order of stimuli; for
            texts the table has a column ``captions``, a list of sentences each.
        splits: of which stimuli.
    """

    settings: type
    axes: tuple[str, ...]
    unit: str
    batches: Callable[[str, Any, Rows], Iterator[np.ndarray]]
    splits: tuple[str, ...] = ("train", "test")


def extract(
    *,
    name: str,
    dataset: str,
    root: Path,
    stimuli: Path,
    captions: Path | None = None,
    target_kind: Literal["latent", "blip", "text-states", "text-embedding", "classes"],
    backbone: str,
    settings: Options,
    each: bool = False,
    threads: int,
    out: Path,
) -> None:
    """Compute a target for every stimulus (``classes``: every test stimulus).

    Args:
        name: what the config calls the dataset; written into the file.
        dataset, root: its adapter, and the folder that holds the download.
        stimuli: table that `index` wrote.
        captions: table that `caption` wrote; for the text kinds only.
        target_kind: what to compute.
        backbone: name or folder of the frozen model, see brainflix.frozen.
        settings: LatentSettings, BlipSettings, TextSettings or ClassSettings, by the kind.
        each: for the text kinds: a row per caption, those of a stimulus in a row, in place of their mean.
        threads: CPU threads.
        out: Samples ``targets``, float32; rows name stimulus and split, in the order of ``stimuli``.

    Raises:
        InputError: there is no stimulus, a movie does not decode, a caption is missing, or there is no such model.
    """
    training.use_threads(threads)
    target = TARGETS[target_kind]
    chosen = build(target.settings, settings, where="settings")
    table = artifacts.read_table(stimuli, columns=STIMULI_COLUMNS)
    table = table[table["split"].isin(target.splits)]
    if table.empty:
        raise InputError.about(stimuli, expected=f"stimuli of split {' or '.join(target.splits)}", found="none")
    if target.settings is TextSettings:
        table = table.assign(captions=_captions(captions, list(table["stimulus"])))
    elif each:
        raise InputError.about("extract --each", expected="a target made from text", found=target_kind)
    if each:
        table = table.explode("captions")
        table["captions"] = [[caption] for caption in table["captions"]]
    about = {
        "dataset": name,
        "simulated": is_simulated(root),
        "target_kind": target_kind,
        "model": backbone,
        "settings": asdict(chosen),
        **({"each": True} if each else {}),
    }
    _write(out, target, table, target.batches(backbone, chosen, table), about)


def _write(out: Path, target: _Target, table: Rows, batches: Iterator[np.ndarray], about: dict[str, Any]) -> None:
    """Write batch after batch; the first one says the shape."""
    batch, n = next(batches), len(table)
    about["revision"] = revision(about["model"])
    with artifacts.create(
        out,
        kind="targets",
        shape=(n, *batch.shape[1:]),
        dtype=np.float32,
        rows=table[["stimulus", "split"]],
        axes=target.axes,
        unit=target.unit,
        about=about,
    ) as values:
        row = 0
        while batch is not None:
            values[row : row + len(batch)] = batch
            row += len(batch)
            if sys.stderr.isatty():
                print(f"\rextract: {row} of {n}", end="\n" if row == n else "", file=sys.stderr, flush=True)
            batch = next(batches, None)


def _captions(path: Path | None, stimuli: list[str]) -> list[list[str]]:
    """The captions of every stimulus."""
    if path is None:
        raise InputError("extract: expected --captions for a target made from text, found none")
    table = artifacts.read_table(path, columns=["stimulus", "caption"])
    found = table.groupby("stimulus", sort=False)["caption"].agg(list)
    missing = [name for name in stimuli if name not in found.index]
    if missing:
        raise InputError.about(path, expected=f"a caption of {missing[0]}", found="none")
    return [found[name] for name in stimuli]


def _clips(table: Rows, *, frames: int, pixels: int) -> Iterator[tuple[list[str], np.ndarray]]:
    """Names and uint8 frames (clip, frame, row, column, 3) of some clips at a time; movies are read once."""
    names = list(table["stimulus"])
    decoded = video.iterate(table, count=frames, pixels=pixels)
    while batch := list(islice(decoded, CLIPS_AT_ONCE)):
        yield [names[row] for row, _ in batch], np.stack([clip for _, clip in batch])


def _latents(backbone: str, settings: LatentSettings, table: Rows) -> Iterator[np.ndarray]:
    model = frozen.generator(backbone, precision=settings.precision)
    for names, clips in _clips(table, frames=settings.frames, pixels=settings.pixels):
        sampled = settings.posterior == "sample"
        seeds = frozen.clip_seeds(settings.posterior_seed, names) if sampled else None
        yield model.encode(clips, seeds=seeds)


def _image_embeddings(backbone: str, settings: BlipSettings, table: Rows) -> Iterator[np.ndarray]:
    model = frozen.captioner(backbone, precision=settings.precision)
    for _, clips in _clips(table, frames=settings.frames, pixels=settings.pixels):
        yield model.embed(clips, pixel_scale=settings.pixel_scale)


def _classes(backbone: str, settings: ClassSettings, table: Rows) -> Iterator[np.ndarray]:
    model = frozen.classifier(backbone, precision=settings.precision)
    for _, clips in _clips(table, frames=settings.frames, pixels=settings.pixels):
        images = clips.reshape(-1, *clips.shape[2:])
        yield model.log_probabilities(images).reshape(*clips.shape[:2], -1)


def _text_states(backbone: str, settings: TextSettings, table: Rows) -> Iterator[np.ndarray]:
    yield from _means(table, frozen.generator(backbone, precision=settings.precision).text_states)


def _text_embeddings(backbone: str, settings: TextSettings, table: Rows) -> Iterator[np.ndarray]:
    model = frozen.text_encoder(backbone, precision=settings.precision)

    def unit(captions: list[str]) -> np.ndarray:
        embeddings = model.embed(captions)
        return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)

    yield from _means(table, unit)


def _means(table: Rows, encode: Callable[[list[str]], np.ndarray]) -> Iterator[np.ndarray]:
    """The mean over each clip's captions of what ``encode`` makes of them."""
    captions = list(table["captions"])
    for start in range(0, len(captions), CLIPS_AT_ONCE):
        part = captions[start : start + CLIPS_AT_ONCE]
        encoded = encode([sentence for clip in part for sentence in clip])
        ends = np.cumsum([len(clip) for clip in part])[:-1]
        yield np.stack([clip.mean(axis=0) for clip in np.split(encoded, ends)])


TARGETS = {
    "latent": _Target(TARGET_SETTINGS["latent"], ("channel", "frame", "row", "column"), "scaled latent", _latents),
    "blip": _Target(TARGET_SETTINGS["blip"], ("token", "width"), "hidden state", _image_embeddings),
    "text-states": _Target(TARGET_SETTINGS["text-states"], ("token", "width"), "hidden state", _text_states),
    "text-embedding": _Target(TARGET_SETTINGS["text-embedding"], ("width",), "mean of unit vectors", _text_embeddings),
    "classes": _Target(TARGET_SETTINGS["classes"], ("frame", "class"), "log-probability", _classes, ("test",)),
}
