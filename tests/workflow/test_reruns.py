"""Of a finished study an edit of the config makes anew what depends on it, and nothing else; each row by itself."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from brainflix import jobs
from tests.conftest import phantom_section

from .conftest import ROOT

PAPER = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
SIMULATED = {"phantom": phantom_section(PAPER)}
ABLATIONS = [f"results/ablations/{variant}/metrics.csv" for variant in PAPER["ablations"]]
JUDGED = {"evaluate", "summarize", "ablation"}
MADE = {"generate", *JUDGED}
FITTED = {"regress", "predict", *MADE}


def plan(folder, targets, overlay=None):
    """Jobs to run for some targets, with an edit laid over the configuration."""
    (folder / "study.yaml").write_text(yaml.safe_dump(SIMULATED))
    (folder / "edit.yaml").write_text(yaml.safe_dump(overlay or {}))
    layers = [folder / "study.yaml", folder / "edit.yaml"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return jobs.planned(targets, snakefile=ROOT / "Snakefile", configfiles=layers)[0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which every ablation was made, as far as Snakemake knows."""
    folder = tmp_path_factory.mktemp("finished")
    for job in plan(folder, ABLATIONS):
        for output in job.outputs:
            path = folder / output
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1", "--touch"]
    layers = ["--configfile", "study.yaml", "edit.yaml"]
    done = subprocess.run([*command, "--forceall", *ABLATIONS, *layers], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return folder


@pytest.mark.slow
def test_a_finished_study_has_nothing_to_do(finished):
    assert not plan(finished, ABLATIONS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "edit, rules",
    [
        ({"ridge": {"folds": 4}}, FITTED),
        ({"mlp": {"hidden": 64}}, {*FITTED, "describe"}),
        ({"pretrain": {"training": {"epochs": 3}}}, {"pretrain", "align", "embed", "describe", *FITTED}),
        ({"align": {"training": {"epochs": 3}}}, {"align", "embed", "describe", *FITTED}),
        ({"describe": {"beams": 2}}, {"describe", *MADE}),
        ({"generators": {"video": {"settings": {"guidance": 7.0}}}}, MADE),
        ({"evaluate": {"shuffles": 5}}, JUDGED),
        ({"summarize": {"level": 0.9}}, {"summarize", "ablation"}),
        ({"gaussian_seed": 1}, {"gaussian", "embed", "predict", "describe", *MADE}),
        ({"clips_seed": 1}, {"describe", *MADE}),
        ({"headline": {"bmd": ["oracle"]}, "gallery": {"settings": {"seed": 3}}, "qc": {"space": "glasser41"}}, set()),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_an_edit_makes_anew_what_depends_on_it(finished, edit, rules):
    assert {job.rule for job in plan(finished, ABLATIONS, edit)} == rules


@pytest.mark.slow
def test_an_edit_of_ridge_touches_the_linear_row_alone(finished):
    found = plan(finished, ABLATIONS, {"ridge": {"folds": 4}})
    assert {job.wildcards.get("regressor", "linear") for job in found} == {"linear"}
    assert {job.wildcards.get("variant", "linear") for job in found} == {"linear"}


@pytest.mark.slow
def test_a_second_seed_trains_anew_but_reads_nothing_anew(finished):
    found = plan(finished, ABLATIONS, {"seeds": [0, 1]})
    assert {job.wildcards["seed"] for job in found if "seed" in job.wildcards} == {"1"}
    assert not {job.rule for job in found} & {"parcellate", "extract", "index", "caption", "average", "gaussian"}


@pytest.mark.slow
def test_one_more_subject_to_evaluate_needs_no_new_encoder(finished):
    found = plan(finished, ABLATIONS, {"datasets": {"bmd": {"evaluate": ["01", "02", "03"]}}})
    assert not {job.rule for job in found} & {"pretrain", "align", "parcellate", "extract"}
    assert {job.wildcards["subject"] for job in found if job.rule == "generate"} == {"03"}


# What a row needs beside stimuli, targets and its own videos, and what of the rest it must not touch.
LEARNED = {"parcellate", "regress", "predict", "pretrain", "align", "embed", "gaussian", "average"}
NEEDS = {
    "oracle": set(),
    "random": LEARNED - {"average"},
    "mean": {"average"},
    "image-only": LEARNED - {"average", "gaussian"},
    "linear": {"parcellate", "regress", "predict"},
    "mlp": {"parcellate", "regress", "predict"},
    "mbm": {"parcellate", "regress", "predict", "pretrain", "embed"},
}
BY_DEFAULT = LEARNED - {"average", "gaussian"}


@pytest.mark.parametrize("variant", PAPER["variants"])
def test_a_row_touches_only_its_own_steps(tmp_path, variant):
    found = plan(tmp_path, [f"results/ablations/{variant}/metrics.csv"])
    rules = {job.rule for job in found}
    assert rules & LEARNED == NEEDS.get(variant, BY_DEFAULT)
    assert {job.wildcards["variant"] for job in found if "variant" in job.wildcards} == {variant}
    entry = PAPER["variants"][variant]
    used = {entry["latent"], entry["condition"].split("/")[0]} & set(PAPER["regressors"])
    assert {job.wildcards["regressor"] for job in found if "regressor" in job.wildcards} == used
    encoders = {PAPER["regressors"][regressor]["encoder"] for regressor in used} - {"none"}
    encoders |= {PAPER["encoders"][name]["init"] for name in encoders if "init" in PAPER["encoders"][name]}
    assert {job.wildcards["encoder"] for job in found if "encoder" in job.wildcards} == encoders
    assert "headline" not in rules and "gallery" not in rules


def test_a_row_asks_for_no_file_twice(tmp_path):
    outputs = [output for job in plan(tmp_path, ABLATIONS) for output in job.outputs]
    assert len(outputs) == len(set(outputs)) and all(not Path(output).is_absolute() for output in outputs)
