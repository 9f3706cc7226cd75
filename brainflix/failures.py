"""A failed job in one readable block: which, where, its last words, the likely cause, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from brainflix import origin

LINES = 30  # of the log
_FEWER = "this machine has too little for its jobs together: run fewer (--cores), or one by one"
_TAIL_BYTES = 65_536

# Keys of the config that say how much of a GPU's memory a step takes, by rule.
_GPU_KEYS = {
    "pretrain": "raise pretrain.training.accumulate",
    "align": "lower align.training.batch",
    "regress": "raise mlp.training.accumulate",
    "generate": "lower generators.NAME.settings.batch",
}
_MEMORY = (
    r"oom[-_ ]?kill|OUT_OF_MEMORY|exceeded memory limit|MemoryError|bad_alloc|Unable to allocate|"
    r"can't allocate memory|Cannot allocate memory|SIGKILL|exit status 137|^Killed$"
)


@dataclass(frozen=True)
class Failure:
    """A job that failed.

    Attributes:
        wildcards: as the rule has them.
        logs: files it wrote to, its own first, then the scheduler's.
        said: what Snakemake or the scheduler said of it.
        resources: what the attempt asked for, such as ``mem_mb`` and ``runtime``.
        on_cluster: whether a scheduler ran it.
    """

    rule: str
    wildcards: Mapping[str, str]
    logs: Sequence[Path]
    said: str
    resources: Mapping[str, int] = field(default_factory=dict)
    on_cluster: bool = False

    @property
    def name(self) -> str:
        """Rule and wildcards in one line.

        >>> Failure("embed", {"dataset": "bmd", "stem": "sub-01"}, [], "").name
        'embed (dataset bmd, stem sub-01)'
        """
        listed = ", ".join(f"{key} {value}" for key, value in self.wildcards.items())
        return f"{self.rule} ({listed})" if listed else self.rule


def node(failure: Failure) -> str | None:
    """Where it ran, by its log or the scheduler's; None if neither says."""
    for log in failure.logs:
        if about := origin.read_line(log):
            return about["node"]
    found = re.search(r"\bON (\S+) CANCELLED", _everything(failure)) or re.search(r"^Host: (\S+)", _everything(failure))
    return found[1] if found else None


def cause(failure: Failure) -> str:
    """The likely cause, and the key to change."""
    rule, text = failure.rule, _everything(failure)
    own = tail(failure.logs[0]) if failure.logs else []
    complaint = next((line for line in reversed(own) if line.startswith("brainflix: ")), None)
    for pattern, sentence in (
        (r"CUDA out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED", f"GPU memory: {_gpu_advice(rule)}"),
        (r"DUE TO TIME LIMIT|'TIMEOUT'", f"time: {_raise(failure, 'runtime')} (minutes)"),
        (r"room for it on its disk|No space left on device|Disk quota exceeded", "disk: make room, or move results/"),
        (r"NODE_FAIL|DUE TO NODE FAILURE", "the node was lost: run the same command again"),
        (_MEMORY, f"memory: {_raise(failure, 'mem_mb') if failure.on_cluster else _FEWER}"),
        (r"exit status 75\b", "it saved its state to be continued: run the same command again, or raise retries"),
        (r"'PREEMPTED'|DUE TO PREEMPTION", "preempted: run the same command again"),
        (r"CANCELLED AT|'CANCELLED'", "cancelled by somebody: run the same command again"),
        (
            r"LocalEntryNotFoundError|couldn't connect|ConnectionError|Name or service not known|name resolution",
            "no network on this node: put a local folder into the config under backbones",
        ),
    ):
        if re.search(pattern, text, re.M | re.I if "oom" in pattern else re.M):
            return sentence
    return f"input: {complaint.removeprefix('brainflix: ')}" if complaint else "unknown; the last lines may tell"


def _raise(failure: Failure, resource: str) -> str:
    """The words to ask for twice as much of a resource."""
    now = failure.resources.get(resource)
    more = f"{failure.rule}:{resource}={2 * now if now else '...'}"
    return f"raise {resource}{f' ({now} now)' if now else ''}: --set-resources {more}, or set-resources in the profile"


def _gpu_advice(rule: str) -> str:
    return (
        f"{_GPU_KEYS[rule]} in the config" if rule in _GPU_KEYS else "ask for a larger GPU (gpu_model in the profile)"
    )


def block(failure: Failure) -> str:
    """All that one wants to know first."""
    own = failure.logs[0] if failure.logs else None
    words = [line for line in tail(own) if not line.startswith(origin.LINE)] if own else []
    lines = [
        f"---- failed: {failure.name}",
        f"     node:  {node(failure) or 'not known'}",
        f"     cause: {cause(failure)}",
        *[f"     log:   {log}" for log in failure.logs],
        *([f"     last {len(words)} lines of {own}:"] if words else ["     the log is empty"]),
        *[f"     | {line}" for line in words],
        "----",
    ]
    return "\n".join(lines)


def tail(log: Path, lines: int = LINES) -> list[str]:
    """The last lines of a log; [] where there is none. A progress line that is redrawn counts once."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rsplit("\r", 1)[-1] for line in text.rstrip().split("\n")][-lines:] if text.strip() else []


def _everything(failure: Failure) -> str:
    return "\n".join([failure.said, *(line for log in failure.logs for line in tail(log))])
