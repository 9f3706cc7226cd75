"""Step `evaluate`: what a variant's videos and predictions are worth, clip by clip, beside chance.

Chance is the mean score over ``shuffles`` random pairings in which no clip keeps its own truth. For retrieval
it is known: top / clips. Videos are scored where they were made (``evaluate_clips``), predictions of z and b
on every test clip, which costs nothing; column ``n`` of the final table tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from brainflix import artifacts, frozen, metrics, stats, training
from brainflix.artifacts import Samples
from brainflix.datasets.truth import true_frames
from brainflix.errors import InputError
from brainflix.pairs import read_pairs, select
from brainflix.report import made_with
from brainflix.settings import Settings


class _Scores(NamedTuple):
    """One metric of every clip.

    Attributes:
        using: what it was measured with: the model and settings of the target, or the size of frames.
        shuffles: pairings that chance is averaged over, 0 where it is known.
    """

    metric: str
    stimuli: list[str]
    values: np.ndarray
    chances: np.ndarray
    using: str
    shuffles: int


@dataclass(frozen=True)
class EvaluateSettings:
    """How to score.

    Attributes:
        ways: the N of N-way classification.
        retrieve: the k of retrieval top-k.
        pixels: both clips are resized to this square for SSIM.
        shuffles: random pairings that chance is averaged over.
        group_seconds: windows that start within the same stretch of one file are resampled together, because
            they share shots; 0 takes every window for independent.
    """

    ways: tuple[int, ...]
    retrieve: tuple[int, ...]
    pixels: int
    shuffles: int
    group_seconds: float


def evaluate(
    *,
    videos: Path,
    stimuli: Path,
    classes: Path,
    classifier: str,
    z_predictions: Path | None = None,
    z_targets: Path | None = None,
    b_predictions: Path | None = None,
    b_targets: Path | None = None,
    settings: Settings[EvaluateSettings],
    threads: int,
    out: Path,
) -> None:
    """Score generated videos, stimulus by stimulus.

    Args:
        videos: Samples ``videos``; says of which variant, subject and seed they are.
        stimuli: table of the stimuli; the true frames are read from the files it names.
        classes: Samples ``targets`` (frame, class): log-probabilities of the true frames.
        classifier: name or folder of the model that made them; it classifies the generated frames.
        z_predictions, z_targets: where z came from, and the true z; both or neither.
        b_predictions, b_targets: the same for b.
        out: table (stimulus, metric, value, chance, group, using, shuffles, dataset, variant, subject, seed,
            simulated); ``using`` names the model behind a metric, ``shuffles`` is 0 where chance is known.
    """
    training.use_threads(threads)
    made = artifacts.read(videos, kind="videos", load=False)
    seed = made.about["seed"]
    scores = [_ssim(made, stimuli, settings, seed)]
    scores += _n_way(made, artifacts.read(classes, kind="targets", load=False), classes, classifier, settings, seed)
    for name, predictions, targets in (("z", z_predictions, z_targets), ("b", b_predictions, b_targets)):
        if predictions and targets:
            scores += _vectors(name, predictions, targets, made, settings, seed)
    artifacts.write_table(out, _table(scores, made, _groups(stimuli, settings.group_seconds)))


def _ssim(made: Samples, stimuli: Path, settings: EvaluateSettings, seed: int) -> _Scores:
    names = list(made.rows["stimulus"])
    partners = _with_own(len(names), settings.shuffles, seed)
    scores = np.empty(partners.shape)
    for truth, frames in true_frames(stimuli, names, count=made.values.shape[1], pixels=settings.pixels):
        for shuffle, clip in zip(*np.nonzero(partners == truth), strict=True):
            scores[shuffle, clip] = metrics.ssim(_resized(made.values[clip], settings.pixels), frames)
    using = f"{made.values.shape[1]} frames of {settings.pixels} x {settings.pixels} pixels"
    return _Scores("ssim", names, scores[0], scores[1:].mean(axis=0), using, settings.shuffles)


def _with_own(clips: int, shuffles: int, seed: int) -> np.ndarray:
    """Pairings (1 + shuffles, clips): every clip with its own truth first, then never."""
    if clips < 2:
        raise InputError("videos: expected at least 2 clips, for chance by shuffled pairs, found 1")
    return np.vstack([np.arange(clips), stats.derangements(clips, count=shuffles, seed=seed)])


def _resized(clip: np.ndarray, pixels: int) -> np.ndarray:
    if clip.shape[1:3] == (pixels, pixels):
        return np.asarray(clip)
    how = cv2.INTER_AREA if clip.shape[1] > pixels else cv2.INTER_LINEAR
    return np.stack([cv2.resize(np.ascontiguousarray(f), (pixels, pixels), interpolation=how) for f in clip])


def _n_way(
    made: Samples, truth: Samples, path: Path, classifier: str, settings: EvaluateSettings, seed: int
) -> list[_Scores]:
    if truth.about["model"] != classifier:
        raise InputError.about(path, expected=f"classes by {classifier}", found=f"classes by {truth.about['model']}")
    artifacts.common_about([made.about, truth.about], "dataset")
    names = list(made.rows["stimulus"])
    true = select(truth, names, where=path)
    predicted = _classified(made, classifier, how=truth.about["settings"])
    partners = _with_own(len(names), settings.shuffles, seed)
    found, using = [], made_with(truth.about)
    for ways in settings.ways:
        for rule in metrics.RULES:
            scores = metrics.n_way(predicted, true, partners, ways=ways, rule=rule)
            metric, chances = f"nway_{ways}_{rule}", scores[1:].mean(axis=0)
            found.append(_Scores(metric, names, scores[0], chances, using, settings.shuffles))
    return found


def _classified(made: Samples, classifier: str, *, how: Mapping[str, Any]) -> np.ndarray:
    """Log-probabilities (clips, frames, classes) at the relative times and the size of the true frames."""
    model = frozen.classifier(classifier, precision=how["precision"])
    chosen = np.linspace(0, made.values.shape[1] - 1, how["frames"]).astype(int)
    return np.stack([model.log_probabilities(_resized(clip[chosen], how["pixels"])) for clip in made.values])


def _vectors(
    name: str, predictions: Path, targets: Path, made: Samples, settings: EvaluateSettings, seed: int
) -> list[_Scores]:
    pairs = read_pairs(predictions, targets)
    artifacts.common_about([made.about, pairs.about], "dataset")
    partners = _with_own(len(pairs.stimuli), settings.shuffles, seed)
    own, shuffled = partners[0], partners[1:]
    squared, cosine = metrics.pairwise_distances(pairs.predicted, pairs.true, centre=pairs.centre)
    related = metrics.pairwise_correlation(pairs.predicted, pairs.true)
    error = metrics.mean_squared_error(pairs.predicted, pairs.true)
    using, shuffles = made_with(pairs.about), settings.shuffles
    found = [
        _Scores(f"{name}_mse", pairs.stimuli, error, stats.shuffled_mean(squared, shuffled), using, shuffles),
        _Scores(
            f"{name}_corr", pairs.stimuli, np.diag(related), stats.shuffled_mean(related, shuffled), using, shuffles
        ),
    ]
    prefix = "" if name == "b" else f"{name}_"  # retrieval is by b, as captions are, unless it says otherwise
    for top in settings.retrieve:
        hits, chance = metrics.retrieval(cosine, own, top=top), min(top / len(own), 1.0)
        metric, chances = f"{prefix}retrieval_top{top}", np.full(len(own), chance)
        found.append(_Scores(metric, pairs.stimuli, hits, chances, using, 0))
    return found


def _groups(stimuli: Path, seconds: float) -> dict[str, str]:
    """Which clips are resampled together."""
    table = artifacts.read_table(stimuli, columns=["stimulus", "path", "start_seconds"])
    starts = pd.to_numeric(table["start_seconds"], errors="coerce")
    is_window = starts.notna() & (seconds > 0)
    stretch = (starts.where(is_window, 0) // (seconds or 1)).astype(int).astype(str)
    groups = table["stimulus"].where(~is_window, table["path"] + "#" + stretch)
    return dict(zip(table["stimulus"], groups, strict=True))


def _table(scores: list[_Scores], made: Samples, groups: dict[str, str]) -> pd.DataFrame:
    labels = {key: made.about[key] for key in ("dataset", "variant", "subject", "seed", "simulated")}
    parts = [
        pd.DataFrame({"stimulus": s.stimuli, "metric": s.metric, "value": s.values, "chance": s.chances}).assign(
            group=[groups[name] for name in s.stimuli], using=s.using, shuffles=s.shuffles
        )
        for s in scores
    ]
    return pd.concat(parts, ignore_index=True).assign(**labels)
