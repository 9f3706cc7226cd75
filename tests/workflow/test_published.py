"""A published checkpoint in the config: planned in place of pretraining."""

import pytest

from brainflix.errors import InputError
from brainflix.validation import validate

from .conftest import ROOT
from .test_dry_run import PAPER, SIMULATED

SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"


def overlay(tmp_path, **encoders):
    (tmp_path / "theirs.pth").touch()
    return {**SIMULATED, "encoders": {"published": {"import": str(tmp_path / "theirs.pth")}, **encoders}}


def test_alignment_starts_from_it(snakemake, tmp_path):
    changed = overlay(tmp_path, **{"aligned-had": {"init": "published"}})
    run = snakemake("--dry-run", "--printshellcmds", "results/bmd/full/metrics.csv", overlay=changed)
    assert run.code == 0, run.text[-3000:]
    assert run.jobs["import_mbm"] == run.jobs["align"] == 1 and not run.jobs["pretrain"]
    out = "results/encoders/published/all/seed-0/encoder.safetensors"
    assert f"brainflix import-mbm {tmp_path}/theirs.pth --pool patches --out {out}" in run.text
    assert f"brainflix align --init {out} --responses results/bmd/responses/sub-01.h5" in run.text


def test_regressors_take_it_as_it_is(snakemake, tmp_path):
    changed = {**overlay(tmp_path), "regressors": {"mbm": {"encoder": "published"}}}
    jobs = snakemake("--dry-run", "results/bmd/mbm/metrics.csv", overlay=changed).jobs
    assert jobs["import_mbm"] == 1 and jobs["embed"] and not jobs["pretrain"] and not jobs["synthesize_hcp"]


def test_pretraining_goes_on_from_it(snakemake, tmp_path):
    changed = overlay(tmp_path, mbm={"init": "published"})
    run = snakemake("--dry-run", "--printshellcmds", "results/bmd/mbm/metrics.csv", overlay=changed)
    assert run.jobs["import_mbm"] == run.jobs["pretrain"] == 1
    assert "brainflix pretrain --init results/encoders/published/all/seed-0/encoder.safetensors --resp" in run.text


@pytest.mark.parametrize(
    "name, entry",
    [
        ("mbm", {"import": "theirs.pth"}),
        ("published", {"init": "mbm"}),
        ("published", {"align": "videos", "init": "mbm"}),
        ("published", {"recipe": "brainflix"}),
    ],
)
def test_an_import_is_nothing_else_beside(name, entry):
    encoders = {"published": {"import": "theirs.pth"}}
    encoders[name] = {**PAPER["encoders"].get(name, {}), **encoders.get(name, {}), **entry}
    with pytest.raises(InputError, match=rf"config: encoders\.{name}: "):
        validate({**PAPER, "encoders": {**PAPER["encoders"], **encoders}}, SCHEMA)


def test_a_checkpoint_that_is_not_there_is_named(snakemake, tmp_path):
    changed = overlay(tmp_path, **{"aligned-had": {"init": "published"}})
    (tmp_path / "theirs.pth").unlink()
    run = snakemake("--dry-run", "results/bmd/full/metrics.csv", overlay=changed)
    assert run.code == 1 and f"{tmp_path}/theirs.pth" in run.text and "Traceback" not in run.text
