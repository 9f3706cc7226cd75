"""docs/cluster.md, command by command, on the cluster."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd

from .conftest import CHECKS, ROOT, Clone

PAGE = (ROOT / "docs/cluster.md").read_text()
ONCE = ("git clone", "make env", ". .venv")  # a clone and an environment are there


def commands():
    lines = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
    return [line for line in lines if not line.startswith(ONCE)]


def test_the_page_takes_a_clone_to_a_finished_table(lab, tmp_path):
    clone = Clone(tmp_path / "clone", lab)
    smaller = f"config/demo.yaml {ROOT}/tests/workflow/small.yaml {' '.join(CHECKS)}"
    python = Path(sys.executable).parent
    for line in commands():
        done = subprocess.run(
            ["bash", "-c", line.replace("config/demo.yaml", smaller)],
            cwd=clone.folder,
            env={**lab.environment, "PATH": f"{lab.environment['PATH']}:{python}"},
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    table = pd.read_csv(clone.folder / "results/bmd/oracle/metrics.csv")
    assert table["simulated"].all() and table["value"].notna().all()
    assert clone.finished_jobs(), "SLURM did it"


def test_the_page_shows_the_lines_of_the_profile_that_are_to_be_edited():
    shown = re.search(r"__variables__:\n((?:  .*\n)+)", PAGE)[1]
    profile = (ROOT / "config/slurm/config.yaml").read_text()
    assert re.findall(r"^  (\w+):", shown, re.M) == re.findall(r'^  (\w+): (?:""|\{\})', profile, re.M)
