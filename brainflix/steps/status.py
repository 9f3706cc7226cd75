"""Step `status`: what a folder of results is up to: jobs by rule, what runs and how far it is, what failed and why."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from json import dumps
from pathlib import Path
from typing import Any

import pandas as pd

from brainflix import origin, runlog
from brainflix.errors import InputError
from brainflix.failures import Failure, node, tail

COUNTS = ("planned", "done", "waiting", "running", "failed")
SKEW_SECONDS = 5.0  # between the clocks of a file server and of the machine that runs Snakemake
CURVE = ["step", "epoch", "learning_rate", "loss"]


def status(*, results: Path = Path("results"), json: bool = False) -> None:
    """Summarise the last run of the workflow in a folder of results, be it over or not.

    Args:
        results: folder that the workflow writes.
        json: print machine-readable JSON.

    Raises:
        InputError: no run has left its log there.
    """
    path = runlog.latest(results / "logs" / "runs")
    events = runlog.read(path) if path else []
    if not events:
        found = "none" if results.is_dir() else "no such folder"
        raise InputError.about(results, expected="the log of a run in logs/runs", found=found)
    found = {"log": str(path), **summary(events), "training": training(results), "benchmarks": benchmarks(results)}
    print(dumps(found, indent=2) if json else "\n".join(_lines(found)))


def summary(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """State of a run, {rule: counts}, and its running and failed jobs; JSON-able."""
    jobs: dict[int, dict[str, Any]] = {}
    planned: Counter[str] = Counter()
    for event in events:
        match event["event"]:
            case "plan" if not planned:
                planned.update(event["jobs"])
            case "start" | "error" | "finish":
                jobs.setdefault(event["job"], {}).update(event)
    state = runlog.state(list(events))
    is_going = state.startswith("running")
    counts = {rule: dict.fromkeys(COUNTS, 0) | {"planned": n} for rule, n in planned.items()}
    running, failed = [], []
    for job in jobs.values():
        entry = counts.setdefault(job.get("rule", "?"), dict.fromkeys(COUNTS, 0))
        if job["event"] == "finish":
            entry["done"] += 1
        elif job["event"] == "error":
            entry["failed"] += 1
            failed.append(job)
        elif is_going and _has_begun(job):
            entry["running"] += 1
            running.append(job)
        elif is_going:
            entry["waiting"] += 1
    return {
        "state": state,
        "began": events[0]["time"],
        "last_event": events[-1]["time"],
        "rules": dict(sorted(counts.items())),
        "running": [_running(job) for job in running],
        "failed": [{"name": _failure(job).name, "block": job["block"]} for job in failed],
    }


def _has_begun(job: Mapping[str, Any]) -> bool:
    """Whether a submitted job has left the queue: it then begins its log anew."""
    logs = [Path(log) for log in job["log"]]
    return any(log.exists() and log.stat().st_mtime >= job["time"] - SKEW_SECONDS for log in logs)


def _failure(job: Mapping[str, Any]) -> Failure:
    return Failure(job["rule"], job["wildcards"], [Path(log) for log in job["log"]], "")


def _running(job: Mapping[str, Any]) -> dict[str, Any]:
    """Where a job runs, for how long, and the last line of its log, which tells progress and rate."""
    failure = _failure(job)
    words = [line for line in tail(failure.logs[0], 1) if not line.startswith(origin.LINE)] if failure.logs else []
    return {"name": failure.name, "node": node(failure), "since": job["time"], "says": words[0] if words else ""}


def training(results: Path) -> list[dict[str, Any]]:
    """How far each training run is, by the curve beside its checkpoint; those with a state are not done."""
    found = []
    for path in sorted((results / "checkpoints").rglob("curve.csv")):
        curve = pd.read_csv(path)
        if list(curve.columns) != CURVE or curve.empty:
            raise InputError.about(path, expected=f"columns {', '.join(CURVE)} and a row", found="others or none")
        first, last = curve.iloc[0], curve.iloc[-1]
        found.append(
            {
                "name": str(path.parent.relative_to(results / "checkpoints")),
                "done": not (path.parent / "last.pt").exists(),
                "step": int(last["step"]),
                "epoch": float(last["epoch"]),
                "loss": float(last["loss"]),
                "first_loss": float(first["loss"]),
                "saved": path.stat().st_mtime,
            }
        )
    return found


def benchmarks(results: Path) -> list[dict[str, Any]]:
    """What the jobs of each rule took, by Snakemake's benchmark files: jobs, hours, CPU hours, largest memory in MB."""
    root = results / "benchmarks"
    tables: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(root.rglob("*.tsv")):
        tables.setdefault(path.relative_to(root).parts[0], []).append(pd.read_csv(path, sep="\t", na_values="-"))
    found = []
    for rule, parts in tables.items():
        table = pd.concat(parts)
        hours = {"hours": table["s"].sum() / 3600, "cpu_hours": table["cpu_time"].sum() / 3600}
        largest = table["max_rss"].max()
        found.append({"rule": rule, "jobs": len(table), **hours, "max_mb": 0.0 if pd.isna(largest) else largest})
    return found


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    now = time.time()
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found["began"]))
    until = now if found["state"].startswith("running") else found["last_event"]
    yield f"{found['state']}; began {began}, {_span(until - found['began'])} in all"
    counts = {**found["rules"], "total": {c: sum(r[c] for r in found["rules"].values()) for c in COUNTS}}
    yield from _table([["rule", *COUNTS], *([rule, *map(str, row.values())] for rule, row in counts.items())])
    for job in found["running"]:
        yield f"running  {job['name']} on {job['node'] or '?'} for {_span(now - job['since'])}: {job['says']}"
    for run in found["training"]:
        state = "done" if run["done"] else f"saved {_span(now - run['saved'])} ago"
        progress = (
            f"step {run['step']}, epoch {run['epoch']:.1f}, loss {run['loss']:.4g} (first {run['first_loss']:.4g})"
        )
        yield f"training {run['name']}: {progress}, {state}"
    if found["benchmarks"]:
        rows = [
            [b["rule"], str(b["jobs"]), f"{b['hours']:.3f}", f"{b['cpu_hours']:.3f}", f"{b['max_mb']:.0f}"]
            for b in found["benchmarks"]
        ]
        yield from _table([["measured", "jobs", "hours", "CPU hours", "max MB"], *rows])
    yield from (job["block"] for job in found["failed"])


def _table(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        yield "  ".join(cells)


def _span(seconds: float) -> str:
    """A duration as h:mm:ss.

    >>> _span(3725)
    '1:02:05'
    """
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
