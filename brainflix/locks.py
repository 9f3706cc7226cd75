"""Locks of killed Snakemake runs, told apart from those of living ones.

Snakemake's lock outlives a ``kill -9`` and then blocks the next run. Every run therefore leaves a
file named after its host and process, and removes it when it ends; when no recorded process of this
host is alive, the locks are nobody's and go. Runs recorded by another host are never judged from here:
where one was killed there, the user says so with ``snakemake --unlock``.
"""

from __future__ import annotations

import atexit
import os
import socket
from pathlib import Path

import psutil


def clear_stale(state: Path = Path(".snakemake")) -> None:
    """Remove the locks in ``state/locks`` if all their possible owners are dead, and record this run."""
    runs = state / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    owners = [run for run in runs.iterdir() if not _is_dead(run)]
    if not owners:
        for lock in (state / "locks").glob("*.lock"):
            lock.unlink(missing_ok=True)
    me = psutil.Process()
    record = (runs / f"{socket.gethostname()}+{me.pid}+{me.create_time():.2f}").absolute()
    record.touch()
    atexit.register(_remove, record, me.pid)


def is_alone(state: Path = Path(".snakemake")) -> bool:
    """Whether this run, which holds its lock, is the only one of the folder that does."""
    return len(list((state / "locks").glob("*.output.lock"))) <= 1


def _remove(record: Path, owner: int) -> None:
    if os.getpid() == owner:  # not a fork of it
        record.unlink(missing_ok=True)


def _is_dead(run: Path) -> bool:
    host, pid, created = run.name.rsplit("+", 2)
    if host != socket.gethostname():
        return False
    try:
        dead = f"{psutil.Process(int(pid)).create_time():.2f}" != created
    except psutil.NoSuchProcess:
        dead = True
    if dead:
        run.unlink(missing_ok=True)
    return dead or int(pid) == os.getpid()
