"""Steps in a container. A script stands in for apptainer: what matters is what it is told."""

import pytest

from tests.conftest import phantom_section

from .test_dry_run import PAPER

APPTAINER = """#!/bin/sh
[ "$1" = --version ] && { echo "apptainer version 1.3.6"; exit; }
echo "$@" >> "$CALLS"
while [ "$1" != image.sif ]; do shift; done
shift
exec "$@"
"""


@pytest.mark.slow
def test_a_step_runs_in_the_image_that_the_config_names(snakemake, tmp_path, monkeypatch):
    tool, calls = tmp_path / "bin/apptainer", tmp_path / "calls"
    tool.parent.mkdir()
    tool.write_text(APPTAINER)
    tool.chmod(0o755)
    (tmp_path / "image.sif").touch()
    monkeypatch.setenv("CALLS", str(calls))
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    counts = {"train_clips": 12, "test_clips": 2, "train_repeats": 2, "test_repeats": 2}
    bmd = {"subjects": ["01"], "evaluate": ["01"], "options": counts}
    section = phantom_section({"datasets": {"bmd": {**PAPER["datasets"]["bmd"], **bmd}}}, "bmd")
    overlay = {"container": "image.sif", "datasets": {"bmd": bmd}, "phantom": section}
    run = snakemake("--cores", "1", "results/bmd/stimuli.tsv", "--sdm", "apptainer", overlay=overlay)
    assert run.code == 0, run.text[-3000:]
    told = calls.read_text()
    assert f"exec --home {tmp_path}" in told and "brainflix index" in told and "brainflix synthesize" in told
