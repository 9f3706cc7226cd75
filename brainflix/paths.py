"""The path grammar: which files a rule reads, from the config and its wildcards.

Every public function takes ``(config, wildcards)`` and returns a path, a list of paths, or a dict of
them keyed by the flag of the step that reads them. Snakemake calls these; nothing here opens a file.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from brainflix import config as names
from brainflix.config import Binding, Config

VARIANT = "results/{dataset}/{variant}/seed-{seed}/sub-{subject}"
ENCODER = "results/encoders/{encoder}/{scope}/seed-{seed}"
REGRESSOR = "results/regressors/{regressor}/{scope}/seed-{seed}"


def responses(config: Config, dataset: str, subjects: list[str]) -> list[str]:
    """Parcellated responses of these subjects."""
    return [f"results/{dataset}/responses/{stem}.h5" for stem in names.response_stems(config, dataset, subjects)]


def other_reliabilities(config: Config, wildcards: Any) -> list[str]:
    """Reliability of the dataset's other subjects, whom a subject is compared with."""
    subjects = config["datasets"][wildcards.dataset]["subjects"]
    return [f"results/{wildcards.dataset}/reliability/sub-{s}.h5" for s in subjects if s != wildcards.subject]


def recorded_volume(config: Config, wildcards: Any) -> str:
    """Volumes of a run of a recording."""
    return config["recordings"][wildcards.recording]["runs"][int(wildcards.run) - 1]["volume"]


def recorded_runs(config: Config, wildcards: Any) -> dict[str, list[str]]:
    """Series, events and confounds of a recording's runs; volumes are projected first."""
    runs = config["recordings"][wildcards.recording]["runs"]
    made = f"results/recordings/{wildcards.recording}/run-{{}}.dtseries.nii"
    return {
        "series": [run.get("series", made.format(number)) for number, run in enumerate(runs, start=1)],
        "events": [run["events"] for run in runs],
        "confounds": [run["confounds"] for run in runs if "confounds" in run],
    }


def learnable_runs(config: Config, wildcards: Any) -> str:
    """The flag that says which runs of a recording something may be chosen on."""
    runs = config["recordings"][wildcards.recording]["runs"]
    numbers = [str(number) for number, run in enumerate(runs, start=1) if run.get("learn")]
    return f"--learn-from {' '.join(numbers)}" if numbers else ""


def learned_responses(config: Config, wildcards: Any) -> list[str]:
    """Responses an encoder is pretrained on or aligned with."""
    return [path for dataset, subjects in _cohort(config, wildcards) for path in responses(config, dataset, subjects)]


def learned_texts(config: Config, wildcards: Any) -> list[str]:
    """Text embeddings an encoder is aligned with, one file per dataset: means over captions, or each caption's."""
    each = "-each" if names.alignment(config, wildcards.encoder)["sample_captions"] else ""
    return [f"results/{d}/targets/{config['roles']['e']}{each}.h5" for d, _ in _cohort(config, wildcards)]


def initial_encoder(config: Config, wildcards: Any) -> list[str]:
    """The encoder that alignment or more pretraining starts from; pretraining may start from none."""
    init = config["encoders"][wildcards.encoder].get("init")
    if init is None:
        return []
    scope = names.scope(config, "encoders", init, names.binding(config, wildcards.scope))
    return [f"{ENCODER}/encoder.safetensors".format(encoder=init, scope=scope, seed=wildcards.seed)]


def learned_features(config: Config, wildcards: Any) -> list[str]:
    """Features a regressor is fitted on."""
    return [
        _features(config, wildcards, dataset, subject)
        for dataset, subjects in _cohort(config, wildcards)
        for subject in subjects
    ]


def learned_targets(config: Config, wildcards: Any) -> list[str]:
    """Targets a regressor is fitted on, one file per dataset."""
    return [f"results/{d}/targets/{wildcards.target}.h5" for d, _ in _cohort(config, wildcards)]


def predicted_features(config: Config, wildcards: Any) -> str:
    """Features a regressor predicts from, of one subject."""
    return _features(config, wildcards, wildcards.dataset, wildcards.subject)


def described(config: Config, wildcards: Any) -> dict[str, str]:
    """Inputs of describe: a predicted or true b, the dataset's own captions, or nothing."""
    source, target = names.condition(config, wildcards.variant)
    if source == names.TRUTH and target is None:
        return {"captions": f"results/{wildcards.dataset}/captions.tsv"}
    is_b = target == config["roles"]["b"]
    return {"condition": _predictions(config, wildcards, source, target)} if is_b else {}


