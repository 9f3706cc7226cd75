"""How far a training run is: one line redrawn on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time

LINE_SECONDS = 30.0  # between progress lines in a log
TICK_SECONDS = 0.5  # between redraws on a terminal


class Progress:
    """Rate, time left, loss, and how much of the time went into waiting for data.

    Args:
        name: of the run.
        start, steps: the step it starts after, and how many there are.
        batch: rows of a step.
        silent: say nothing, as all processes but one do.
    """

    def __init__(self, name: str, start: int, steps: int, batch: int, *, silent: bool = False) -> None:
        self.name, self.start, self.steps, self.batch, self.silent = name, start, steps, batch, silent
        self.live = sys.stderr.isatty()
        self.began = self.shown = time.monotonic()

    def show(self, step: int, loss: float, waited: float) -> None:
        """Say where the run is, if it is time to; ``waited`` seconds so far."""
        now = time.monotonic()
        if self.silent or now - self.shown < (TICK_SECONDS if self.live else LINE_SECONDS):
            return
        self.shown = now
        seconds = (now - self.began) / (step - self.start)
        line = (
            f"{self.name}: step {step}/{self.steps}, {self.batch / seconds:.0f} rows/s, "
            f"{seconds * (self.steps - step):.0f} s left, loss {loss:.4f}, "
            f"{waited / (now - self.began):.0%} waiting for data"
        )
        start, end = ("\r", "   ") if self.live else ("", "\n")
        print(start + line, end=end, file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the redrawn line."""
        if self.live and not self.silent:
            print(file=sys.stderr)
