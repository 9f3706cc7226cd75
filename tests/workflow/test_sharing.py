"""Other people's repositories can use the workflow, and its results travel with what is needed to check them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from brainflix import runlog
from brainflix.errors import InputError
from brainflix.steps.status import summary
from brainflix.steps.verify import verify
from tests.conftest import phantom_section

from .conftest import ROOT

OUTER = """
configfile: "{root}/config/paper.yaml"
configfile: "overlay.yaml"

module brainflix:
    snakefile: "{root}/Snakefile"
    config: config

use rule * from brainflix as brainflix_*

rule mine:
    input: "results/bmd/mean/metrics.csv"
    output: "mine.txt"
    shell: "wc -l {{input}} > {{output}}"
"""


def run(folder, *arguments):
    command = [sys.executable, "-m", "snakemake", *arguments]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout + done.stderr


def test_the_workflow_is_a_module_of_another_repository(tmp_path):
    (tmp_path / "Snakefile").write_text(OUTER.format(root=ROOT))
    paper = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump({"phantom": phantom_section(paper, "bmd")}))
    code, text = run(tmp_path, "--dry-run", "mine.txt")
    assert code == 0, text[-3000:]
    rules = {"brainflix_synthesize_bmd", "brainflix_extract", "brainflix_average", "brainflix_summarize", "mine"}
    assert all(f"\n{rule} " in text for rule in rules), text[-3000:]
    assert "brainflix_pretrain" not in text


def test_a_wrong_config_of_another_repository_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "Snakefile").write_text(OUTER.format(root=ROOT))
    (tmp_path / "overlay.yaml").write_text("treads: 3\n")
    code, text = run(tmp_path, "--dry-run", "mine.txt")
    assert code == 1 and "'treads' was unexpected" in text and "Traceback" not in text


def test_snakedeploy_deploys_it(tmp_path):
    """As snakedeploy 0.17 does it: links are followed, and config/config.yaml is the module's configuration."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    module = OUTER.split("rule mine")[0].replace('"{root}/config/paper.yaml"', '"config/config.yaml"')
    module = module.replace("{root}/Snakefile", "{root}/workflow/Snakefile").replace(" as brainflix_*", "")
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "Snakefile").write_text(module.format(root=ROOT))
    paper = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump({"phantom": phantom_section(paper, "bmd")}))
    code, text = run(tmp_path, "--dry-run", "results/bmd/oracle/metrics.csv")
    assert code == 0 and "\nsummarize " in text, text[-3000:]


def test_the_workflow_catalog_finds_what_it_looks_for():
    """https://snakemake.github.io/snakemake-workflow-catalog: a Snakefile, config/README.md, and the catalog's file."""
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert {"mandatory-flags", "software-stack-deployment", "report"} <= set(usage)
    assert (ROOT / "config" / "README.md").exists() and (ROOT / "workflow" / "Snakefile").exists()


TINY = {
    "datasets": {
        "bmd": {
            "evaluate": ["01"], "evaluate_clips": 4,
            "options": {"train_clips": 24, "test_clips": 4, "train_repeats": 1, "test_repeats": 1},
        }
    },
    "phantom": {"bmd": {"counts": {"train_clips": 24, "test_clips": 4, "train_repeats": 1, "test_repeats": 1}}},
    "evaluate": {"shuffles": 2},
    "headline": {"bmd": ["oracle"]},
}  # fmt: skip
TARGET = Path("results/bmd/metrics.csv")


def small(folder, *arguments):
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    layers = [str(ROOT / "config" / "demo.yaml"), "tiny.yaml"]
    return run(folder, "--snakefile", str(ROOT / "Snakefile"), "--cores", "1", *arguments, "--configfile", *layers)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which a small table and its provenance were made by the workflow."""
    folder = tmp_path_factory.mktemp("made")
    code, text = small(folder, str(TARGET.with_name("provenance.json")))
    assert code == 0, text[-4000:]
    return folder


def brainflix(folder, *arguments):
    command = [sys.executable, "-m", "brainflix", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_provenance_of_a_real_run_names_jobs_machine_and_inputs(made):
    found = json.loads((made / TARGET.with_name("provenance.json")).read_text())
    assert {job["rule"] for job in found["jobs"]} >= {"synthesize_bmd", "generate", "evaluate", "headline"}
    assert [entry["path"] for entry in found["inputs"]] == ["data/phantom/bmd/phantom.json"]
    assert not found["unrecorded"]
    assert found["code"]["sha256"] in {machine["code"] for machine in found["made_on"]}
    assert {rule for machine in found["made_on"] for rule in machine["rules"]} == {job["rule"] for job in found["jobs"]}
    assert all(machine["cpu"] and machine["node"] for machine in found["made_on"])


@pytest.mark.slow
def test_the_run_wrote_down_what_it_did(made):
    found = summary(runlog.read(runlog.latest(made / runlog.FOLDER)))
    assert found["state"] == "finished" and not found["failed"]
    assert all(row["done"] == row["planned"] for row in found["rules"].values())
    assert found["rules"]["generate"]["done"] == 1


@pytest.mark.slow
def test_a_bundle_is_verified_in_an_empty_folder_and_run_again_there(made, tmp_path):
    done = brainflix(made, "bundle", TARGET, "--out", tmp_path / "b.zip")
    assert done.returncode == 0, done.stderr
    again = brainflix(tmp_path, "verify", "b.zip", "--rerun", "--folder", "again", "--snakefile", ROOT / "Snakefile")
    assert again.returncode == 0, (again.stdout + again.stderr)[-3000:]
    assert "the same bytes" in again.stdout
    shutil.copy(tmp_path / "b.zip", tmp_path / "c.zip")
    table = pd.read_csv(tmp_path / "again" / TARGET)
    assert set(table["variant"]) == {"oracle"}


@pytest.mark.slow
def test_a_failed_job_is_shown_in_one_block(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy", symlinks=True)
    folder = tmp_path / "copy"
    captions = next(folder.glob("results/bmd/oracle/seed-0/*/videos.h5"))
    captions.write_bytes(b"damaged")
    code, text = small(folder, str(TARGET), "--forcerun", "evaluate", "--keep-going")
    assert code == 1 and "---- failed: evaluate (dataset bmd, variant oracle, seed 0, subject any)" in text
    assert "cause: input: " in text and "videos.h5: expected" in text
    assert text.count("---- failed") == 1
    done = brainflix(folder, "status")
    assert done.returncode == 0 and done.stdout.startswith("failed; began") and "cause: input: " in done.stdout


def test_a_new_run_needs_the_project(tmp_path):
    with pytest.raises(InputError, match=r"b.zip: expected a bundle"):
        verify(tmp_path / "b.zip", rerun=True)