def generated(config: Config, wildcards: Any) -> dict[str, str]:
    """Inputs of generate beside the captions: a latent, the true ones, and raw text states."""
    source, target = names.condition(config, wildcards.variant)
    truth = names.latent_target(config, wildcards.variant) or config["roles"]["y"]
    found = {"targets": f"results/{wildcards.dataset}/targets/{truth}.h5"}
    if latents := _latents(config, wildcards):
        found["latents"] = latents
    if target == config["roles"]["c"]:
        found["states"] = _predictions(config, wildcards, source, target)
    return found


def evaluated(config: Config, wildcards: Any) -> dict[str, str]:
    """Inputs of evaluate beside the videos: predicted and true z and b, where the variant has them."""
    source, target = names.condition(config, wildcards.variant)
    z, b = names.latent_target(config, wildcards.variant), config["roles"]["b"]
    has_b = target == b or (source == names.TRUTH and target is None)
    found = {
        "z": (_latents(config, wildcards), z),
        "b": (_predictions(config, wildcards, source, b) if has_b else None, b),
    }
    pairs = {}
    for key, (predictions, truth) in found.items():
        if predictions:
            pairs[f"{key}_predictions"] = predictions
            pairs[f"{key}_targets"] = f"results/{wildcards.dataset}/targets/{truth}.h5"
    return pairs


def shown(config: Config, wildcards: Any, *, name: str) -> list[str]:
    """A file of each variant that a gallery shows: first seed, first evaluated subject."""
    return [
        VARIANT.format(
            dataset=wildcards.dataset,
            variant=variant,
            seed=config["seeds"][0],
            subject=names.evaluated_subjects(config, wildcards.dataset, variant)[0],
        )
        + f"/{name}"
        for variant in config["gallery"]["variants"]
    ]


def scores(config: Config, wildcards: Any) -> list[str]:
    """Scores of a variant: every seed, every evaluated subject."""
    return [
        VARIANT.format(dataset=wildcards.dataset, variant=wildcards.variant, seed=seed, subject=subject) + "/scores.csv"
        for seed in config["seeds"]
        for subject in names.evaluated_subjects(config, wildcards.dataset, wildcards.variant)
    ]


def tables(config: Config, targets: Iterable[str]) -> dict[str, list[str]]:
    """Whose scores some targets of the workflow hold: {dataset: variants}; ``all`` and none are the headline."""
    found: dict[str, list[str]] = {}
    for target in targets or ["all"]:
        match target.split("/"):
            case ["all"]:
                found |= {dataset: list(rows) for dataset, rows in config["headline"].items()}
            case ["results", dataset, "metrics.csv"] if dataset in config["headline"]:
                found[dataset] = list(config["headline"][dataset])
            case ["results", "ablations", variant, _] if variant in config["variants"]:
                found.setdefault("bmd", []).append(variant)
            case ["results", dataset, variant, *_] if dataset in config["datasets"] and variant in config["variants"]:
                found.setdefault(dataset, []).append(variant)
    return found


def _cohort(config: Config, wildcards: Any) -> list[tuple[str, list[str]]]:
    """Whose data the encoder or regressor in the wildcards learns from."""
    if hasattr(wildcards, "regressor"):
        cohort = config["regressors"][wildcards.regressor]["cohort"]
    else:
        entry = config["encoders"][wildcards.encoder]
        cohort = entry.get("pretrain") or entry["align"]
    return names.members(config, cohort, names.binding(config, wildcards.scope))


def _features(config: Config, wildcards: Any, dataset: str, subject: str) -> str:
    encoder = config["regressors"][wildcards.regressor]["encoder"]
    if encoder == names.NONE:
        return f"results/{dataset}/responses/sub-{subject}.h5"
    scope = names.scope(config, "encoders", encoder, names.binding(config, wildcards.scope))
    folder = ENCODER.format(encoder=encoder, scope=scope, seed=wildcards.seed)
    return f"{folder}/{dataset}/sub-{subject}.h5"


def _latents(config: Config, wildcards: Any) -> str | None:
    source = config["variants"][wildcards.variant]["latent"]
    return _predictions(config, wildcards, source, names.latent_target(config, wildcards.variant))


def _predictions(config: Config, wildcards: Any, source: str, target: str | None) -> str | None:
    if source == names.NONE or target is None:
        return None
    if source == names.TRUTH:
        return f"results/{wildcards.dataset}/targets/{target}.h5"
    if source == names.MEAN:
        return f"results/{wildcards.dataset}/targets/{target}-mean.h5"
    is_noise = config["variants"][wildcards.variant]["input"] == names.GAUSSIAN
    subject = names.GAUSSIAN if is_noise else wildcards.subject
    bound = Binding(wildcards.dataset, None if is_noise else subject)
    scope = names.scope(config, "regressors", source, bound)
    folder = REGRESSOR.format(regressor=source, scope=scope, seed=wildcards.seed)
    return f"{folder}/{wildcards.dataset}/sub-{subject}/{target}.h5"
