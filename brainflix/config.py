"""What the names in the config mean: cohorts, scopes, and who depends on whom.

Pure functions on the config mapping; Snakemake's input functions are thin callers of these.

A *cohort* says whose data a layer learns from. Its symbols (``own``, ``others``, ``own-dataset``)
are bound to the evaluated subject, and the binding shows in the path as the *scope*:
``all``, ``bmd`` (own dataset), ``bmd-01`` (own subject), ``not-bmd-01`` (everybody else).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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


def needed_datasets(config: Config) -> set[str]:
    """Datasets that the tables under ``headline`` show, and those that something in them learns from."""
    found = set(config["headline"])
    for dataset, rows in config["headline"].items():
        for row in rows:
            sources = {config["variants"][row]["latent"], condition(config, row)[0]} & set(config["regressors"])
            for cohort in (c for source in sources for c in cohorts_of(config, "regressors", source)):
                found |= {dataset if name == "own-dataset" else name for name in _named(config["cohorts"][cohort])}
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
    own = entry.get("pretrain") or entry["align"]
    return [own, *(cohorts_of(config, "encoders", entry["init"]) if "init" in entry else [])]


def scope(config: Config, layer: str, name: str, binding: Binding) -> str:
    """The path segment that says how an encoder or regressor is bound to the evaluated subject."""
    symbols = [_symbols(config["cohorts"][c]) for c in cohorts_of(config, layer, name)]
    for found in symbols:
        if "others" in found:
            return f"not-{binding.dataset}-{binding.subject}"
        if "own" in found:
            return f"{binding.dataset}-{binding.subject}"
    return f"{binding.dataset}" if any(symbols) else "all"


def _named(cohort: Mapping[str, Any]) -> dict[str, Any]:
    """A cohort without the datasets that an overlay took out of it."""
    return {dataset: who for dataset, who in cohort.items() if who != NONE}


def _symbols(cohort: Mapping[str, Any]) -> set[str]:
    cohort = _named(cohort)
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
    for key, who in _named(config["cohorts"][cohort]).items():
        dataset = bound.dataset if key == "own-dataset" else key
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
    """Subjects a variant is evaluated on: the reserved ``any`` where no fMRI is needed."""
    return config["datasets"][dataset]["evaluate"] if needs_subject(config, variant) else [ANY]


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
        twice = [subject for subject, count in Counter(entry["subjects"]).items() if count > 1]
        if twice:
            found = f"{', '.join(twice)} twice"
            raise InputError.about(f"config: datasets.{dataset}.subjects", expected="each once", found=found)
    for name, entry in config["variants"].items():
        if latent_target(config, name) is None and entry["latent"] != NONE:
            expected = f"none, as generator {entry['generator']} takes no latent"
            raise InputError.about(f"config: variants.{name}.latent", expected=expected, found=entry["latent"])
    for name, entry in config["cohorts"].items():
        if not _named(entry):
            raise InputError.about(f"config: cohorts.{name}", expected="a dataset that is not none", found="none")
        for dataset, who in entry.items():
            if not isinstance(who, str) and dataset in config["datasets"]:
                _check_shards(config, f"config: cohorts.{name}.{dataset}", dataset, who)


def _check_shards(config: Config, where: str, dataset: str, subjects: Sequence[str]) -> None:
    """A file of responses is learned from as a whole, so a cohort may not cut through a shard."""
    for stem, inside in shards(config, dataset).items():
        if 0 < len(set(inside) & set(subjects)) < len(inside):
            raise InputError.about(
                where, expected=f"all subjects of {stem} or none (shard_subjects)", found=", ".join(subjects)
            )


def _references(config: Config) -> Iterator[tuple[str, Any, set[str]]]:
    names = {key: set(config[key]) for key in ("datasets", "targets", "cohorts", "encoders", "regressors", "variants")}
    backbones, generators = set(config["backbones"]), set(config["generators"])
    for name, entry in config["datasets"].items():
        for subject in entry["evaluate"]:
            yield f"datasets.{name}.evaluate", subject, set(entry["subjects"])
        yield f"datasets.{name}.captioner", entry["captioner"] or NONE, backbones | {NONE}
    for name, entry in config["targets"].items():
        yield f"targets.{name}.backbone", entry["backbone"], backbones
    for role, target in config["roles"].items():
        yield f"roles.{role}", target, names["targets"]
    for name, entry in config["cohorts"].items():
        for dataset, who in entry.items():
            yield f"cohorts.{name}", dataset, names["datasets"] | {"own-dataset"}
            for subject in [] if isinstance(who, str) or dataset not in names["datasets"] else who:
                yield f"cohorts.{name}.{dataset}", subject, set(config["datasets"][dataset]["subjects"])
    for name, entry in config["encoders"].items():
        for key, allowed in (("pretrain", "cohorts"), ("align", "cohorts"), ("init", "encoders")):
            if key in entry:
                yield f"encoders.{name}.{key}", entry[key], names[allowed]
    for name, entry in config["regressors"].items():
        yield f"regressors.{name}.encoder", entry["encoder"], names["encoders"] | {NONE}
        yield f"regressors.{name}.cohort", entry["cohort"], names["cohorts"]
    for name, entry in config["generators"].items():
        yield f"generators.{name}.backbone", entry["backbone"], backbones
        yield f"generators.{name}.latent", entry["latent"] or NONE, names["targets"] | {NONE}
    for name, entry in config["variants"].items():
        source, _, role = entry["condition"].partition("/")
        yield f"variants.{name}.generator", entry["generator"], generators
        yield f"variants.{name}.latent", entry["latent"], names["regressors"] | {TRUTH, MEAN, NONE}
        yield f"variants.{name}.condition", source, names["regressors"] | {TRUTH, MEAN, NONE}
        if role or source in names["regressors"] | {MEAN}:
            yield f"variants.{name}.condition", role, {"b", "c"}
    for dataset, rows in config["headline"].items():
        yield "headline", dataset, names["datasets"]
        for row in rows:
            yield f"headline.{dataset}", row, names["variants"]
    for row in config["gallery"]["variants"]:
        yield "gallery.variants", row, names["variants"]
    for row in config["ablations"]:
        yield "ablations", row, names["variants"]
