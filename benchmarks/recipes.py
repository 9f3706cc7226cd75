"""The paper's alignment against ours: ``python -m benchmarks recipes --results RESULTS``.

RESULTS is the folder of a finished run of the demo (`make demo`); its responses, targets, captions and pretrained
encoder are read, the latter for every seed: seeds drive alignment and regressors. What is made goes to ``--folder``,
and what lies there is not made again.

``choices``: every part of the recipe, put alone beside the paper's loss and taken alone out of ours, judged on a fifth
of the *training* clips (blocks of neighbours) in a study without any test row; one seed. ``test``: the two recipes as
they were chosen, on the test clips, over the seeds. ``subjects``: on a simulated BMD of more subjects, one subject
against several at the same number of rows a subject, and zero-shot errors as subjects are added; also by ridge
regression from the responses averaged over repeats (``linear``), which nothing is pretrained or aligned for.

Scores are per clip: rank of the clip's captions by the aligned embedding (e), errors of z and b predicted from the
encoder's embedding by the variant's MLP of the own dataset, or by ridge regression, and ranks of the true z and b
among the clips. A value is the mean over seeds and subjects; an interval is over clips (BCa bootstrap; windows of one
movie that start within the same 12 s together). ``gain`` is the paired difference to the paper's recipe, positive
where better. The last line is JSON.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import _fits as fits
from benchmarks._gains import gains, together
from brainflix import config as names
from brainflix.phantom.settings import PhantomSettings
from brainflix.settings import build
from brainflix.steps.extract import extract
from brainflix.steps.index import index
from brainflix.steps.parcellate import parcellate
from brainflix.steps.pretrain import PretrainSettings, pretrain
from brainflix.steps.synthesize import synthesize

ROOT = Path(__file__).parents[1]
SHARE = 0.2  # of the training clips, to choose by
SUBJECTS = 5
COHORTS = {  # who of the larger BMD is learned from, to decode the first
    "own data": [0],
    "own and 4 others": [0, 1, 2, 3, 4],
    "1 other": [1],
    "2 others": [1, 2],
    "4 others": [1, 2, 3, 4],
}
# The parts of the recipe, by what they change.
PARTS: dict[str, dict[str, Any]] = {
    "symmetric": {"loss": {"symmetric": True}},
    "multi-positive": {"loss": {"positives": "stimulus"}},
    "centred": {"loss": {"centre_targets": True}},
    "temperature 0.07": {"loss": {"temperature": 0.07}},
    "learned scale": {"loss": {"temperature": 0.07}, "largest_scale": 100.0},
    "sampled captions": {"sample_captions": True},
    "projector": {"projector_hidden": 256},
    "adapters": {"adapter_rank": 4},
}
WITHOUT: dict[str, dict[str, Any]] = {
    "symmetric": {"loss": {"symmetric": False}},
    "multi-positive": {"loss": {"positives": "diagonal"}},
    "centred": {"loss": {"centre_targets": False}},
    "learned scale": {"largest_scale": None},
    "sampled captions": {"sample_captions": False},
    "projector": {"projector_hidden": None},
    "adapters": {"adapter_rank": None},
}
BESIDE: dict[str, dict[str, Any]] = {
    "early stopping": {"held_out": {"share": 0.1, "patience": 5}},
    "mbm 0.1": {"mbm_weight": 0.1},
    "mbm 1": {"mbm_weight": 1.0},
}


def main(arguments: list[str]) -> None:
    """Measure, print tables, and JSON as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=None, help="where to write; temporary by default")
    parser.add_argument("--part", choices=["choices", "test", "subjects"], nargs="+", default=["choices", "test"])
    parser.add_argument("--only", nargs="+", default=None, help="only these recipes")
    parser.add_argument("--datasets", nargs="+", default=["bmd", "cc2017"], help="of `choices` and `test`")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(chosen.results, chosen.folder or Path(temporary), chosen.datasets, chosen.only)
        parts = {"choices": bench.choices, "test": partial(bench.test, chosen.seeds)}
        parts["subjects"] = partial(bench.subjects, chosen.seeds)
        tables = {name: parts[name]() for name in chosen.part}
    for name, table in tables.items():
        print(f"\n{name}\n{table.to_string(index=False, float_format=lambda value: f'{value:.4f}')}")
    print(json.dumps({"name": "recipes", **{name: table.to_dict("records") for name, table in tables.items()}}))


