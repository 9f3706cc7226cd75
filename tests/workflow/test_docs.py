"""Every command that the documentation shows can be run (planned, where it would take long)."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from brainflix import datasets

from .conftest import ROOT

PAGES = ["README.md", "config/README.md", "results/README.md", "docs/sharing.md"]


def commands():
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.S):
            for line in block.replace("\\\n", " ").splitlines():
                if command := line.split("#")[0].strip():
                    yield page, command


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A folder that looks like a fresh clone in which every download is in place (empty files)."""
    folder = tmp_path_factory.mktemp("clone")
    for name in (
        "Snakefile",
        "Makefile",
        "workflow",
        "config",
        "profiles",
        "slurm",
        "pyproject.toml",
        "constraints.txt",
    ):
        (folder / name).symlink_to(ROOT / name)
    config = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    for entry in config["datasets"].values():
        adapter, root = datasets.adapter(entry["adapter"]), folder / entry["root"]
        files = adapter.raw_files(root=root, subjects=entry["subjects"], options=entry["options"])
        for subject in entry["subjects"]:
            files += adapter.response_files(root=root, subject=subject, options=entry["options"])
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    (folder / "my.yaml").write_text("seeds: [1]\n")
    return folder


def planned(command):
    words = shlex.split(command)
    if words[0] == "make":
        return ["make", "--dry-run", *words[1:]]
    if words[0] == "snakemake":
        return [sys.executable, "-m", "snakemake", *words[1:], "--dry-run"]
    return [sys.executable, "-m", "brainflix.cli", *words[1:]]


@pytest.mark.parametrize("page, command", list(commands()))
def test_a_documented_command_works(clone, page, command):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(planned(command), cwd=clone, capture_output=True, text=True, env=environment)
    finds_fault = command.startswith("brainflix check") and "--fetch-plan" not in command  # the downloads are empty
    assert done.returncode == finds_fault, (done.stdout + done.stderr)[-3000:]
    assert not finds_fault or "found an empty one" in done.stdout


def test_the_documentation_shows_commands():
    assert len(list(commands())) >= 6


def test_every_key_of_the_config_is_explained_in_prose():
    paper, text = yaml.safe_load((ROOT / "config/paper.yaml").read_text()), (ROOT / "config/README.md").read_text()
    keys = {*paper, *(key for entry in paper["datasets"].values() for key in entry), "captions"}
    assert not {key for key in keys if not re.search(rf"`{key}`|(?m:^ *{key}:)", text)}
