"""What a run of the workflow did, as it happens: results/logs/runs/{when}-{host}-{pid}.jsonl, one event a line.

Snakemake tells its handlers of every job in structured records. This handler is attached by the Snakefile rather
than shipped as a logger plugin, as plugins are found by the names of installed top-level modules alone, which a
checkout that is installed with ``pip install --editable`` does not have. `brainflix status` reads the file.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from brainflix.failures import Failure, block

FOLDER = Path("results/logs/runs")
ASKED = ("mem_mb", "runtime")  # of a job's resources


class RunLog(logging.Handler):
    """Writes down what happens to jobs, and prints a block for each that fails.

    Args:
        folder: gets the file, once the first job starts.
        is_real: whether jobs run at all (no dry-run); asked at the first event.
    """

    def __init__(self, folder: Path, *, is_real: Callable[[], bool]) -> None:
        super().__init__(logging.INFO)
        self.folder, self.is_real = folder, is_real
        self.path: Path | None = None
        self.jobs: dict[int, dict[str, Any]] = {}
        self.said: dict[int | None, str] = {}  # last error message, by thread: what it is about comes next
        self.writing = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Note an event of Snakemake's; others pass."""
        event = str(getattr(record, "event", ""))
        note = getattr(self, f"_{event}", None)
        if note is None or not self.is_real():
            return
        try:
            note(record)
        except Exception:  # a log must not stop the work
            self.handleError(record)

    def _run_info(self, record: Any) -> None:
        counts = {rule: n for rule, n in record.stats.items() if rule != "total"}
        self._write(event="plan", jobs=counts)

    def _job_info(self, record: Any) -> None:
        self.jobs[record.jobid] = {
            "rule": record.rule_name,
            "wildcards": {key: str(value) for key, value in dict(record.wildcards).items()},
            "log": [str(log) for log in record.log],
            "resources": {key: n for key in ASKED if isinstance(n := record.resources.get(key), int)},
        }
        # Told as a job is started or submitted; the event job_started comes before, and names numbers only.
        self._write(event="start", job=record.jobid, **self.jobs[record.jobid])

    def _job_finished(self, record: Any) -> None:
        self._write(event="finish", job=record.job_id)

    def _error(self, record: Any) -> None:
        self.said[record.thread] = record.getMessage()

    def _job_error(self, record: Any) -> None:
        job = self.jobs.get(record.jobid, {})
        said = " ".join([*filter(None, [record.rule_msg, self.said.pop(record.thread, "")])])
        logs = [Path(log) for log in record.log]
        on_cluster = "external_jobid" in (record.aux or {})
        failure = Failure(record.rule_name, job.get("wildcards", {}), logs, said, job.get("resources", {}), on_cluster)
        text = block(failure)
        self._write(event="error", job=record.jobid, **{**job, "log": [str(log) for log in logs]}, block=text)
        print(text, file=sys.stderr, flush=True)

    def finish(self, *, good: bool) -> None:
        """The run is over."""
        if self.path:
            self._write(event="end", good=good)

    def _write(self, **values: Any) -> None:
        with self.writing:
            if self.path is None:
                self._open()
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"time": round(time.time(), 2), **values}) + "\n")

    def _open(self) -> None:
        me = psutil.Process()
        when = time.strftime("%Y-%m-%dT%H%M%S")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = (self.folder / f"{when}-{socket.gethostname()}-{me.pid}.jsonl").absolute()
        about = {"event": "run", "host": socket.gethostname(), "pid": me.pid, "created": me.create_time()}
        about |= {"command": sys.argv[1:], "folder": os.getcwd()}
        with self.path.open("w", encoding="utf-8") as file:
            file.write(json.dumps({"time": round(time.time(), 2), **about}) + "\n")


def attach(workflow: Any, folder: Path = FOLDER) -> RunLog:
    """Have Snakemake tell a new handler what it does; for the main process."""
    handler = RunLog(folder, is_real=lambda: not (workflow.dryrun or workflow.touch))
    logging.getLogger("snakemake.logging").addHandler(handler)
    return handler


def latest(folder: Path) -> Path | None:
    """The file of the run that began last."""
    return max(folder.glob("*.jsonl"), key=lambda path: path.name, default=None)


def read(path: Path) -> list[dict[str, Any]]:
    """Events of a run, in order; a last line that is being written is left out."""
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return events


def state(events: list[dict[str, Any]]) -> str:
    """``finished``, ``failed``, ``running``, ``killed``, or ``running on HOST`` where only that host knows."""
    ends = [event for event in events if event["event"] == "end"]
    if ends:
        return "finished" if ends[-1]["good"] else "failed"
    run = events[0]
    if run["host"] != socket.gethostname():
        return f"running on {run['host']}, unless it was killed"
    try:
        same = abs(psutil.Process(run["pid"]).create_time() - run["created"]) < 0.1
    except psutil.NoSuchProcess:
        same = False
    return "running" if same else "killed"
