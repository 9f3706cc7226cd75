"""Running Snakemake on the real Snakefile in a folder of the test's own."""

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Run:
    """What a Snakemake call said: exit code, output, and planned jobs by rule."""

    code: int
    text: str

    @property
    def jobs(self) -> Counter:
        table = self.text[self.text.rfind("\njob  ") :].split("\n\n")[0]
        return Counter({rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table, re.M) if rule != "total"})


@pytest.fixture
def snakemake(tmp_path):
    """Call Snakemake in ``tmp_path``; keyword ``overlay`` is written to a config file."""

    def call(*arguments, overlay=None, cwd=tmp_path):
        configfile = []
        if overlay is not None:
            path = cwd / "overlay.yaml"
            path.write_text(yaml.safe_dump(overlay))
            configfile = ["--configfile", str(path)]
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(ROOT / "Snakefile"),
            *arguments,
            *configfile,
        ]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=os.environ)
        return Run(done.returncode, done.stdout + done.stderr)

    return call
