"""Keeping the state of a training run, and leaving in good order when asked to.

A checkpoint states what it belongs to (settings, seed, a fingerprint of the data); a run with
another identity refuses it and says what changed. It survives a failed job, and is removed once
the output it was for is written. Beside it lies the training curve as a CSV, which stays. Where several
processes train together, all of them read it, one writes it, and all leave when one is asked to.
"""

from __future__ import annotations

import json
import pickle
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from brainflix import artifacts, crew
from brainflix.atomic import replacing
from brainflix.errors import InputError

NOTHING, SAVE = 0, 1  # wishes of a process; larger ones are exit codes to leave with
AGAIN = 75  # exit code of a run that saved its state and wants to be started again (EX_TEMPFAIL)
INTERRUPTED = 128 + signal.SIGINT
CURVE_COLUMNS = ["step", "epoch", "learning_rate", "loss"]


class Checkpoints:
    """The state of one run under a folder.

    Args:
        folder: gets ``last.pt`` and ``curve.csv``.
        identity: what the run is (JSON-able): a checkpoint of another identity is refused.
        every_seconds: time between saves.
        max_seconds: save and leave with exit code 75 after so long, before a scheduler kills the job.
    """

    def __init__(
        self,
        folder: Path,
        *,
        identity: Mapping[str, Any],
        every_seconds: float,
        max_seconds: float | None = None,
    ) -> None:
        self.path, self.curve_path = Path(folder) / "last.pt", Path(folder) / "curve.csv"
        self.identity = json.loads(json.dumps(identity))
        self.every_seconds, self.max_seconds = every_seconds, max_seconds
        self.began = self.saved = time.monotonic()
        self.signal: int | None = None
        self.wish = NOTHING

    def load(self) -> dict[str, Any] | None:
        """The last state, None if there is none.

        Raises:
            InputError: it is damaged, or belongs to a run with other settings or data.
        """
        import torch

        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise InputError.about(self.path, expected="a checkpoint (or none: delete it)", found=str(error)) from error
        changed = differences(json.loads(state["identity"]), self.identity)
        if changed:
            found = f"one of another ({'; '.join(changed)}); undo the change to continue, or delete it to start anew"
            raise InputError.about(self.path, expected="a checkpoint of this run", found=found)
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the last state, and the curve beside it."""
        import torch

        if crew.is_main():
            with replacing(self.path) as partial:
                torch.save({**state, "identity": json.dumps(self.identity)}, partial)
            self.write_curve(state["curve"])
        self.saved = time.monotonic()

    def write_curve(self, curve: list[list[float]]) -> None:
        """Write ``curve.csv`` from rows [step, epoch, learning rate, loss]."""
        write_curve(self.curve_path, curve)

    def finish(self, curve: list[list[float]]) -> None:
        """The output is whole: keep the curve (an exact method has none), drop the state."""
        if curve:
            self.write_curve(curve)
        self.path.unlink(missing_ok=True)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Within the block SIGTERM, SIGUSR1 and Ctrl-C only ask :meth:`due` to say yes."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may set handlers
            return
        caught = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
        before = {number: signal.signal(number, self._note) for number in caught}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        self.signal = number

    def due(self) -> bool:
        """Whether to save now; all processes answer alike, so all have to ask."""
        self.wish = crew.agree(self._wish())
        return self.wish > NOTHING

    def leave(self) -> None:
        """End the process if a signal or the time limit asked one of all for it; to be called after saving."""
        if self.wish > SAVE:
            raise SystemExit(self.wish)

    def _wish(self) -> int:
        now = time.monotonic()
        if self.signal is not None:
            return INTERRUPTED if self.signal == signal.SIGINT else AGAIN
        if self.max_seconds is not None and now - self.began >= self.max_seconds:
            return AGAIN
        return SAVE if now - self.saved >= self.every_seconds else NOTHING


def write_curve(path: Path, curve: list[list[float]]) -> None:
    """Write a training curve, rows [step, epoch, learning rate, loss]; none where nothing was trained step by step."""
    artifacts.write_table(path, pd.DataFrame(curve, columns=CURVE_COLUMNS))


def differences(then: Any, now: Any, name: str = "") -> list[str]:
    """What differs between two JSON values, one phrase per leaf.

    >>> differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})
    ['a.b was 1, is 3']
    """
    if isinstance(then, dict) and isinstance(now, dict):
        keys = sorted(then.keys() | now.keys())
        found = [differences(then.get(k), now.get(k), f"{name}.{k}".lstrip(".")) for k in keys]
        return [phrase for phrases in found for phrase in phrases]
    return [] if then == now else [f"{name} was {json.dumps(then)}, is {json.dumps(now)}"]
