"""A real SLURM for a session, and folders in which the workflow is run through it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.workflow.conftest import ROOT

from .lab import Lab, missing

CLONED = ["Snakefile", "workflow", "config", "profiles", "slurm"]
CHECKS = ["--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10"]  # seconds, as all is near


def pytest_collection_modifyitems(items):
    """Nothing here runs but on request: it starts daemons, and takes half an hour."""
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    why = missing() if "BRAINFLIX_SLURM" in os.environ else "a real SLURM is started by `make test-slurm`"
    for item in here if why else []:
        item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """The cluster; one CPU a node, so that two jobs run at a time."""
    with Lab(tmp_path_factory.mktemp("lab")) as cluster:
        yield cluster


class Clone:
    """A folder that looks like a clone of the project, in which Snakemake is run.

    Args:
        overlays: config files.
        options: more of Snakemake's.
    """

    def __init__(self, folder: Path, lab: Lab, *, overlays=(), options=()):
        self.folder, self.lab, self.options = folder, lab, options
        self.overlays = [str(overlay) for overlay in overlays]
        folder.mkdir(parents=True, exist_ok=True)
        for name in CLONED:
            if not (folder / name).exists():
                (folder / name).symlink_to(ROOT / name)

    def command(self, *words: str) -> list[str]:
        snakemake = [sys.executable, "-m", "snakemake", *words, *self.options]
        return [*snakemake, "--configfile", *self.overlays] if self.overlays else snakemake

    def submit(self, *targets: str) -> "Run":
        """Start ``snakemake --profile slurm``."""
        return Run(self, self.command("--profile", "slurm", *targets, *CHECKS))

    def local(self, *targets: str, seconds: float = 3600) -> str:
        """Run without SLURM, to the end."""
        return Run(self, self.command("--cores", "2", *targets)).finish(seconds=seconds)

    def finished_jobs(self) -> list[str]:
        """Comments (rule and wildcards) of this folder's SLURM jobs that were completed, in order."""
        lines = (self.lab.folder / "log" / "finished.log").read_text().splitlines()
        rows = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
        here = {row["JobId"] for row in rows if row.get("WorkDir") == str(self.folder)}
        return [row["JobId"] for row in rows if row["JobId"] in here and row["JobState"] == "COMPLETED"]


class Run:
    """A Snakemake process and what it says."""

    def __init__(self, clone: Clone, command: list[str]):
        self.clone, self.log = clone, clone.folder / f"run-{time.monotonic_ns()}.log"
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                command, cwd=clone.folder, env=clone.lab.environment, stdout=out, stderr=out, start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )  # fmt: skip

    @property
    def text(self) -> str:
        return self.log.read_text()

    def finish(self, *, seconds: float = 1200, code: int = 0) -> str:
        """Wait for the end, which has to be a good one; what was said."""
        try:
            found = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            found = "no end"
        assert found == code, f"{found}\n{self.text[-6000:]}\n{self.clone.lab.queue()}"
        return self.text

    def kill(self) -> None:
        """kill -9 of the main process."""
        self.process.kill()
        self.process.wait()

    def steps(self, verb: str) -> list[psutil.Process]:
        """Processes of a step that work in the folder."""
        return [p for p in psutil.process_iter() if _is(p, verb, self.clone.folder)]


def _is(process: psutil.Process, verb: str, folder: Path) -> bool:
    try:
        words = process.cmdline()
        python = "python" in words[0] if words else False
        return (
            python and verb in words and any(w.endswith("/brainflix") for w in words) and process.cwd() == str(folder)
        )
    except psutil.Error:
        return False


def linked(base: Path, folder: Path) -> None:
    """Data and results of ``base`` in ``folder``, without their bytes."""
    for name in ("data", "results"):
        shutil.copytree(base / name, folder / name, copy_function=os.link)
    shutil.copytree(base / ".snakemake" / "metadata", folder / ".snakemake" / "metadata")
