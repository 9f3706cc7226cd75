"""How good the demo's backbones are, on scenes that no training drew: ``python benchmarks/backbones.py``.

Prints a table (tab-separated): backbone, measure, attribute, value, chance, n, seed. About two minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import pandas as pd
import torch

from brainflix.frozen.protocols import DecodingSettings
from brainflix.phantom.training import checks
from brainflix.phantom.training.heads import ATTRIBUTES

# Brain Netflix's decoding: greedy, repetition penalty 6, 4 to 20 tokens.
DECODING = DecodingSettings(
    prompt="", beams=1, min_length=4, max_length=20, count_prompt=True, repetition_penalty=6.0
)
CORRUPTIONS = {
    "captions of the true b": {},
    "captions of b shrunk by 0.3": {"shrinkage": 0.3},
    "captions of b shrunk by 0.5": {"shrinkage": 0.5},
    "captions of b with noise of 1 sd": {"noise": 1.0},
}
Row = tuple[str, str, str, float, float, int, int]


def captioner(clips: int, seed: int) -> Iterator[Row]:
    """Attributes that captions name, from true and from corrupted embeddings."""
    for measure, corruption in CORRUPTIONS.items():
        found = checks.caption_accuracies(
            "brainflix:tiny/captioner", decoding=DECODING, clips=clips, seed=seed, **corruption
        )
        yield from _rows("captioner", measure, found, clips, seed)


def clip(clips: int, seed: int) -> Iterator[Row]:
    """Attributes of the best of 1,080 plain captions, for clips and for captions in other words."""
    measures = ("best caption of a clip", "best caption of a caption")
    found = checks.retrieval_accuracies("brainflix:tiny/clip", clips=clips, seed=seed)
    for measure, accuracies in zip(measures, found, strict=True):
        yield from _rows("clip", measure, accuracies, clips, seed)


def _rows(backbone: str, measure: str, found: checks.Accuracies, clips: int, seed: int) -> Iterator[Row]:
    for attribute, value in found.items():
        yield backbone, measure, attribute, value, 1 / len(ATTRIBUTES[attribute]), clips, seed


MEASURES = (captioner, clip)


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for measure in MEASURES for row in measure(arguments.clips, arguments.seed)]
    columns = ["backbone", "measure", "attribute", "value", "chance", "n", "seed"]
    pd.DataFrame(rows, columns=columns).to_csv(sys.stdout, sep="\t", index=False, float_format="%.3f")


if __name__ == "__main__":
    main()