class Bench:
    """Studies made from finished results, and what recipes are worth on them."""

    def __init__(self, results: Path, folder: Path, datasets: Sequence[str], only: Sequence[str] | None = None) -> None:
        self.results, self.folder, self.datasets, self.only = results, folder, datasets, only
        self.config = names.load([ROOT / "config" / "paper.yaml", ROOT / "config" / "demo.yaml"])
        # As large as the demo's networks. Clips are few: those held out cost more than an early stop gains (`choices`).
        small = {"projector_hidden": 256, "adapter_rank": 4, "held_out": None, "training": {"epochs": 6}}
        self.recipes = {"paper": {}, "brainflix": self._laid_over(self.config["recipes"]["brainflix"], small)}

    def choices(self) -> pd.DataFrame:
        """Parts of the recipe on held-out training clips."""
        for part, change in PARTS.items():
            self.recipes[f"paper + {part}"] = change
        for part, change in WITHOUT.items():
            self.recipes[f"brainflix - {part}"] = self._laid_over(self.recipes["brainflix"], change)
        for part, change in BESIDE.items():
            self.recipes[f"brainflix + {part}"] = self._laid_over(self.recipes["brainflix"], change)
        study = {name: self._hidden(name) for name in self.datasets}
        chosen = [name for name in self.recipes if self.only is None or name in self.only]
        return self._compare("choices", study, chosen, seeds=[0], models=("mlp", "ridge"))

    def test(self, seeds: Sequence[int]) -> pd.DataFrame:
        """The recipes on test clips."""
        study = {name: self._whole(name) for name in self.datasets}
        return self._compare("test", study, self.only or ["paper", "brainflix"], seeds=seeds, models=("mlp",))

    def _compare(
        self,
        part: str,
        study: Mapping[str, Any],
        recipes: Sequence[str],
        *,
        seeds: Sequence[int],
        models: Sequence[str],
    ) -> pd.DataFrame:
        """Every recipe with every seed, decoded by some models; a table of recipes, datasets and metrics."""
        tables = []
        for recipe in recipes:
            for seed in seeds:
                settings = self._settings(recipe)
                path = self.folder / part / "-".join(self.datasets) / recipe.replace(" ", "_") / f"seed-{seed}.csv"
                made = fits.once(path, partial(self._fit, study, settings, seed=seed, models=models))
                tables.append(made.assign(recipe=recipe, seed=seed))
        return self._gains(tables, lambda recipe: "paper")

    def _fit(
        self,
        study: Mapping[str, Any],
        settings: Mapping[str, Any],
        folder: Path,
        *,
        seed: int,
        models: Sequence[str],
    ) -> pd.DataFrame:
        """Align on all datasets, decode each from its own; scores of every clip and subject."""
        files = {key: [path for part in study.values() for path in part[key]] for key in ("responses", "each", "mean")}
        init = self.results / "encoders" / "mbm-had" / "all" / "seed-0" / "encoder.safetensors"
        encoder = fits.aligned(init, files, settings, seed=seed, out=folder / "encoder.safetensors")
        tables = []
        for name, part in study.items():
            features = fits.embedded(encoder, part["responses"], folder / name)
            for number, tested in enumerate(features):
                found = [fits.caption_ranks(encoder, settings, tested, part["mean"][0])]
                for model in models:
                    how = {"model": model, "settings": self.config[model], "seed": seed}
                    how["folder"] = folder / name / model
                    found += [fits.decoded(features, target, tested, **how) for target in part["targets"]]
                tables.append(pd.concat(found).assign(dataset=name, subject=number))
        return pd.concat(tables, ignore_index=True)

    @staticmethod
    def _laid_over(settings: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
        """Some settings with a change, key by key."""
        return names.recipe({"align": settings, "recipes": {"change": change}}, "change")

    def _settings(self, recipe: str) -> dict[str, Any]:
        return self._laid_over(self.config["align"], self.recipes[recipe])

    def _gains(self, tables: Sequence[pd.DataFrame], baseline: Callable[[str], str]) -> pd.DataFrame:
        groups = {name: together(self.results / name / "stimuli.tsv") for name in {*self.datasets, "bmd"}}
        return gains(pd.concat(tables, ignore_index=True), groups, baseline)

    def _whole(self, name: str) -> dict[str, list[Path]]:
        """Files of a dataset as the run of the demo left them, and each caption's embedding."""
        folder, roles = self.results / name, self.config["roles"]
        subjects = self.config["datasets"][name]["subjects"]
        return {
            "responses": [folder / "responses" / f"sub-{subject}.h5" for subject in subjects],
            "each": [self._each(name)],
            "mean": [folder / "targets" / f"{roles['e']}.h5"],
            "targets": [folder / "targets" / f"{target}.h5" for target in ("z-tiny", roles["b"])],
        }

    def _hidden(self, name: str) -> dict[str, list[Path]]:
        """The same of training clips alone, a part of them for test."""
        whole, folder = self._whole(name), self.folder / "hidden" / name
        paths = [path for files in whole.values() for path in files]
        if not folder.exists():
            fits.hide(paths, folder, stimuli=self.results / name / "stimuli.tsv", share=SHARE)
        return {key: [folder / path.name for path in files] for key, files in whole.items()}

    def _each(self, name: str) -> Path:
        out = self.folder / "each" / name / "each.h5"
        if not out.exists():
            entry, target = self.config["datasets"][name], self.config["targets"][self.config["roles"]["e"]]
            extract(
                name=name, dataset=entry["adapter"], root=self.results.parent / entry["root"],
                stimuli=self.results / name / "stimuli.tsv", captions=self.results / name / "captions.tsv",
                target_kind=target["kind"], backbone=self.config["backbones"][target["backbone"]],
                settings=target["settings"], each=True, threads=1, out=out,
            )  # fmt: skip
        return out

    def _without_bmd(self) -> Path:
        """An encoder pretrained on rest and HAD alone, as the demo pretrains its own."""
        out = self.folder / "pretrained.safetensors"
        if not out.exists():
            folders = [self.results / name / "responses" for name in ("hcp", "had")]
            responses = [path for folder in folders for path in sorted(folder.glob("s*-[0-9]*.h5"))]
            settings = build(PretrainSettings, self.config["pretrain"], where="pretrain")
            checkpoints = out.parent / "checkpoints"
            pretrain(responses=responses, out=out, settings=settings, seed=0, checkpoints=checkpoints, threads=1)
        return out

    def subjects(self, seeds: Sequence[int]) -> pd.DataFrame:
        """Subject 01 of a larger BMD, decoded from one's own data, one's own and others', and others' alone."""
        study, tables = self._many(), []
        for recipe in self.only or ("linear", "paper", "brainflix"):
            for seed in seeds[:1] if recipe == "linear" else seeds:  # exact: no seed has a part in it
                for name, learned in COHORTS.items():
                    path = self.folder / "subjects" / recipe / f"seed-{seed}" / f"{name.replace(' ', '_')}.csv"
                    settings = None if recipe == "linear" else self._settings(recipe)
                    make = partial(self._decode, study, settings, learned=learned, seed=seed)
                    tables.append(fits.once(path, make).assign(recipe=f"{recipe}, {name}", dataset="bmd"))
        return self._gains(tables, _fewest)

    def _decode(
        self,
        study: Mapping[str, list[Path]],
        settings: Mapping[str, Any] | None,
        folder: Path,
        *,
        learned: Sequence[int],
        seed: int,
    ) -> pd.DataFrame:
        """Scores of the first subject, by what was learned from the subjects ``learned``; rest and HAD before that."""
        files = {**study, "responses": [study["responses"][i] for i in learned]}
        if settings is None:
            ridge = {**self.config["ridge"], "repeats": "averaged"}
            how = {"model": "ridge", "settings": ridge, "seed": seed, "folder": folder}
            tested = study["responses"][0]
            return pd.concat(fits.decoded(files["responses"], target, tested, **how) for target in study["targets"])
        encoder = fits.aligned(self._without_bmd(), files, settings, seed=seed, out=folder / "encoder.safetensors")
        features = fits.embedded(encoder, files["responses"], folder / "learned")
        tested = fits.embedded(encoder, study["responses"][:1], folder / "tested")[0]
        how = {"model": "mlp", "settings": self.config["mlp"], "seed": seed, "folder": folder}
        found = [fits.decoded(features, target, tested, **how) for target in study["targets"]]
        return pd.concat([fits.caption_ranks(encoder, settings, tested, study["mean"][0]), *found])

    def _many(self) -> dict[str, list[Path]]:
        """The demo's BMD with more subjects: the same clips, so the same targets."""
        entry, folder = copy.deepcopy(self.config["datasets"]["bmd"]), self.folder / "many"
        subjects = [f"{number:02}" for number in range(1, SUBJECTS + 1)]
        if not (folder / "raw" / "phantom.json").exists():
            settings = build(PhantomSettings, {**self.config["phantom"]["bmd"], "subjects": subjects}, where="phantom")
            synthesize(dataset="bmd", root=folder / "raw", settings=settings, seed=self.config["phantom_seed"])
        common = {"dataset": "bmd", "root": folder / "raw", "options": entry["options"]}
        index(**common, subjects=subjects, out=folder / "stimuli.tsv")
        responses = [folder / f"sub-{subject}.h5" for subject in subjects]
        for subject, path in zip(subjects, responses, strict=True):
            if not path.exists():
                parcellate(name="bmd", **common, subjects=[subject], stimuli=folder / "stimuli.tsv", out=path)
        return {**self._whole("bmd"), "responses": responses}


def _fewest(recipe: str) -> str:
    """What several subjects are compared with: one's own data alone, or one other subject alone."""
    name, whose = recipe.split(", ")
    return f"{name}, {'own data' if whose.startswith('own') else '1 other'}"
