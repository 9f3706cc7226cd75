"""How good the demo's backbones are, on scenes that no training drew: ``python -m benchmarks backbones``.

Prints a table (tab-separated): backbone, measure, attribute, value, chance, n, seed. About two minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pandas as pd
import torch
import yaml

from brainflix.frozen.protocols import DecodingSettings, GenerationSettings
from brainflix.phantom.training import checks
from brainflix.phantom.training.heads import ATTRIBUTES
from brainflix.settings import build

# Brain Netflix's decoding: greedy, repetition penalty 6, 4 to 20 tokens.
DECODING = DecodingSettings(prompt="", beams=1, min_length=4, max_length=20, count_prompt=True, repetition_penalty=6.0)
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


def generator(clips: int, seed: int) -> Iterator[Row]:
    """Videos made from true latents and true captions; the reading of true videos; the round trip in dB."""
    path = Path(__file__).parents[1] / "config" / "demo.yaml"
    paper = yaml.safe_load((path.parent / "paper.yaml").read_text())["generators"]["video"]["settings"]
    demo = yaml.safe_load(path.read_text())["generators"]["video"]["settings"]
    wanted = {f.name: {**paper, **demo}[f.name] for f in fields(GenerationSettings)}
    settings = build(GenerationSettings, wanted, where="generators.video.settings")
    made, true, psnr = checks.generation_accuracies(
        "brainflix:tiny/generator", generation=settings, clips=clips, seed=seed
    )
    yield from _rows("generator", "videos from true latent and caption", made, clips, seed)
    yield from _rows("generator", "true videos (worth of the reading)", true, clips, seed)
    yield "generator", "round trip of the autoencoder", "PSNR in dB", psnr, float("nan"), clips, seed


def clip(clips: int, seed: int) -> Iterator[Row]:
    """Attributes of the best of 1,080 plain captions, for clips and for captions in other words."""
    measures = ("best caption of a clip", "best caption of a caption")
    found = checks.retrieval_accuracies("brainflix:tiny/clip", clips=clips, seed=seed)
    for measure, accuracies in zip(measures, found, strict=True):
        yield from _rows("clip", measure, accuracies, clips, seed)


def _rows(backbone: str, measure: str, found: checks.Accuracies, clips: int, seed: int) -> Iterator[Row]:
    for attribute, value in found.items():
        yield backbone, measure, attribute, value, 1 / len(ATTRIBUTES[attribute]), clips, seed


MEASURES = (generator, captioner, clip)


def main(arguments: list[str]) -> None:
    """Measure everything and print the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = [row for measure in MEASURES for row in measure(chosen.clips, chosen.seed)]
    columns = ["backbone", "measure", "attribute", "value", "chance", "n", "seed"]
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(sys.stdout, sep="\t", index=False, float_format="%.3f")
    print(json.dumps({"name": "backbones", "rows": json.loads(table.to_json(orient="records"))}))
