"""The captions of a cohort's rows, as embeddings; and which stimuli are held out from learning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from brainflix import crew
from brainflix.cohort import Cohort, match
from brainflix.errors import InputError

if TYPE_CHECKING:
    import torch

NEIGHBOURS = 6  # stimuli in a row that are held out together: clips of a movie share shots


@dataclass(frozen=True)
class Texts:
    """Embeddings of captions, and whose they are.

    Attributes:
        values: (captions, width) float32; those of a stimulus follow each other.
        first, count: (stimuli,) its captions are ``values[first : first + count]``.
        stimulus: (rows,) the stimulus of each row of a cohort.
    """

    values: np.ndarray
    first: np.ndarray
    count: np.ndarray
    stimulus: np.ndarray

    def at(self, mask: np.ndarray) -> Texts:
        """The texts of the rows where ``mask`` (rows,) is true."""
        return replace(self, stimulus=self.stimulus[mask])

    def draw(self, rows: np.ndarray, generator: torch.Generator) -> np.ndarray:
        """One caption (batch, width) for each of ``rows``, every one of its stimulus equally likely."""
        import torch

        stimulus = self.stimulus[rows]
        uniform = crew.rand(len(rows), generator=generator, dtype=torch.float64).numpy()
        return self.values[self.first[stimulus] + (uniform * self.count[stimulus]).astype(np.int64)]

    def means(self) -> np.ndarray:
        """The mean (stimuli, width) over the captions of each stimulus."""
        return np.add.reduceat(self.values, self.first) / self.count[:, None].astype(np.float32)

    def centre(self) -> np.ndarray:
        """The mean (width,) of the captions of all rows."""
        share = np.bincount(self.stimulus, minlength=len(self.first)) / len(self.stimulus)
        return (share @ self.means()).astype(np.float32)


def texts_of(rows: Cohort, captions: Cohort, *, each: bool) -> Texts:
    """The captions of each row of ``rows``.

    Args:
        captions: targets with one row a caption if ``each``, otherwise one row a stimulus.

    Raises:
        InputError: a stimulus has no caption; a file holds the mean of the captions where each is wanted,
            or the other way round.
    """
    if bool(captions.about["each"]) != each:
        means, single = "means over the captions of a stimulus", "each caption's own (extract --each)"
        expected, found = (single, means) if each else (means, single)
        raise InputError.about(", ".join(map(str, captions.paths)), expected=expected, found=found)
    names = ["dataset", "stimulus"]
    stimulus = captions.rows.groupby(names, sort=False).ngroup().to_numpy()
    wanted = match(rows, captions.where(~captions.rows.duplicated(names).to_numpy()) if each else captions)
    count = np.bincount(stimulus)
    values = captions.all()[np.argsort(stimulus, kind="stable")]
    return Texts(values=values, first=np.cumsum(count) - count, count=count, stimulus=wanted)


def held_out(rows: Cohort, texts: Texts, *, share: float, seed: int) -> np.ndarray:
    """Which rows (n,) nothing is learned from: all of a seeded ``share`` of the stimuli of each dataset.

    Stimuli are taken in blocks of neighbours (in the order of their file), one block at least.

    Raises:
        InputError: a dataset has too few stimuli for a block to be learned from and one to be held out.
    """
    mask = np.zeros(len(rows), bool)
    for number, (name, part) in enumerate(rows.rows.groupby("dataset", sort=True)):
        stimuli, own = np.unique(texts.stimulus[part.index], return_inverse=True)
        blocks = -(-len(stimuli) // NEIGHBOURS)
        if blocks < 2:
            expected = f"more than {NEIGHBOURS} training stimuli of {name}, to hold some out"
            raise InputError.about("align", expected=expected, found=str(len(stimuli)))
        chosen = min(max(round(share * blocks), 1), blocks - 1)
        drawn = np.random.default_rng([seed, number]).permutation(blocks)[:chosen]
        mask[part.index] = np.isin(own // NEIGHBOURS, drawn)
    return mask
