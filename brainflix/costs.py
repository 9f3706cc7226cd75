"""What a job takes, by rule: operations in closed form from the configuration, bytes read and written, CPU seconds.

Estimates to within a factor of two or so: what makes the bill (pretraining, alignment, generation) is counted, the
rest follows from numbers of rows. Rules that are not here, and pretrained models that nobody counted, give None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from brainflix import atlas, datasets, flops
from brainflix import config as names
from brainflix.config import Config
from brainflix.datasets.base import Size
from brainflix.flops import FROZEN, TRAINING, Frozen
from brainflix.settings import build

VERTICES = 13_156  # of the 41 areas; brainflix.atlas
FLOAT = 4  # bytes
CAPTIONS = 5  # of a clip
DECODE_SECONDS = 0.125  # of one clip, on a core
SSIM_SECONDS = 0.1  # of one clip
Wildcards = Mapping[str, str]


@dataclass(frozen=True)
class Cost:
    """What a job takes.

    Attributes:
        flops: 2 per multiply-add, on the device that the rule asks for.
        precision: of them, ``float32`` or a half.
        core_seconds: of a CPU core, beside them.
        read, written: bytes of raw files, and of what stays on disk.
    """

    flops: float = 0.0
    precision: str = "float32"
    core_seconds: float = 0.0
    read: float = 0.0
    written: float = 0.0


def cost(config: Config, rule: str, wildcards: Wildcards) -> Cost | None:
    """What a job of a rule takes; None where that is not known."""
    find = RULES.get(rule)
    try:
        return find(config, wildcards) if find else None
    except _NotCounted:
        return None


class _NotCounted(Exception):
    """A pretrained model that :data:`brainflix.flops.FROZEN` does not have."""


def _frozen(name: str) -> Frozen:
    if name not in FROZEN:
        raise _NotCounted(name)
    return FROZEN[name]


def size(config: Config, dataset: str) -> Size:
    """How large a dataset is."""
    entry = config["datasets"][dataset]
    options = build(datasets.adapter(entry["adapter"]).Options, entry["options"], where=f"datasets.{dataset}.options")
    return options.size(len(entry["subjects"]))


def _clips(config: Config, dataset: str) -> int:
    return config["datasets"][dataset]["evaluate_clips"] or size(config, dataset).test_stimuli


def _rows(config: Config, layer: str, wildcards: Wildcards) -> tuple[int, int]:
    """Training rows of an encoder or regressor, and how many stimuli they have."""
    entry = config[f"{layer}s"][wildcards[layer]]
    cohort = entry.get("cohort") or entry.get("pretrain") or entry["align"]
    rows = stimuli = 0
    for dataset, subjects in names.members(config, cohort, names.binding(config, wildcards["scope"])):
        one = size(config, dataset)
        rows += len(subjects) * (one.train_rows + one.rest_rows)
        stimuli += min(one.stimuli - one.test_stimuli, len(subjects) * one.train_rows)
    return rows, stimuli


def numbers(config: Config, target: str) -> int:
    """How many numbers a target has for one stimulus."""
    entry = config["targets"][target]
    model, settings = _frozen(entry["backbone"]), entry["settings"]
    match entry["kind"]:
        case "latent":
            return flops.latent_numbers(model, frames=settings["frames"], pixels=settings["pixels"])
        case "blip":
            return ((settings["pixels"] // model.patch) ** 2 + 1) * model.width
        case "text-states":
            return model.tokens * model.width
        case "classes":
            return 1000 * settings["frames"]
    return model.width


def _parcellate(config: Config, w: Wildcards) -> Cost:
    one, people = size(config, w["dataset"]), len(names.inside(config, w["dataset"], w["stem"]))
    rows = people * (one.train_rows + one.test_rows + one.rest_rows)
    # Ten volumes of rest make a row, of which the areas alone are read.
    read = people * one.rest_rows * 10 * VERTICES + people * (one.train_rows + one.test_rows) * atlas.GRAYORDINATES
    return Cost(read=FLOAT * read, written=FLOAT * rows * VERTICES, core_seconds=rows * 0.002)


def _reliability(config: Config, w: Wildcards) -> Cost:
    one = size(config, w["dataset"])
    rows = one.train_rows + one.test_rows
    return Cost(read=FLOAT * rows * atlas.GRAYORDINATES, written=FLOAT * one.stimuli * atlas.CORTEX)


def _caption(config: Config, w: Wildcards) -> Cost:
    name, clips = config["datasets"][w["dataset"]]["captioner"], size(config, w["dataset"]).stimuli
    if not name:
        return Cost(core_seconds=1.0)
    model, how = _frozen(name), config["caption"]
    frames = how["image"]["frames"] * model.encode * model.area(how["image"]["pixels"])
    words = how["decoding"]["beams"] * how["decoding"]["max_length"] * model.text
    return Cost(clips * (frames + words), how["image"]["precision"], core_seconds=clips * DECODE_SECONDS)


def _extract(config: Config, w: Wildcards) -> Cost:
    entry, clips = config["targets"][w["target"]], size(config, w["dataset"]).stimuli
    model, settings = _frozen(entry["backbone"]), entry["settings"]
    written = FLOAT * clips * numbers(config, w["target"])
    if entry["kind"].startswith("text"):
        return Cost(clips * CAPTIONS * model.text, settings["precision"], written=written)
    # A classifier resizes its frames to its own size.
    scale = 1.0 if entry["kind"] == "classes" else model.area(settings["pixels"])
    work = clips * settings["frames"] * model.encode * scale
    return Cost(work, settings["precision"], core_seconds=clips * DECODE_SECONDS, written=written)


def _average(config: Config, w: Wildcards) -> Cost:
    return Cost(written=FLOAT * size(config, w["dataset"]).test_stimuli * numbers(config, w["target"]))


def _steps(training: Mapping[str, Any], rows: int) -> int:
    return training["epochs"] * (rows // training["batch"])


def _pretrain(config: Config, w: Wildcards) -> Cost:
    model, training = config["pretrain"]["model"], config["pretrain"]["training"]
    rows = _steps(training, _rows(config, "encoder", w)[0]) * training["batch"]
    work = TRAINING * rows * flops.masked_model(model, vertices=VERTICES)
    return Cost(work, training["precision"], written=FLOAT * _weights(model))


def _align(config: Config, w: Wildcards) -> Cost:
    model, training = config["pretrain"]["model"], names.alignment(config, w["encoder"])["training"]
    rows = _steps(training, _rows(config, "encoder", w)[0]) * training["batch"]
    work = TRAINING * rows * flops.encoder(model, vertices=VERTICES)
    return Cost(work, training["precision"], written=FLOAT * _weights(model))


def _weights(model: Mapping[str, Any]) -> float:
    """Weights of an MBM, biases aside."""
    total = 2.0 * model["patch"] * model["width"]
    for width, depth in ((model["width"], model["depth"]), (model["decoder_width"], model["decoder_depth"])):
        total += depth * (4 * width**2 + 2 * width * int(width * model["mlp_ratio"]))
    return total


def _embed(config: Config, w: Wildcards) -> Cost:
    one, model = size(config, w["dataset"]), config["pretrain"]["model"]
    rows = one.train_rows + one.test_rows
    return Cost(rows * flops.encoder(model, vertices=VERTICES), written=FLOAT * rows * model["width"])


def _features(config: Config, w: Wildcards) -> int:
    has_encoder = config["regressors"][w["regressor"]]["encoder"] != names.NONE
    return config["pretrain"]["model"]["width"] if has_encoder else VERTICES


def _regress(config: Config, w: Wildcards) -> Cost:
    (rows, stimuli), inputs, outputs = _rows(config, "regressor", w), _features(config, w), numbers(config, w["target"])
    if config["regressors"][w["regressor"]]["model"] == "ridge":
        kept = min(inputs, stimuli)
        written = FLOAT * kept * (outputs if kept == inputs else outputs + inputs)
        return Cost(flops.ridge(rows, inputs, outputs, stimuli), written=written)
    mlp, training = config["mlp"], config["mlp"]["training"]
    rows = stimuli if mlp["repeats"] == "averaged" else rows
    networks = 1 + (mlp["variance_folds"] or 0)
    predicted = min(mlp["target_components"] or outputs, outputs)
    forward = flops.mlp(inputs, predicted, mlp)
    basis = predicted * outputs if mlp["target_components"] else 0
    work = networks * TRAINING * _steps(training, rows) * training["batch"] * forward
    return Cost(work, training["precision"], written=FLOAT * (forward / 2 + basis))


def _predict(config: Config, w: Wildcards) -> Cost:
    one, outputs = size(config, w["dataset"]), numbers(config, w["target"])
    work = one.test_rows * flops.mlp(_features(config, w), outputs, config["mlp"])
    return Cost(work, written=FLOAT * one.test_stimuli * outputs)


def _describe(config: Config, w: Wildcards) -> Cost:
    how = config["describe"]
    model = _frozen(config["targets"][config["roles"]["b"]]["backbone"])
    return Cost(_clips(config, w["dataset"]) * how["beams"] * how["max_length"] * model.text, how["precision"])


def _generate(config: Config, w: Wildcards) -> Cost:
    generator, clips = config["generators"][config["variants"][w["variant"]]["generator"]], _clips(config, w["dataset"])
    settings = generator["settings"]
    written = clips * settings["frames"] * settings["pixels"] ** 2 * 3
    work = clips * flops.generation(_frozen(generator["backbone"]), settings)
    return Cost(work, settings["precision"], written=written)


def _evaluate(config: Config, w: Wildcards) -> Cost:
    entry, clips = config["targets"][config["roles"]["y"]], _clips(config, w["dataset"])
    work = clips * entry["settings"]["frames"] * _frozen(entry["backbone"]).encode
    compared = clips * (1 + config["evaluate"]["shuffles"])  # with its own truth and with others'
    return Cost(work, entry["settings"]["precision"], core_seconds=compared * SSIM_SECONDS)


def _small(config: Config, w: Wildcards) -> Cost:
    return Cost(core_seconds=5.0)


RULES: dict[str, Callable[[Config, Wildcards], Cost]] = {
    "index": _small,
    "import_mbm": _small,
    "parcellate": _parcellate,
    "gaussian": _small,
    "reliability": _reliability,
    "qc": _small,
    "stack": _small,
    "caption": _caption,
    "extract": _extract,
    "extract_each": _extract,
    "average": _average,
    "pretrain": _pretrain,
    "align": _align,
    "embed": _embed,
    "regress": _regress,
    "predict": _predict,
    "measure": _small,
    "describe": _describe,
    "generate": _generate,
    "evaluate": _evaluate,
    "summarize": _small,
    "headline": _small,
    "ablation": _small,
    "provenance": _small,
    "gallery": _small,
    "curves": _small,
    "all": _small,
}
