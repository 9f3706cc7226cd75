"""Refusing a config before any job is planned: unknown keys, names of nothing, names that do not go together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from brainflix import config as names
from brainflix.config import GAUSSIAN, MEAN, NONE, TRUTH, Config
from brainflix.errors import InputError


def validate(config: Config, schema: Path) -> None:
    """Refuse unknown keys and values of the wrong type.

    Raises:
        InputError: names the key, what the schema expects there, and what it is.
    """
    import yaml
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    validator = Draft202012Validator(yaml.safe_load(schema.read_text(encoding="utf-8")))
    error = best_match(validator.iter_errors(config))
    if error:
        key = ".".join(str(part) for part in error.absolute_path) or "top level"
        meaning = error.schema.get("description", "")
        raise InputError(f"config: {key}: {error.message}" + (f" ({meaning})" if meaning else ""))


def check(config: Config) -> None:
    """Refuse names that refer to nothing, before any job is planned.

    Raises:
        InputError: names the key, what it may be, and what it is.
    """
    for key, value, allowed in _references(config):
        if value not in allowed:
            raise InputError.about(
                f"config: {key}", expected=f"one of {', '.join(sorted(allowed))}", found=f"{value!r}"
            )
    for dataset, entry in config["datasets"].items():
        numbers = {s: re.sub(r"^(sub(ject)?-?)?0*(?=\d)", "", s) for s in entry["subjects"]}  # 1 and 01 are one person
        count = Counter(numbers[subject] for subject in entry["subjects"])
        twice = [subject for subject, number in numbers.items() if count[number] > 1]
        if twice:
            found = f"{', '.join(twice)} twice"
            raise InputError.about(f"config: datasets.{dataset}.subjects", expected="each once", found=found)
    for name, entry in config["encoders"].items():
        _check_no_loop(config, name)
        _check_recipe(config, name, entry)
    for name, entry in config["cohorts"].items():
        if not names.named(entry):
            raise InputError.about(f"config: cohorts.{name}", expected="a dataset that is not none", found="none")
        for dataset, who in entry.items():
            if not isinstance(who, str) and dataset in config["datasets"]:
                _check_shards(config, f"config: cohorts.{name}.{dataset}", dataset, who)
    for name in config["variants"]:
        _check_variant(config, name)


def _check_no_loop(config: Config, encoder: str) -> None:
    """An encoder may not start, step by step, from itself."""
    seen = [encoder]
    while init := config["encoders"][seen[-1]].get("init"):
        if init in seen:
            found = " from ".join([*seen, init])
            raise InputError.about(f"config: encoders.{encoder}.init", expected="another encoder", found=found)
        seen.append(init)


def _check_recipe(config: Config, encoder: str, entry: Config) -> None:
    """A recipe says how to align; and adapters belong in front of the encoder once."""
    if "recipe" in entry and "align" not in entry:
        expected = "none, as it is not aligned"
        raise InputError.about(f"config: encoders.{encoder}.recipe", expected=expected, found=entry["recipe"])
    init = config["encoders"].get(entry.get("init"), {})
    if "align" in init and names.alignment(config, entry["init"])["adapter_rank"]:
        expected = "an encoder without adapters to start from"
        raise InputError.about(f"config: encoders.{encoder}.init", expected=expected, found=entry["init"])


def _check_variant(config: Config, name: str) -> None:
    """A variant may not ask for what its generator or its input cannot give."""
    entry = config["variants"][name]
    if names.latent_target(config, name) is None and entry["latent"] != NONE:
        expected = f"none, as generator {entry['generator']} takes no latent"
        raise InputError.about(f"config: variants.{name}.latent", expected=expected, found=entry["latent"])
    if entry["input"] != GAUSSIAN:
        return
    for source in {entry["latent"], names.condition(config, name)[0]} & set(config["regressors"]):
        for cohort in names.cohorts_of(config, "regressors", source):
            if names.symbols(config["cohorts"][cohort]) & {"own", "others"}:
                expected = f"responses, as regressor {source} is bound to a subject by cohort {cohort}"
                raise InputError.about(f"config: variants.{name}.input", expected=expected, found=GAUSSIAN)


def _check_shards(config: Config, where: str, dataset: str, subjects: Sequence[str]) -> None:
    """A file of responses is learned from as a whole, so a cohort may not cut through a shard."""
    for stem, inside in names.shards(config, dataset).items():
        if 0 < len(set(inside) & set(subjects)) < len(inside):
            raise InputError.about(
                where, expected=f"all subjects of {stem} or none (shard_subjects)", found=", ".join(subjects)
            )


def _references(config: Config) -> Iterator[tuple[str, Any, set[str]]]:
    known = {key: set(config[key]) for key in ("datasets", "targets", "cohorts", "encoders", "regressors", "variants")}
    backbones, generators = set(config["backbones"]), set(config["generators"])
    for name, entry in config["datasets"].items():
        for subject in entry["evaluate"]:
            yield f"datasets.{name}.evaluate", subject, set(entry["subjects"])
        yield f"datasets.{name}.captioner", entry["captioner"] or NONE, backbones | {NONE}
    for name, entry in config["targets"].items():
        yield f"targets.{name}.backbone", entry["backbone"], backbones
    for role, target in config["roles"].items():
        yield f"roles.{role}", target, known["targets"]
    for name, entry in config["cohorts"].items():
        for dataset, who in entry.items():
            yield f"cohorts.{name}", dataset, known["datasets"] | {"own-dataset"}
            for subject in [] if isinstance(who, str) or dataset not in known["datasets"] else who:
                yield f"cohorts.{name}.{dataset}", subject, set(config["datasets"][dataset]["subjects"])
    for name, entry in config["encoders"].items():
        for key, allowed in (("pretrain", "cohorts"), ("align", "cohorts"), ("init", "encoders")):
            if key in entry:
                yield f"encoders.{name}.{key}", entry[key], known[allowed]
        yield f"encoders.{name}.recipe", entry.get("recipe", NONE), set(config["recipes"]) | {NONE}
    for name, entry in config["regressors"].items():
        yield f"regressors.{name}.encoder", entry["encoder"], known["encoders"] | {NONE}
        yield f"regressors.{name}.cohort", entry["cohort"], known["cohorts"]
    for name, entry in config["generators"].items():
        yield f"generators.{name}.backbone", entry["backbone"], backbones
        yield f"generators.{name}.latent", entry["latent"] or NONE, known["targets"] | {NONE}
    for name, entry in config["variants"].items():
        source, _, role = entry["condition"].partition("/")
        yield f"variants.{name}.generator", entry["generator"], generators
        yield f"variants.{name}.latent", entry["latent"], known["regressors"] | {TRUTH, MEAN, NONE}
        yield f"variants.{name}.condition", source, known["regressors"] | {TRUTH, MEAN, NONE}
        if source == NONE:
            yield f"variants.{name}.condition", entry["condition"], {NONE}
        elif role or source != TRUTH:
            yield f"variants.{name}.condition", role, {"b", "c"}
    for dataset, rows in config["headline"].items():
        yield "headline", dataset, known["datasets"]
        for row in rows:
            yield f"headline.{dataset}", row, known["variants"]
    for row in config["gallery"]["variants"]:
        yield "gallery.variants", row, known["variants"]
    for row in config["ablations"]:
        yield "ablations", row, known["variants"]
