"""What Snakemake's SLURM executor lacks so that no job is forgotten, run twice or waited for in vain.

Seen with snakemake-executor-plugin-slurm 2.8.0 on a real cluster (`tests/slurm`):

- When SLURM does not answer, the executor drops the jobs it asked about, and waits for ever. This happens while the
  controller restarts, and wherever it falls back to an sacct without accounting.
- ``CANCELLED by 1000``, as sacct words it, and a job that the queue has forgotten count as running for ever.
- While nothing ends it asks less and less often, in the end every three minutes; so long ended jobs wait for others.
- Jobs outlive a main process that was killed; the next one submits them again beside those that still run.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

from brainflix.errors import InputError
from brainflix.locks import is_alone

ENDING_SECONDS = 300  # a cancelled job may save its state first; SLURM kills it after KillWait, 30 s by default
SEPARATOR = "|"

States = dict[str, str]
Query = Callable[[str, Any], Awaitable[tuple[States | None, float | None]]]


def harden() -> None:
    """Have the executor ask for states by way of :func:`steadily`, and every ``init_seconds_before_status_checks``."""
    import snakemake_executor_plugin_slurm as plugin

    if not hasattr(plugin.query_job_status, "__wrapped__"):
        plugin.query_job_status = steadily(plugin.query_job_status)
        plugin.Executor.next_seconds_between_status_checks = property(_pause, lambda executor, longer: None)


def _pause(executor: Any) -> int:
    return executor.workflow.executor_settings.init_seconds_before_status_checks


def steadily(ask: Query) -> Query:
    """``ask``, but no answer means that nothing has changed, and every state is one that the executor knows.

    A job that was there before and is no longer listed (SLURM forgets finished ones after MinJobAge) is ``UNKNOWN``:
    the executor then looks for its outputs, and takes the job for failed if they are missing.
    """
    listed: set[str] = set()

    @wraps(ask)
    async def answer(command: str, logger: Any) -> tuple[States, float]:
        states, seconds = await ask(command, logger)
        if states is None:
            logger.warning("SLURM does not say how its jobs are; they are taken to go on, and asked after again.")
            return {}, 0.0
        forgotten = {job: "UNKNOWN" for job in listed - states.keys()} if "squeue" in command else {}
        listed.update(states)
        return {**{job: _known(state) for job, state in states.items()}, **forgotten}, seconds or 0.0

    return answer


def _known(state: str) -> str:
    """A state as the executor spells it: of a job that was preempted for good, it would wait for the return.

    >>> _known("CANCELLED by 1000"), _known("PREEMPTED"), _known("RUNNING")
    ('CANCELLED', 'CANCELLED', 'RUNNING')
    """
    word = state.split()[0] if state else state
    return "CANCELLED" if word == "PREEMPTED" else word


def take_over(settings: Any, *, folder: Path, moved: bool) -> None:
    """To be called when the first job is about to start: end what a killed run of this folder left in the queue.

    Cancelled trainings save their state, and go on from it. As files may have been finished since the plan was
    made, Snakemake then starts anew, in place.

    Args:
        settings: of the executor; only SLURM's have a ``jobname_prefix``.
        folder: where the workflow runs.
        moved: whether Snakemake changed to it (``--directory``), so that its command means something else here.

    Raises:
        InputError: SLURM did not end them.
    """
    prefix = getattr(settings, "jobname_prefix", None)
    jobs = leftovers(prefix, folder) if prefix else []
    # In this order: another run holds its lock before it submits anything.
    if not jobs or not is_alone():
        return
    print(f"brainflix: ending {len(jobs)} jobs that a killed run left in the queue: {' '.join(jobs)}", file=sys.stderr)
    _cancel(jobs, prefix, folder)
    if not moved:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, sys.orig_argv)


def leftovers(prefix: str, folder: Path) -> list[str]:
    """Ids of our unfinished jobs that were submitted from ``folder`` under a name with this prefix."""
    ask = ["squeue", "--noheader", "--user", getpass.getuser(), f"--format=%A{SEPARATOR}%j{SEPARATOR}%Z"]
    rows = [line.strip().split(SEPARATOR, 2) for line in _slurm(*ask).splitlines()]
    return sorted({job for job, name, where in rows if name.startswith(f"{prefix}_") and _same(where, folder)})


def _cancel(jobs: list[str], prefix: str, folder: Path) -> None:
    _slurm("scancel", *jobs)
    deadline = time.monotonic() + ENDING_SECONDS
    while left := set(leftovers(prefix, folder)).intersection(jobs):
        if time.monotonic() > deadline:
            found = f"{' '.join(sorted(left))} still in the queue after {ENDING_SECONDS} s"
            raise InputError.about("scancel", expected="the end of a killed run's jobs", found=found)
        time.sleep(1.0)


def _same(where: str, folder: Path) -> bool:
    try:
        return os.path.samefile(where, folder)
    except OSError:
        return False


def _slurm(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise InputError.about(
            command[0], expected="an answer of SLURM", found=done.stderr or f"code {done.returncode}"
        )
    return done.stdout
