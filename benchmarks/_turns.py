"""Ways of doing the same thing, taken in turns, each time in a process of its own.

A process is forked for every measurement, so that imports count for nobody and memory starts from the same
place. Ratios are taken round by round, peer over ours, and their median is reported: neighbours on the machine
then disturb both sides of a ratio alike.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

Way = Callable[[], float]  # does the thing; returns the seconds it took, or seconds per unit
POLL_SECONDS = 0.001


@dataclass(frozen=True)
class Comparison:
    """Ours against a peer and against a floor: what cannot be undercut, such as reading the bytes alone.

    Attributes:
        values: measured seconds of ``ours``, ``peer`` and ``floor``, round by round.
        memory: peak bytes of anonymous memory above the start (pages of files are not counted), by the same names.
        bars: least ratio, least memory ratio and most bytes of ours that are asked for; None where nothing is.
    """

    name: str
    peer: str
    unit: str
    values: Mapping[str, list[float]]
    memory: Mapping[str, int]
    bars: tuple[float | None, float | None, int | None] = (None, None, None)

    def record(self) -> dict[str, Any]:
        """The comparison as a line of JSON; ratios are of the peer or the floor to ours."""
        ours, memory = self.values["ours"], self.memory.get("ours")
        of = {name: median(a / b for a, b in zip(values, ours, strict=True)) for name, values in self.values.items()}
        memory_ratio = self.memory["peer"] / max(memory, 1) if memory is not None else None
        least, least_memory, most = self.bars
        met = (least is None or of["peer"] >= least) and (least_memory is None or memory_ratio >= least_memory)
        return {
            "name": self.name,
            "peer": self.peer,
            "ours": median(ours),
            "peer_value": median(self.values["peer"]),
            "unit": self.unit,
            "ratio": of["peer"],
            "memory_ratio": memory_ratio,
            "floor_ratio": of.get("floor"),
            "ours_mb": None if memory is None else memory / 1e6,
            "rounds": len(ours),
            "bar": least,
            "met": met and (most is None or memory <= most),
        }


def take_turns(ways: Mapping[str, Way], *, rounds: int, before: Callable[[], None] | None = None) -> dict[str, list]:
    """Seconds of each way, round by round; ``before`` runs before each, say to empty the page cache."""
    values: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        order = list(ways.items())
        for name, way in order[number % len(order) :] + order[: number % len(order)]:
            if before:
                before()
            values[name].append(in_child(way)[0])
    return values


def peak_memory(ways: Mapping[str, Way]) -> dict[str, int]:
    """Peak anonymous memory of each way above where it started, bytes; polled, so apart from any timing."""
    return {name: in_child(way, watch=True)[1] for name, way in ways.items()}


def in_child(action: Callable[[], Any], *, watch: bool = False) -> tuple[Any, int]:
    """What an action returns in a forked process, and, if watched, how much its memory grew at most.

    Raises:
        RuntimeError: the action failed; its traceback is on stderr.
    """
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_run, args=(action, there))
    child.start()
    there.close()
    here.recv()  # it is about to begin
    start = peak = _anonymous(child.pid) if watch else 0
    here.send(None)
    while watch and not here.poll(POLL_SECONDS):
        peak = max(peak, _anonymous(child.pid))
    try:
        value = here.recv()
    except EOFError:
        raise RuntimeError("a measurement failed; see above") from None
    child.join()
    return value, peak - start


def _run(action: Callable[[], Any], pipe: Connection) -> None:
    pipe.send(None)
    pipe.recv()
    pipe.send(action())


def _anonymous(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")), 0)


def timed(action: Callable[[], object]) -> Way:
    """A way that is one call of ``action``."""

    def way() -> float:
        start = time.perf_counter()
        action()
        return time.perf_counter() - start

    return way


def evict(path: Path) -> None:
    """Drop a file from the page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def report(comparisons: list[Comparison], **facts: Any) -> None:
    """Print a table and, as the last line, JSON: the first comparison and ``facts``, the others under ``parts``."""
    records = [comparison.record() for comparison in comparisons]
    print("what\tunit\tours\tpeer\tratio\tbar\tfloor/ours\tours MB\tmemory ratio\tpeer is")
    for r in records:
        cells = [f"{r[key]:.3g}" if r[key] is not None else "-" for key in ("ours", "peer_value", "ratio", "bar")]
        more = [f"{r[key]:.3g}" if r[key] is not None else "-" for key in ("floor_ratio", "ours_mb", "memory_ratio")]
        print("\t".join([r["name"], r["unit"], *cells, *more, r["peer"]]))
    print(json.dumps({**records[0], **facts, "parts": records[1:], "all_met": all(r["met"] for r in records)}))
