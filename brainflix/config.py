"""What the names in the config mean: cohorts, scopes, and who depends on whom.

Pure functions on the config mapping; Snakemake's input functions are thin callers of these.

A *cohort* says whose data a layer learns from. Its symbols (``own``, ``others``, ``own-dataset``)
are bound to the evaluated subject, and the binding shows in the path as the *scope*:
``all``, ``bmd`` (own dataset), ``bmd-01`` (own subject), ``not-bmd-01`` (everybody else).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from brainflix.errors import InputError

Config = Mapping[str, Any]
ANY, GAUSSIAN, NONE, TRUTH, MEAN = "any", "gaussian", "none", "truth", "mean"


class Binding(NamedTuple):
    """The evaluated dataset and subject; None where nothing needs to be known of them."""

    dataset: str | None = None
    subject: str | None = None


def load(paths: Sequence[Path]) -> dict[str, Any]:
    """The configuration that some YAML files make; the later wins, key by key, and a list replaces a list.

    Raises:
        InputError: a file is missing, not UTF-8, or no YAML mapping.
    """
    import yaml

    config: dict[str, Any] = {}
    for path in paths:
        try:
            layer = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError.about(path, expected="a YAML file", found=str(error)) from error
        if not isinstance(layer, dict):
            raise InputError.about(path, expected="a mapping (YAML)", found=type(layer).__name__)
        _lay_over(config, layer)
    return config


def _lay_over(config: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            _lay_over(config[key], value)
        else:
            config[key] = value


def needed_datasets(config: Config, tables: Mapping[str, Sequence[str]] | None = None) -> set[str]:
    """Datasets that some tables show, and those that something in them learns from.

    Args:
        tables: {dataset: variants}; those under ``headline`` unless given.
    """
    tables = config["headline"] if tables is None else tables
    found = set(tables)
    for dataset, rows in tables.items():
        for row in rows:
            sources = {config["variants"][row]["latent"], condition(config, row)[0]} & set(config["regressors"])
            for cohort in (c for source in sources for c in cohorts_of(config, "regressors", source)):
                found |= {dataset if name == "own-dataset" else name for name in named(config["cohorts"][cohort])}
    return found


def cohorts_of(config: Config, layer: str, name: str) -> list[str]:
    """Names of the cohorts that determine an encoder or regressor, its own first.

    Args:
        layer: ``encoders`` or ``regressors``.
    """
    entry = config[layer][name]
    if layer == "regressors":
        inherited = [] if entry["encoder"] == NONE else cohorts_of(config, "encoders", entry["encoder"])
        return [entry["cohort"], *inherited]
    own = [entry[key] for key in ("pretrain", "align") if key in entry]  # of an imported one nothing is known
    return [*own, *(cohorts_of(config, "encoders", entry["init"]) if "init" in entry else [])]


def scope(config: Config, layer: str, name: str, binding: Binding) -> str:
    """The path segment that says how an encoder or regressor is bound to the evaluated subject."""
    found = [symbols(config["cohorts"][c]) for c in cohorts_of(config, layer, name)]
    for bound in found:
        if "others" in bound:
            return f"not-{binding.dataset}-{binding.subject}"
        if "own" in bound:
            return f"{binding.dataset}-{binding.subject}"
    return f"{binding.dataset}" if any(found) else "all"


def named(cohort: Mapping[str, Any]) -> dict[str, Any]:
    """A cohort without the datasets that an overlay took out of it."""
    return {dataset: who for dataset, who in cohort.items() if who != NONE}


def symbols(cohort: Mapping[str, Any]) -> set[str]:
    """Which of own, others and own-dataset bind a cohort to the evaluated subject."""
    cohort = named(cohort)
    found = {who for who in cohort.values() if who in ("own", "others")}
    return found | ({"own-dataset"} if "own-dataset" in cohort else set())


def binding(config: Config, scope: str) -> Binding:
    """Read a scope back: the inverse of :func:`scope`.

    >>> config = {"datasets": {"bmd": {"subjects": ["01"]}}}
    >>> binding(config, "not-bmd-01")
    Binding(dataset='bmd', subject='01')
    """
    if scope == "all":
        return Binding()
    for dataset, entry in config["datasets"].items():
        if scope == dataset:
            return Binding(dataset)
        for subject in entry["subjects"]:
            if scope.removeprefix("not-") == f"{dataset}-{subject}":
                return Binding(dataset, subject)
    raise InputError.about("config", expected="a scope such as all, bmd or not-bmd-01", found=scope)


def members(config: Config, cohort: str, bound: Binding) -> list[tuple[str, list[str]]]:
    """Whose data a cohort means: [(dataset, [subjects])] in the order of the config."""
    found = []
    for key, who in named(config["cohorts"][cohort]).items():
        dataset = bound.dataset if key == "own-dataset" else key
        if who in ("own", "others") and dataset != bound.dataset:
            expected = f"that who learns from {who} of {dataset} is evaluated on {dataset}"
            raise InputError.about(f"cohort {cohort}", expected=expected, found=bound.dataset or "no dataset")
        everybody = config["datasets"][dataset]["subjects"]
        chosen = {
            "all": everybody,
            "own": [bound.subject],
            "others": [s for s in everybody if s != bound.subject],
        }.get(who if isinstance(who, str) else "", who)
        if not chosen:
            raise InputError(f"cohort {cohort}: no subject of {dataset} is left")
        found.append((dataset, list(chosen)))
    return found


def shards(config: Config, dataset: str) -> dict[str, list[str]]:
    """Units that responses of a dataset are cut into: {file stem: subjects}.

    One file per subject, or one per ``shard_subjects`` subjects where the dataset asks for it.
    """
    entry = config["datasets"][dataset]
    size, subjects = entry.get("shard_subjects"), entry["subjects"]
    if not size:
        return {f"sub-{s}": [s] for s in subjects}
    return {f"shard-{i // size:03d}": subjects[i : i + size] for i in range(0, len(subjects), size)}


def inside(config: Config, dataset: str, stem: str) -> list[str]:
    """Subjects in a file of responses.

    Raises:
        InputError: the dataset has no such subject or shard.
    """
    known = shards(config, dataset)
    if stem not in known:
        few = ", ".join([*known][:3]) + (", ..." if len(known) > 3 else "")
        raise InputError.about(f"responses of {dataset}", expected=f"one of {few} (config)", found=stem)
    return known[stem]


def alignment(config: Config, encoder: str) -> dict[str, Any]:
    """How an encoder is aligned: as ``align`` says, or by its recipe."""
    name = config["encoders"][encoder].get("recipe")
    return recipe(config, name) if name else dict(config["align"])


def recipe(config: Config, name: str) -> dict[str, Any]:
    """``align`` of the config with the differences of a recipe laid over."""
    settings = copy.deepcopy(dict(config["align"]))
    _lay_over(settings, copy.deepcopy(config["recipes"][name]))
    return settings


def response_stems(config: Config, dataset: str, subjects: list[str]) -> list[str]:
    """File stems that hold the responses of these subjects."""
    return [stem for stem, inside in shards(config, dataset).items() if set(inside) & set(subjects)]


def latent_target(config: Config, variant: str) -> str | None:
    """Name of the z that a variant's generator accepts."""
    return config["generators"][config["variants"][variant]["generator"]]["latent"]


def condition(config: Config, variant: str) -> tuple[str, str | None]:
    """(source, target) of a variant's text conditioning, e.g. ("full", "b-blip")."""
    source, _, role = config["variants"][variant]["condition"].partition("/")
    return source, config["roles"][role] if role else None


def needs_subject(config: Config, variant: str) -> bool:
    """Whether a variant's videos depend on who was scanned."""
    entry = config["variants"][variant]
    sources = {entry["latent"], condition(config, variant)[0]}
    return entry["input"] != GAUSSIAN and bool(sources & set(config["regressors"]))


def evaluated_subjects(config: Config, dataset: str, variant: str) -> list[str]:
    """Subjects a variant is evaluated on: the reserved ``any`` where no fMRI is needed.

    Raises:
        InputError: it needs somebody's fMRI, and nobody of the dataset is evaluated.
    """
    if not needs_subject(config, variant):
        return [ANY]
    subjects = config["datasets"][dataset]["evaluate"]
    if not subjects:
        expected = f"the subjects whose videos to reconstruct, for variant {variant}"
        raise InputError.about(f"config: datasets.{dataset}.evaluate", expected=expected, found="none")
    return subjects
