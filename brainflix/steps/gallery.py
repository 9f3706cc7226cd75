"""Step `gallery`: what people saw, above what was made from their responses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brainflix import artifacts, figures
from brainflix.artifacts import Samples
from brainflix.datasets.truth import true_frames
from brainflix.errors import InputError
from brainflix.pairs import first_captions
from brainflix.report import SIMULATED
from brainflix.settings import Settings
from brainflix.stats import stable_int


@dataclass(frozen=True)
class GallerySettings:
    """What a gallery shows.

    Attributes:
        clips: test clips, chosen at random and never by score.
        seed: chooses them.
        columns: clips side by side in the picture.
        frames: frames of a clip shown side by side in the picture.
        tile_pixels: height and width of a frame on the page.
        fps: frames a second of the film.
        repeats: how often the film shows the clips.
    """

    clips: int
    seed: int
    columns: int
    frames: int
    tile_pixels: int
    fps: float
    repeats: int


def gallery(
    *,
    stimuli: Path,
    captions: Path,
    videos: list[Path],
    described: list[Path],
    settings: Settings[GallerySettings],
    out: Path,
    mp4: Path,
) -> None:
    """Draw stimuli, reconstructions and oracle side by side.

    Args:
        stimuli: table of the dataset's stimuli; the true frames are read from the files it names.
        captions: the dataset's captions; the first one stands under the true clip.
        videos: Samples ``videos`` of the variants to show, from top to bottom.
        described: the captions each of them was made from.
        out: the picture (PNG).
        mp4: the film (H.264).

    Raises:
        InputError: fewer than ``clips`` clips are in all videos, or simulated and real data would be mixed.
    """
    made = [artifacts.read(path, kind="videos", load=False) for path in videos]
    about = artifacts.common_about([samples.about for samples in made], "dataset")
    names = _chosen(made, settings)
    rows = [_true_clips(stimuli, names, captions, made[0].values.shape[1], settings.tile_pixels)]
    rows += [_made_clips(samples, names, path) for samples, path in zip(made, described, strict=True)]
    title = f"{about['dataset']}: {len(names)} test clips chosen at random (seed {settings.seed}), not by score." + (
        f" {SIMULATED}" if about["simulated"] else ""
    )
    footer = "simulated data" if about["simulated"] else ""
    page = figures.Page(title, footer, settings.tile_pixels, _arranged(rows, settings.columns))
    figures.write_png(out, figures.strips(page, frames=settings.frames))
    figures.write_mp4(mp4, figures.movie(page), fps=settings.fps, repeats=settings.repeats)


Row = list[tuple[np.ndarray, str, str]]  # clip, label, caption


def _chosen(made: list[Samples], settings: GallerySettings) -> list[str]:
    shared = sorted(set.intersection(*(set(samples.rows["stimulus"]) for samples in made)))
    if len(shared) < settings.clips:
        raise InputError(f"videos: expected {settings.clips} clips that all variants share, found {len(shared)}")
    order = np.random.default_rng([settings.seed, stable_int("gallery")]).permutation(len(shared))
    return [shared[i] for i in order[: settings.clips]]


def _true_clips(stimuli: Path, names: list[str], captions: Path, count: int, pixels: int) -> Row:
    texts = first_captions(captions)
    clips = dict(true_frames(stimuli, names, count=count, pixels=pixels))
    return [(clips[place], f"seen: {name}", texts.get(name, "")) for place, name in enumerate(names)]


def _made_clips(samples: Samples, names: list[str], described: Path) -> Row:
    texts, about = first_captions(described), samples.about
    index = {name: i for i, name in enumerate(samples.rows["stimulus"])}
    who = "" if about["subject"] == "any" else f", subject {about['subject']}"
    return [(samples.values[index[name]], f"{about['variant']}{who}", texts.get(name, "")) for name in names]


def _arranged(rows: list[Row], columns: int) -> list[figures.Tile]:
    """Clips from left to right, ``columns`` at a time; under each its reconstructions."""
    return [
        figures.Tile(clip, clip_number // columns * len(rows) + row, clip_number % columns, label, caption)
        for row, clips in enumerate(rows)
        for clip_number, (clip, label, caption) in enumerate(clips)
    ]
