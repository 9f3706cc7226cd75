"""What a training step needs, read while the step before it computes; and the order in which rows are visited.

Rows of more data than fit memory are visited by blocks: neighbours in a file are read together, in one sequential
read, and the blocks are shuffled; rows are then shuffled within a window of many blocks. The rows of a batch
therefore come from one window's blocks: with blocks of 64 and windows of 128, 300 rows come from about 115 stretches
of 64 in place of 300, so about 2.3 of them share a stretch (half a resting run) where free shuffling has next to
none. Small blocks and large windows mix better, large blocks read faster and small windows take less memory.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch

from brainflix.models.settings import BlockSettings

AHEAD = 2  # parts of batches that are ready, or being read, beside the one in use


class Hints(Protocol):
    """What wants to know which rows come next; see :meth:`brainflix.cohort.Cohort.expect`."""

    def expect(self, rows: np.ndarray) -> None: ...
    def forget(self, rows: np.ndarray) -> None: ...


def epoch_order(n_rows: int, seed: int, epoch: int, blocks: BlockSettings | None = None) -> np.ndarray:
    """The order (n_rows,) in which an epoch visits the rows; free where one window holds them all."""
    rng = np.random.default_rng([seed, epoch])
    if blocks is None or n_rows <= blocks.window_rows:
        return rng.permutation(n_rows)
    starts = blocks.rows * rng.permutation(-(-n_rows // blocks.rows))
    order = (starts[:, None] + np.arange(blocks.rows)).ravel()
    order = order[order < n_rows]  # the last block of the data may be short
    for window in windows(order, blocks):
        rng.shuffle(window)
    return order


def windows(order: np.ndarray, blocks: BlockSettings) -> list[np.ndarray]:
    """Views of the parts of an epoch's order that were shuffled on their own."""
    return np.split(order, range(blocks.window_rows, len(order), blocks.window_rows))


class Plan:
    """Which rows which step takes.

    Args:
        n_rows: rows there are.
        batch: rows of a step; those that do not fill a last one are left out of an epoch.
        blocks: see :func:`epoch_order`.
        hints: told, as a window begins, to expect the next and to forget the last.
    """

    def __init__(
        self, n_rows: int, batch: int, seed: int, blocks: BlockSettings | None, hints: Hints | None = None
    ) -> None:
        self.n_rows, self.batch, self.seed, self.blocks, self.hints = n_rows, batch, seed, blocks, hints
        self.steps_per_epoch = n_rows // batch

    def batches(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """Row numbers (batch,) of step after step."""
        for epoch in range(start // self.steps_per_epoch, -(-stop // self.steps_per_epoch)):
            order, first = epoch_order(self.n_rows, self.seed, epoch, self.blocks), epoch * self.steps_per_epoch
            window = -1
            for step in range(max(first, start), min(first + self.steps_per_epoch, stop)):
                place = (step - first) * self.batch
                window = self._hint(order, window, place)
                yield order[place : place + self.batch]

    def _hint(self, order: np.ndarray, before: int, place: int) -> int:
        """Give hints if another window than ``before`` begins; the number of the window at ``place`` of the order."""
        if self.hints is None or self.blocks is None or self.n_rows <= self.blocks.window_rows:
            return before
        now = place // self.blocks.window_rows
        if now != before:
            parts = windows(order, self.blocks)
            for gone in parts[max(before, 0) : now]:
                self.hints.forget(gone)
            for coming in parts[now if before < 0 else before + 2 : now + 2]:
                self.hints.expect(coming)
        return now


class Feed:
    """Answers of ``fetch`` to one request after the other, each asked for ``AHEAD`` of its use, in a thread.

    Attributes:
        waited: seconds that :meth:`next` had to wait for an answer.
    """

    def __init__(self, requests: Iterator[np.ndarray], fetch: Callable[[np.ndarray], Any], pin: bool) -> None:
        self.requests, self.fetch, self.pin, self.waited = requests, fetch, pin, 0.0
        self.reader = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self.answers: deque[Future] = deque()
        for _ in range(AHEAD):
            self._ask()

    def next(self) -> Any:
        """The next answer, or the error that ``fetch`` raised."""
        began = time.perf_counter()
        answer = self.answers.popleft().result()
        self.waited += time.perf_counter() - began
        self._ask()
        return answer

    def _ask(self) -> None:
        self.answers.append(self.reader.submit(self._answer))

    def _answer(self) -> Any:
        rows = next(self.requests, None)
        if rows is None:
            return None  # read ahead past the end; nobody takes it
        values = self.fetch(rows)
        return pinned(values) if self.pin else values

    def close(self) -> None:
        """End the thread; what nobody took is dropped."""
        self.reader.shutdown(wait=True, cancel_futures=True)


@contextmanager
def feeding(requests: Iterator[np.ndarray], fetch: Callable[[np.ndarray], Any], *, pin: bool) -> Iterator[Feed]:
    """A feed for the time of the block."""
    feed = Feed(requests, fetch, pin)
    try:
        yield feed
    finally:
        feed.close()


def pinned(values: Any) -> Any:
    """Tensors, and tuples of them, in memory that a GPU reads without the CPU's help."""
    if isinstance(values, tuple):
        return tuple(pinned(value) for value in values)
    return values.pin_memory() if isinstance(values, torch.Tensor) else values
