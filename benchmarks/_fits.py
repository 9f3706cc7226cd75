"""Encoders and regressors of small studies, fitted by the steps themselves and scored clip by clip.

A study is a folder of responses and targets with a split of its own: :func:`hide` makes one out of training rows alone,
so that what is chosen on it cannot have seen a test row, as there is none in its files.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from brainflix import artifacts, metrics
from brainflix.artifacts import Samples
from brainflix.models.alignment import Alignment
from brainflix.models.alignment_settings import AlignSettings
from brainflix.models.mbm import load_encoder
from brainflix.settings import build
from brainflix.steps.align import align
from brainflix.steps.embed import embed
from brainflix.steps.measure import measure
from brainflix.steps.predict import predict
from brainflix.steps.regress import regress
from brainflix.texts import NEIGHBOURS

Scores = pd.DataFrame  # stimulus, metric, value
HIDDEN_SEED = 100


def hide(paths: Sequence[Path], out: Path, *, stimuli: Path, share: float) -> None:
    """Copy responses and targets of a dataset without their test rows, a share of the training stimuli for test."""
    known = artifacts.read_table(stimuli, columns=["stimulus", "split"])
    stimuli = known.loc[known["split"] == "train", "stimulus"].unique()
    blocks = np.arange(len(stimuli)) // NEIGHBOURS
    drawn = np.random.default_rng(HIDDEN_SEED).permutation(blocks[-1] + 1)[: round(share * (blocks[-1] + 1))]
    hidden = set(stimuli[np.isin(blocks, drawn)])
    for path in paths:
        whole = artifacts.read(path, kind=("targets", "responses"))
        kept = whole.where((whole.rows["split"] == "train").to_numpy())
        kept.rows["split"] = np.where(kept.rows["stimulus"].isin(hidden), "test", "train")
        artifacts.write(out / path.name, Samples(kept.kind, kept.values, kept.rows, kept.axes, kept.unit, kept.about))


def aligned(init: Path, study: Mapping[str, Any], settings: Mapping[str, Any], *, seed: int, out: Path) -> Path:
    """The encoder that ``align`` makes of a study {responses, each, mean}, unless it is there."""
    if out.exists():
        return out
    chosen = build(AlignSettings, settings, where="settings")
    align(
        init=init,
        responses=study["responses"],
        targets=study["each" if chosen.sample_captions else "mean"],
        out=out,
        settings=chosen,
        seed=seed,
        checkpoints=out.parent / "checkpoints",
        threads=1,
    )
    return out


def embedded(encoder: Path, responses: Sequence[Path], folder: Path) -> list[Path]:
    """Embeddings of these responses."""
    out = [folder / f"{number}-{path.name}" for number, path in enumerate(responses)]
    embed(encoder=encoder, responses=list(responses), out=out, threads=1)
    return out


def caption_ranks(encoder: Path, settings: Mapping[str, Any], features: Path, texts: Path) -> Scores:
    """Rank of a test clip's captions by what alignment compares with them, averaged over the clip's repeats.

    Both sides are centred on training rows whatever the recipe, so that recipes are judged alike.
    """
    tensors, header = artifacts.load_weights(encoder, kind="encoder")
    chosen, truth = build(AlignSettings, settings, where="settings"), artifacts.read(texts, kind="targets")
    parts = {"text_width": truth.values.shape[1], "subjects": [["", ""]], "seed": 0}
    projector = Alignment(load_encoder(tensors, header), chosen, **parts).projector
    arrays = {k.removeprefix("projector."): torch.as_tensor(v) for k, v in tensors.items() if k.startswith("projector")}
    projector.load_state_dict(arrays)
    brain = artifacts.read(features, kind="embeddings")
    with torch.inference_mode():
        compared = torch.nn.functional.normalize(projector(torch.from_numpy(brain.values)), dim=1).numpy()
    compared = compared - compared[brain.rows["split"] == "train"].mean(axis=0)
    names = np.unique(brain.rows.loc[brain.rows["split"] == "test", "stimulus"].to_numpy().astype(str))
    mean = np.stack([compared[(brain.rows["stimulus"] == name).to_numpy()].mean(axis=0) for name in names])
    centre = truth.values[truth.rows["split"] == "train"].mean(axis=0)
    captions = truth.values[pd.Index(truth.rows["stimulus"]).get_indexer(names)] - centre
    _, cosines = metrics.pairwise_distances(mean, captions, centre=np.zeros_like(centre))
    return scores(names, "e rank", metrics.retrieval_rank(cosines, np.arange(len(names))))


def decoded(
    features: Sequence[Path], targets: Path, tested: Path, *, model: str, settings: Any, seed: int, folder: Path
) -> Scores:
    """Errors and ranks of a target of the test clips of ``tested``, by a regressor fitted on ``features``."""
    name = targets.stem.split("-")[0]
    fitted, made, table = (folder / f"{name}{end}" for end in (".safetensors", ".h5", ".csv"))
    if not fitted.exists():  # for another subject of the same cohort
        common = {"model": model, "settings": settings, "seed": seed, "threads": 1, "checkpoints": folder / name}
        regress(features=list(features), targets=[targets], out=fitted, **common)
    predict(regressor=fitted, features=[tested], out=[made], threads=1)
    measure(predictions=made, targets=targets, out=table)
    found = artifacts.read_table(table, columns=["stimulus", "mse", "rank"])
    by = "" if model == "mlp" else f" by {model}"
    return pd.concat([scores(found["stimulus"], f"{name}{by} {key}", found[key]) for key in ("mse", "rank")])


def scores(stimuli: Sequence[str], metric: str, values: Sequence[float]) -> Scores:
    """A metric of some clips."""
    return pd.DataFrame({"stimulus": stimuli, "metric": metric, "value": values})


def once(path: Path, make: Any) -> Scores:
    """The table at ``path``, made unless it is there; what making it left in the folder of its name goes."""
    if not path.exists():
        folder = path.with_suffix("")
        folder.mkdir(parents=True, exist_ok=True)
        artifacts.write_table(path, make(folder))
        shutil.rmtree(folder)
    return artifacts.read_table(path, columns=["stimulus", "metric", "value"])
