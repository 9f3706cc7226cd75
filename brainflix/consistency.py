"""Refusing a config whose numbers and parts do not go together, at parse time rather than hours into a run.

What each part accepts is said once, by its own settings dataclass; this module builds them all. Imports no torch,
as every job of a workflow passes here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from brainflix import config as names
from brainflix import datasets
from brainflix.config import Config
from brainflix.errors import InputError
from brainflix.frozen.protocols import TARGET_SETTINGS, GenerationSettings
from brainflix.models.alignment_settings import AlignSettings
from brainflix.models.settings import MbmSettings, TrainingSettings
from brainflix.phantom.settings import PhantomSettings
from brainflix.settings import build

ROLE_KINDS = {"b": "blip", "c": "text-states", "e": "text-embedding", "y": "classes"}
Finding = tuple[bool, str, str, object]  # whether it is as it should be, key, what is expected, what is found


def check(config: Config) -> None:
    """Refuse settings that a step would refuse, and parts that do not fit each other.

    Args:
        config: one that passed :mod:`brainflix.validation`.

    Raises:
        InputError: names the key, what was expected and what is there.
    """
    for name, entry in config["targets"].items():
        _build(TARGET_SETTINGS[entry["kind"]], entry["settings"], f"targets.{name}.settings")
    for name, entry in config["generators"].items():
        own = {f.name: entry["settings"][f.name] for f in fields(GenerationSettings)}
        _build(GenerationSettings, own, f"generators.{name}.settings")
    _build(MbmSettings, config["pretrain"]["model"], "pretrain.model")
    for section in ("pretrain", "mlp"):
        _build(TrainingSettings, config[section]["training"], f"{section}.training")
    _build(AlignSettings, config["align"], "align")
    for name in config["recipes"]:
        _build(AlignSettings, names.recipe(config, name), f"align with recipes.{name}")
    options = {
        name: build(datasets.adapter(entry["adapter"]).Options, entry["options"], where=f"datasets.{name}.options")
        for name, entry in config["datasets"].items()
    }
    for findings in (_parts(config), _phantoms(config), _datasets(config, options), _cohorts(config, options)):
        for is_right, key, expected, found in findings:
            if not is_right:
                raise InputError.about(f"config: {key}", expected=expected, found=str(found))


def _build(cls: type, values: Mapping[str, Any], where: str) -> None:
    """What a dataclass says of values that do not go together lacks the place, unlike what `build` says."""
    try:
        build(cls, values, where=where)
    except InputError as error:
        sentence = str(error)
        raise InputError(f"config: {sentence if where in sentence else f'{where}: {sentence}'}") from error


def _parts(config: Config) -> Iterator[Finding]:
    """Roles, generators and variants take targets of the right kind, made by the right backbone."""
    targets = config["targets"]
    for role, kind in ROLE_KINDS.items():
        target = config["roles"][role]
        found = targets[target]["kind"]
        yield found == kind, f"roles.{role}", f"a target of kind {kind}", f"{target}, of kind {found}"
    for name, entry in config["generators"].items():
        if target := entry["latent"]:
            kind, backbone = targets[target]["kind"], targets[target]["backbone"]
            yield kind == "latent", f"generators.{name}.latent", "a target of kind latent", f"{target}, of kind {kind}"
            same = entry["backbone"] == backbone
            yield same, f"generators.{name}.backbone", f"{backbone}, which made {target}", entry["backbone"]
    for name, entry in config["variants"].items():
        target, generator = names.condition(config, name)[1], config["generators"][entry["generator"]]
        if target == config["roles"]["c"]:
            expected = f"text states of generator {entry['generator']} ({generator['backbone']})"
            found = targets[target]["backbone"]
            yield found == generator["backbone"], f"variants.{name}.condition", expected, f"{target}, of {found}"


def _phantoms(config: Config) -> Iterator[Finding]:
    """A simulated study is as large as its dataset is said to be."""
    for name, values in config["phantom"].items():
        yield name in config["datasets"], "phantom", f"one of {', '.join(config['datasets'])}", name
        _build(PhantomSettings, values, f"phantom.{name}")
        entry, counts = config["datasets"][name], dict(values["counts"])
        expected = f"those of datasets.{name}.subjects ({', '.join(entry['subjects'])})"
        same = values["subjects"] == entry["subjects"]
        yield same, f"phantom.{name}.subjects", expected, ", ".join(values["subjects"])
        for split in ("train", "test"):  # MOSAIC counts trials
            counts[f"{split}_trials"] = counts.get(f"{split}_clips", 0) * counts.get(f"{split}_repeats", 0)
        for key, option in entry["options"].items():
            if key in counts and (key in values["counts"] or key.endswith("_trials")):
                number = len(option) if isinstance(option, list) else option
                expected = f"{key} {number}, as in datasets.{name}.options"
                yield counts[key] == number, f"phantom.{name}.counts", expected, counts[key]


def _datasets(config: Config, options: Mapping[str, Any]) -> Iterator[Finding]:
    """A dataset can give what is asked of it: captions, test clips."""
    for name, entry in config["datasets"].items():
        own = options[name]
        if own.resting:
            yield not entry["evaluate"], f"datasets.{name}.evaluate", "nobody, as nothing was shown", entry["evaluate"]
            continue
        captioned = own.captioned or entry["captioner"] or entry.get("captions")
        expected = f"a backbone, as adapter {entry['adapter']} gives no human captions (or a file under captions)"
        yield bool(captioned), f"datasets.{name}.captioner", expected, "none"
        most = own.test_stimuli
        fits = most is None or entry["evaluate_clips"] <= most
        yield fits, f"datasets.{name}.evaluate_clips", f"at most the {most} test clips", entry["evaluate_clips"]


def _cohorts(config: Config, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Only masked modelling learns from rest, where nothing was shown."""
    layers = [(f"encoders.{name}.align", entry.get("align")) for name, entry in config["encoders"].items()]
    layers += [(f"regressors.{name}.cohort", entry["cohort"]) for name, entry in config["regressors"].items()]
    for key, cohort in layers:
        for dataset in names.named(config["cohorts"][cohort]) if cohort else ():
            resting = dataset in options and options[dataset].resting
            yield not resting, key, "a cohort of datasets with stimuli", f"{cohort}, with {dataset} at rest"
