"""Which code ran, and on which machine: a line at the top of every job's log, and the heart of provenance.

Jobs of a workflow are told by the environment variable BRAINFLIX_JOB that their output is a log.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import socket
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from brainflix import __version__

PACKAGE = Path(__file__).parent
LINE = "made by "  # what the line of a log begins with; JSON follows
_DRIVER = Path("/proc/driver/nvidia/gpus")


@cache
def code_hash() -> str:
    """Tells the package's code from any other: sha256 over the names and bytes of its Python files, shortened."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def commit() -> dict[str, Any] | None:
    """The commit that the package was checked out from, and whether files differ from it; None without git."""
    try:
        git = ["git", "-C", str(PACKAGE.parent)]
        top = _output([*git, "rev-parse", "--show-toplevel"])
        if Path(top).resolve() != PACKAGE.parent.resolve():
            return None  # installed somewhere inside somebody else's repository
        changed = _output([*git, "status", "--porcelain", "--untracked-files=no"])
        return {"id": _output([*git, "rev-parse", "HEAD"]), "modified": bool(changed)}
    except (OSError, subprocess.CalledProcessError):
        return None


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def machine() -> dict[str, Any]:
    """Node, processor and GPUs of this job, without importing torch."""
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    return {"node": node, "system": platform.platform(), "cpu": _processor(), "gpus": _gpus()}


def _processor() -> str:
    """Model of the processor."""
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _gpus() -> list[str]:
    """Models of the GPUs that the driver shows; none where the job may see none."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return []
    try:
        texts = [path.read_text() for path in sorted(_DRIVER.glob("*/information"))]
    except OSError:
        return []
    return [found[1].strip() for text in texts if (found := re.search(r"^Model:\s*(.+)$", text, re.M))]


def packages() -> dict[str, str]:
    """Versions of everything the package needs, directly or not, and of what it can use where it is installed."""
    found: dict[str, str] = {}
    waiting = ["brainflix"]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform, or an extra
        found[name] = distribution.version
        waiting += [re.match(r"[\w.-]+", line)[0] for line in distribution.requires or ()]
    return dict(sorted(found.items()))


def line(step: str) -> str:
    """The line at the top of a job's log."""
    return LINE + json.dumps({"step": step, "version": __version__, "code": code_hash(), **machine()})


def read_line(log: Path) -> dict[str, Any] | None:
    """What the line in a log says; None where there is none."""
    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            head = [next(file, "") for _ in range(20)]
    except OSError:
        return None
    for text in head:
        if text.startswith(LINE):
            try:
                return json.loads(text.removeprefix(LINE))
            except json.JSONDecodeError:
                return None
    return None


def announce(arguments: list[str]) -> None:
    """Say who we are, where the output is the log of a workflow's job."""
    if os.environ.get("BRAINFLIX_JOB") and arguments:
        print(line(arguments[0]), file=sys.stderr, flush=True)
