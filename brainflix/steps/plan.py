"""Step `plan`: what a target will take, before anything is submitted: jobs, hours of GPU and CPU, disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from json import dumps
from pathlib import Path
from typing import Any

from brainflix import costs, devices, jobs
from brainflix.config import Config
from brainflix.jobs import Job

SUMS = ("jobs", "gpu_hours", "core_hours", "disk_gb")


def plan(
    targets: list[str],
    /,
    *,
    configfile: list[Path] | None = None,
    device: str = "H100",
    everything: bool = False,
    json: bool = False,
    snakefile: Path = Path("Snakefile"),
) -> None:
    """Estimate jobs, hours and disk of what is still to be made for some targets.

    Operations are counted from the configuration's sizes and bytes from its numbers of rows, then divided by what
    the device does: good to a factor of two or so. Raw files have to be there, or be simulated.

    Args:
        targets: files of the workflow, or ``all``.
        configfile: overlays on the paper's configuration, as for snakemake.
        device: of jobs that ask for a GPU: H100, A100 or V100; CPU puts them on cores.
        everything: as if nothing had been made yet.
        json: print machine-readable JSON.
        snakefile: of this project.

    Raises:
        InputError: an unknown device or target, a wrong configuration, or raw data are missing.
    """
    devices.device(device)
    planned, config = jobs.planned(targets, snakefile=snakefile, configfiles=configfile or [], everything=everything)
    found = estimate(config, planned, device)
    print(dumps(found, indent=2) if json else "\n".join(_lines(found, device)))


def estimate(config: Config, planned: Sequence[Job], device: str) -> dict[str, Any]:
    """Sums by rule and in all, and rules of which some job is not estimated; JSON-able."""
    rules: dict[str, dict[str, float]] = {}
    unknown: set[str] = set()
    for job in planned:
        row = rules.setdefault(job.rule, dict.fromkeys(SUMS, 0))
        row["jobs"] += 1
        cost = costs.cost(config, job.rule, job.wildcards)
        if cost is None:
            unknown.add(job.rule)
            continue
        gpu, core = hours(job, cost, device)
        row["gpu_hours"] += gpu
        row["core_hours"] += core
        row["disk_gb"] += cost.written / 1e9
    return {
        "device": device,
        "submitted": sum(not job.is_local for job in planned),
        "local": sum(job.is_local for job in planned),
        "asked_gpu_hours": sum(job.gpu * job.runtime for job in planned) / 60,
        "rules": dict(sorted(rules.items())),
        "total": {key: sum(row[key] for row in rules.values()) for key in SUMS},
        "not_estimated": sorted(unknown),
    }


def hours(job: Job, cost: costs.Cost, device: str) -> tuple[float, float]:
    """Hours of GPUs and of cores that a job holds; it holds its GPU while it reads and starts, too."""
    on_gpu = bool(job.gpu) and device != "CPU"
    rate = devices.device(device) if on_gpu else devices.CORE
    work = rate.seconds(cost.flops, cost.precision) / (job.gpu if on_gpu else job.threads)
    transfer = cost.read / devices.READ_RATE + cost.written / devices.WRITE_RATE
    held = (devices.START_SECONDS + work + cost.core_seconds / job.threads + transfer) / 3600
    return (job.gpu * held if on_gpu else 0.0), job.threads * held


def _lines(found: Mapping[str, Any], device: str) -> Iterator[str]:
    rows = {**found["rules"], "total": found["total"]}
    cells = [["rule", "jobs", f"GPU-hours ({device})", "core-hours", "disk, GB"]]
    cells += [[rule, f"{row['jobs']:,}", *(f"{row[key]:,.2f}" for key in SUMS[1:])] for rule, row in rows.items()]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        yield "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
    yield f"{found['submitted']:,} jobs to submit, fewer where the profile groups them; {found['local']:,} run locally."
    yield f"They ask for {found['asked_gpu_hours']:,.0f} GPU-hours at most."
    if found["not_estimated"]:
        yield f"Not estimated: {', '.join(found['not_estimated'])} (other work, or models nobody counted)."
