"""Step `describe`: a caption for every clip that a video will be made for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from brainflix import artifacts, frozen, stats
from brainflix.errors import InputError
from brainflix.frozen.protocols import DecodingSettings, Precision
from brainflix.pairs import SOURCES, first_captions, select
from brainflix.settings import Settings

_CLIPS_AT_ONCE = 64


@dataclass(frozen=True)
class DescribeSettings(DecodingSettings):
    """How a caption is decoded.

    Attributes:
        precision: arithmetic of the captioner; the halves need a GPU.
    """

    precision: Precision


def describe(
    *,
    stimuli: Path,
    condition: Path | None = None,
    captions: Path | None = None,
    captioner: str,
    settings: Settings[DescribeSettings],
    clips: int,
    clips_seed: int,
    threads: int,
    out: Path,
) -> None:
    """Decode captions from predicted BLIP embeddings.

    Args:
        stimuli: table of the dataset's stimuli.
        condition: predicted (or true) b; the captioner decodes it.
        captions: the dataset's captions, for a variant conditioned on the truth: the first one of a clip is
            taken. With neither, captions are empty: the variant has no text, or raw text states.
        captioner: name or folder of the captioner that b belongs to.
        clips: how many test clips, 0 for all; chosen by ``clips_seed``, the same for every variant.
        out: table (stimulus, caption_index, caption, source), one row per clip.

    Raises:
        InputError: there are too few test clips, or a clip has no embedding or caption.
    """
    table = artifacts.read_table(stimuli, columns=["stimulus", "split"])
    try:
        names = stats.evaluated(table, count=clips, seed=clips_seed)
    except ValueError as error:
        raise InputError(f"{stimuli}: {error}") from error
    if condition and captions:
        raise InputError("describe: expected --condition or --captions, found both")
    source = "none"
    texts = [""] * len(names)
    if condition:
        source, texts = captioner, _decoded(condition, names, captioner, settings, threads)
    elif captions:
        source, texts = "truth", _first(captions, names)
    made = pd.DataFrame({"stimulus": names, "caption_index": 0, "caption": texts, "source": source})
    artifacts.write_table(out, made)


def _decoded(condition: Path, names: list[str], captioner: str, settings: DescribeSettings, threads: int) -> list[str]:
    from brainflix import training  # imports torch, which the other ways of describing do without

    training.use_threads(threads)
    embeddings = artifacts.read(condition, kind=SOURCES, load=False)
    model = frozen.captioner(captioner, precision=settings.precision)
    texts: list[str] = []
    for start in range(0, len(names), _CLIPS_AT_ONCE):
        part = select(embeddings, names[start : start + _CLIPS_AT_ONCE], where=condition)
        texts += model.describe(part, settings=settings)
    return texts


def _first(captions: Path, names: list[str]) -> list[str]:
    texts = first_captions(captions)
    for name in names:
        if not texts.get(name):
            raise InputError.about(captions, expected=f"a caption of {name}", found="none")
    return [texts[name] for name in names]
