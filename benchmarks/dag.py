"""The paper's whole study as a plan: ``python -m benchmarks dag``.

Empty files stand for the raw data of 1,084 subjects of HCP, 10 of BMD, 30 of HAD and 3 of CC2017. Times
``snakemake --dry-run`` for the headline tables and all ablations, as users type it, at one seed and at three, and
counts the jobs that a cluster would get. The bars: at most 60 s, and at most 600 jobs at one seed. The peer is an
empty Snakefile's start-up. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import yaml

from tests.workflow.placeholders import ROOT, paper_overlay, targets, write_placeholders

LIMIT_SECONDS, MOST_JOBS = 60.0, 600
LOCAL = ("all", "headline", "ablation", "stack", "provenance")
SEEDS = {"one seed": [0], "three seeds": [0, 1, 2]}


def main(arguments: list[str]) -> None:
    """Measure, print a table, and JSON as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overlay = paper_overlay(folder / "data")
        files = write_placeholders(overlay)
        (folder / "Empty").write_text("rule all:\n    input: []\n")
        for label, seeds in SEEDS.items():
            (folder / f"{label}.yaml").write_text(yaml.safe_dump({**overlay, "seeds": seeds}))
        times: dict[str, list[float]] = {label: [] for label in (*SEEDS, "empty", "processor")}
        jobs = {}
        for _ in range(chosen.repeats):
            times["empty"].append(run(folder, "Empty", "all")[0])
            for label in SEEDS:
                before = processor_seconds()
                seconds, text = run(folder, str(ROOT / "Snakefile"), *targets(), "--configfile", f"{label}.yaml")
                times[label].append(seconds)
                jobs[label] = count(text)
                if label == "three seeds":
                    times["processor"].append(processor_seconds() - before)
    seconds = {label: median(values) for label, values in times.items()}
    print("what\tseconds\tjobs to submit")
    for label in SEEDS:
        print(f"dry-run of {files:,} raw files, {label}\t{seconds[label]:.1f}\t{jobs[label]}")
    print(f"processor time, three seeds\t{seconds['processor']:.1f}\t\nan empty Snakefile\t{seconds['empty']:.1f}\t")
    slowest = max(times["three seeds"])
    result = {
        "name": "dag",
        "peer": "start-up of snakemake with an empty Snakefile",
        "ours": seconds["three seeds"],
        "peer_value": seconds["empty"],
        "unit": "s",
        "ratio": seconds["empty"] / seconds["three seeds"],
        "slowest": slowest,
        "jobs": jobs["one seed"],
        "jobs_three_seeds": jobs["three seeds"],
        "files": files,
        "met": slowest <= LIMIT_SECONDS and jobs["one seed"] <= MOST_JOBS,
    }
    print(json.dumps(result))


def run(folder: Path, snakefile: str, *arguments: str) -> tuple[float, str]:
    """Seconds and output of a dry-run."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--dry-run", *arguments]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit((done.stdout + done.stderr)[-3000:])
    return seconds, done.stdout + done.stderr


def count(text: str) -> int:
    """Jobs of the plan that do not run where snakemake does."""
    table = text[text.rfind("\njob  ") :]
    return sum(int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table, re.M) if rule not in (*LOCAL, "total"))


def processor_seconds() -> float:
    """Processor time of all processes waited for so far."""
    used = os.times()
    return used.children_user + used.children_system
