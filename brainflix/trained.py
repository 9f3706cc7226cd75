"""Which networks are trained for a dataset's table, and where their training curves lie."""

from __future__ import annotations

from typing import Any

from brainflix import config as names
from brainflix.config import Binding, Config
from brainflix.errors import InputError
from brainflix.paths import ENCODER, REGRESSOR


def curves(config: Config, wildcards: Any) -> dict[str, str]:
    """Training curves behind ``results/{dataset}/metrics.csv``: {"network/run": file}, in the order of the table.

    Raises:
        InputError: there are none.
    """
    found: dict[str, str] = {}
    for variant in config["headline"][wildcards.dataset]:
        for subject in names.evaluated_subjects(config, wildcards.dataset, variant):
            nobody = subject == names.ANY
            for seed in config["seeds"]:
                found |= _of_variant(config, variant, Binding(wildcards.dataset, None if nobody else subject), seed)
    if not found:
        where = f"config: headline.{wildcards.dataset}"
        raise InputError.about(where, expected="a variant that learns step by step", found="none")
    return found


def _of_variant(config: Config, variant: str, bound: Binding, seed: int) -> dict[str, str]:
    pairs = [(config["variants"][variant]["latent"], names.latent_target(config, variant))]
    pairs.append(names.condition(config, variant))
    found = {}
    for source, target in pairs:
        if source in config["regressors"] and target is not None:
            entry = config["regressors"][source]
            if entry["encoder"] != names.NONE:
                found |= _of_encoder(config, entry["encoder"], bound, seed)
            if entry["model"] == "mlp":
                scope = names.scope(config, "regressors", source, bound)
                folder = REGRESSOR.format(regressor=source, scope=scope, seed=seed)
                found[f"MLP {source}/{target}, {scope}, seed {seed}"] = f"{folder}/{target}.csv"
    return found


def _of_encoder(config: Config, encoder: str, bound: Binding, seed: int) -> dict[str, str]:
    entry = config["encoders"][encoder]
    before = _of_encoder(config, entry["init"], bound, seed) if "init" in entry else {}
    if "import" in entry:
        return before  # others trained it
    scope = names.scope(config, "encoders", encoder, bound)
    folder = ENCODER.format(encoder=encoder, scope=scope, seed=seed)
    return {**before, f"encoder {encoder}/{scope}, seed {seed}": f"{folder}/encoder.csv"}
