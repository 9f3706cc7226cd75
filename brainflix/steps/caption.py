"""Step `caption`: sentences for every clip: a user's own, the dataset's human ones, or a captioner's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from brainflix import artifacts, frozen
from brainflix.datasets import adapter, video
from brainflix.datasets.base import STIMULI_COLUMNS
from brainflix.errors import InputError
from brainflix.frozen.protocols import BlipSettings, DecodingSettings
from brainflix.settings import Settings

CLIPS_AT_ONCE = 16
COLUMNS = ["stimulus", "caption_index", "caption", "source"]


@dataclass(frozen=True)
class CaptionSettings:
    """How a captioner looks at a clip, and how it words what it sees.

    Attributes:
        image: frames, their size and scale, and the arithmetic.
        decoding: lengths, beams and penalty of the text decoder.
    """

    image: BlipSettings
    decoding: DecodingSettings


def caption(
    *,
    dataset: str,
    root: Path,
    stimuli: Path,
    given: Path | None = None,
    captioner: str | None = None,
    settings: Settings[CaptionSettings] | None = None,
    threads: int,
    out: Path,
) -> None:
    """Give every stimulus its captions: those given, else the dataset's human ones, else a captioner's.

    Args:
        dataset: adapter, one of brainflix.datasets.ADAPTERS.
        root: folder that holds the download.
        stimuli: table that `index` wrote.
        given: your own table with columns stimulus and caption, several lines a stimulus if you like;
            stimuli beyond the table are left out.
        captioner: name or folder of a captioner, for a dataset without human captions.
        settings: of the captioner.
        threads: CPU threads of the captioner.
        out: table (stimulus, caption_index, caption, source), in the order of ``stimuli``.

    Raises:
        InputError: a stimulus has no caption, or there is nothing to caption with.
    """
    table = artifacts.read_table(stimuli, columns=STIMULI_COLUMNS)
    if given is not None:
        found, where = _given(given), given
    else:
        found, where = adapter(dataset).captions(root=root, stimuli=table), root
    if found is None:
        if captioner is None or settings is None:
            expected = "captions given, or a captioner with settings"
            raise InputError.about(dataset, expected=expected, found="neither, and no human captions")
        found, where = _described(table, captioner, settings, threads), Path(captioner)
    artifacts.write_table(out, _complete(found, table["stimulus"].tolist(), where))


def _given(path: Path) -> pd.DataFrame:
    captions = artifacts.read_table(path, columns=["stimulus", "caption"])
    if "source" not in captions:
        captions["source"] = "given"
    return captions


def _complete(captions: pd.DataFrame, stimuli: list[str], where: Path) -> pd.DataFrame:
    """One tidy table: stimuli in order, captions numbered from 0, single blanks; nobody left out."""
    captions = captions.assign(caption=[" ".join(str(text).split()) for text in captions["caption"]])
    captions = captions[captions["caption"] != ""]
    place = {name: i for i, name in enumerate(stimuli)}
    missing = sorted(set(stimuli) - set(captions["stimulus"]), key=place.__getitem__)
    if missing:
        found = f"none for {len(missing):,}, first {missing[0]}"
        raise InputError.about(where, expected=f"captions of {len(stimuli):,} stimuli", found=found)
    captions = captions[captions["stimulus"].isin(place)]
    captions = captions.sort_values("stimulus", key=lambda names: names.map(place), kind="stable")
    captions["caption_index"] = captions.groupby("stimulus").cumcount()
    return captions[COLUMNS]


def _described(stimuli: pd.DataFrame, captioner: str, settings: CaptionSettings, threads: int) -> pd.DataFrame:
    from brainflix import training  # imports torch, which human captions do without

    training.use_threads(threads)
    image = settings.image
    model = frozen.captioner(captioner, precision=image.precision)
    texts: list[str] = []
    for frames in _batches(stimuli, image):
        embeddings = model.embed(frames, pixel_scale=image.pixel_scale)
        texts += model.describe(embeddings, settings=settings.decoding)
    return pd.DataFrame({"stimulus": stimuli["stimulus"], "caption": texts, "source": captioner})


def _batches(stimuli: pd.DataFrame, image: BlipSettings) -> Iterator[np.ndarray]:
    """Frames of some clips at a time: uint8 (clip, frame, row, column, 3)."""
    clips = (frames for _, frames in video.iterate(stimuli, count=image.frames, pixels=image.pixels))
    while batch := list(islice(clips, CLIPS_AT_ONCE)):
        yield np.stack(batch)
