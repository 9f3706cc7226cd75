"""The whole study of the paper is a few hundred jobs, and what they take is known before they are submitted."""

import json

import pytest
import yaml

from brainflix.errors import InputError
from brainflix.steps.plan import plan

from .conftest import ROOT
from .placeholders import PEOPLE, paper_overlay, targets, write_placeholders

MOST_JOBS = 600  # a SLURM job costs 3.7 CPU-seconds of Snakemake


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with placeholders of all raw files, and the overlay that names them."""
    folder = tmp_path_factory.mktemp("paper")
    overlay = paper_overlay(folder / "data")
    assert write_placeholders(overlay) > 4 * PEOPLE
    (folder / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    return folder


@pytest.fixture(scope="module")
def planned(study):
    """What `brainflix plan` says of the headline tables and all ablations, at one seed."""
    import contextlib
    import io
    import os

    text, before = io.StringIO(), os.getcwd()
    os.chdir(study)
    try:
        with contextlib.redirect_stdout(text):
            plan(targets(), configfile=[study / "overlay.yaml"], snakefile=ROOT / "Snakefile", json=True)
    finally:
        os.chdir(before)
    return json.loads(text.getvalue())


def test_the_paper_s_study_is_at_most_600_jobs_at_one_seed(planned):
    assert 200 < planned["submitted"] <= MOST_JOBS
    assert planned["rules"]["pretrain"]["jobs"] == 2 and planned["rules"]["align"]["jobs"] == 2
    assert planned["rules"]["parcellate"]["jobs"] == -(-PEOPLE // 20) + 10 + 30 + 3
    assert planned["local"] >= 2 + 10, "tables are put together where snakemake runs"


def test_pretraining_costs_what_arithmetic_says(planned):
    """facts: 200 epochs over 520 k windows of HCP alone are 30.8 EFLOP, 27 H100-hours at 40 %; twice, with BMD."""
    assert 54 < planned["rules"]["pretrain"]["gpu_hours"] < 75
    assert not planned["not_estimated"]
    assert planned["total"]["gpu_hours"] < planned["asked_gpu_hours"], "rules ask for enough time"


def test_every_rule_that_makes_something_has_a_cost(planned):
    heavy = {"extract", "generate", "pretrain", "align", "regress", "parcellate"}
    for rule in heavy:
        row = planned["rules"][rule]
        assert row["disk_gb"] > 0.01 and row["gpu_hours"] + row["core_hours"] > 0, rule
    hcp = 4 * FLOAT_ROWS * 13_156 * PEOPLE * 120 / 1e9
    assert planned["rules"]["parcellate"]["disk_gb"] > hcp, "HCP's windows alone"


FLOAT_ROWS = 4  # runs of a subject


def test_a_slower_device_takes_longer(study, monkeypatch, capsys):
    monkeypatch.chdir(study)
    found = {}
    for device in ("H100", "V100", "CPU"):
        target = ["results/bmd/mlp/metrics.csv"]
        plan(target, configfile=[study / "overlay.yaml"], snakefile=ROOT / "Snakefile", device=device, json=True)
        found[device] = json.loads(capsys.readouterr().out)["total"]
    assert found["H100"]["gpu_hours"] < found["V100"]["gpu_hours"]
    assert found["CPU"]["gpu_hours"] == 0 and found["CPU"]["core_hours"] > found["H100"]["gpu_hours"]


def test_the_table_is_readable_and_nothing_else_is_said(study, monkeypatch, capfd):
    monkeypatch.chdir(study)
    plan(["results/bmd/oracle/metrics.csv"], configfile=[study / "overlay.yaml"], snakefile=ROOT / "Snakefile")
    text, rest = capfd.readouterr()
    assert rest == "" and "GPU-hours (H100)" in text and "jobs to submit" in text and "pretrain" not in text


@pytest.mark.parametrize(
    "change, words",
    [
        ({"device": "H9000"}, "--device: expected one of H100, A100, V100, CPU, found H9000"),
        ({"targets": ["results/nothing/metrics.csv"]}, "snakemake: .*results/nothing/metrics.csv"),
        ({"snakefile": "none/Snakefile"}, "none/Snakefile: expected the project's Snakefile"),
        ({"configfile": []}, "Raw data are missing"),
    ],
)
def test_a_plan_that_cannot_be_made_is_refused(study, tmp_path, monkeypatch, change, words):
    monkeypatch.chdir(tmp_path)
    values = {"targets": ["results/bmd/mlp/metrics.csv"], "configfile": [study / "overlay.yaml"]}
    values |= {"snakefile": ROOT / "Snakefile", "device": "H100", **change}
    values["snakefile"] = type(ROOT)(values["snakefile"])
    with pytest.raises(InputError, match=words):
        plan(values.pop("targets"), **values)
