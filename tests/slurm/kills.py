"""Kill jobs and the main process at random, again and again, and compare the table at the end.

    python -m tests.slurm.kills --count 20 --seed 0

Each time, `snakemake --profile slurm` is started if it does not run, and after some seconds either it or a process of
one of its jobs is killed with SIGKILL. At last the command is left alone. Prints what was done; exit code 1 if the
table has other bytes than that of an undisturbed run (which `--calm FOLDER` has, or is made first).
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.workflow.test_whole import OVERLAYS

from .conftest import ROOT, Clone, Run
from .lab import Lab

TARGET = "results/bmd/metrics.csv"
KILLED = [*OVERLAYS, str(ROOT / "tests/slurm/kills.yaml")]


def victims(clone: Clone) -> list[psutil.Process]:
    """Processes of steps of this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(clone.folder) and "SLURM_JOB_ID" in process.environ():
                found.append(process)
        except psutil.Error:
            continue
    return found


def strike(run: Run, chance: random.Random) -> str:
    """Kill something of a run; what it was."""
    jobs = sorted(victims(run.clone), key=lambda process: process.pid)
    if not jobs or chance.random() < 0.3:
        run.kill()
        return "the main process"
    victim = chance.choice(jobs)
    words = " ".join(victim.cmdline())[:60]
    victim.kill()
    return f"a process of a job: {words}"


def disturb(clone: Clone, count: int, chance: random.Random) -> bytes:
    """Run with ``count`` kills on the way; the table."""
    run = clone.submit(TARGET)
    for number in range(1, count + 1):
        time.sleep(chance.uniform(2, 25))
        if run.process.poll() is not None:
            print(f"{number}: it had ended with {run.process.returncode}; started anew")
            run = clone.submit(TARGET)
            continue
        try:
            print(f"{number}: killed {strike(run, chance)}", flush=True)
        except psutil.Error as error:
            print(f"{number}: {error}")
        if run.process.poll() is not None:
            run = clone.submit(TARGET)
    run.process.wait()
    if run.process.returncode:
        print("it gave up: the same command once more")
        clone.submit(TARGET).finish(seconds=3600)
    return (clone.folder / TARGET).read_bytes()


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--calm", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slurm-kills-") as name:
        folder = Path(name)
        with Lab(folder / "lab") as lab:
            calm = Clone(asked.calm or folder / "calm", lab, overlays=KILLED)
            calm.local(TARGET)  # nothing to do where it is there
            clone = Clone(folder / "disturbed", lab, overlays=KILLED)
            found = disturb(clone, asked.count, random.Random(asked.seed))
            same = found == (calm.folder / TARGET).read_bytes()
    print(f"{asked.count} kills, seed {asked.seed}: {'the same bytes' if same else 'OTHER BYTES'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
