"""The one training loop: masked brain modelling, alignment and the MLP all go through it.

It knows a module, a loss over row numbers, and a place to keep its state; never files or datasets.
Randomness of step s is a function of (seed, s) and row order of epoch e one of (seed, e), so a
resumed run needs no random state and continues bit for bit on a CPU. The same holds for any number of
processes (:mod:`brainflix.crew`): a batch is a batch, however many share it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from brainflix import crew, room
from brainflix.errors import InputError
from brainflix.feed import Feed, Hints, Plan, epoch_order, feeding
from brainflix.models.settings import TrainingSettings
from brainflix.optimiser import adamw, compile_blocks, learning_rate, step_seed
from brainflix.progress import Progress

__all__ = ["Loss", "Store", "TrainingSettings", "adamw", "epoch_order", "learning_rate", "train", "use_threads"]

CURVE_STEPS = 10  # one row of the training curve, and one check of the loss, per so many steps


class Store(Protocol):
    """Where the state of a run is kept; see :class:`brainflix.checkpoints.Checkpoints`."""

    def load(self) -> dict[str, Any] | None: ...
    def save(self, state: dict[str, Any]) -> None: ...
    def watch(self) -> Any: ...
    def due(self) -> bool: ...
    def leave(self) -> None: ...


Loss = Callable[[Any, torch.Generator], Tensor]


def use_threads(threads: int) -> torch.device:
    """Fix the number of CPU threads (it changes the last bits of sums); return the device to use."""
    device = crew.device()
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    return device


def train(
    *,
    name: str,
    model: nn.Module,
    loss: Loss,
    n_rows: int,
    settings: TrainingSettings,
    seed: int,
    store: Store,
    fetch: Callable[[np.ndarray], Any] = lambda rows: rows,
    hints: Hints | None = None,
) -> list[list[float]]:
    """Optimise ``model`` in place; returns the curve: [step, epoch, learning rate, loss] a row.

    Args:
        name: for progress and errors.
        loss: what ``fetch`` gave for some rows, and a CPU generator, to the mean loss of these rows. Where several
            processes train, of the rows of all of them; it uses ``crew.gather`` and ``crew.rand``.
        n_rows: rows there are.
        store: keeps and gives back the state; asked after every step whether it is time to save.
        fetch: row numbers (batch / accumulate,), of this process, to what the loss needs of them. Called ahead, in
            another thread, so it leaves torch's arithmetic to the loss.
        hints: told which rows come, see :class:`brainflix.feed.Plan`.

    Raises:
        InputError: fewer rows than a batch, a loss that is not finite (the last state is kept), or too
            little memory.
    """
    run = _Run(name, model, loss, n_rows, settings, seed, store, fetch, hints)
    try:
        return run.through()
    except torch.OutOfMemoryError:
        pass  # what the step held goes with the exception
    raise InputError(run.no_room())


class _Run:
    """A model, its optimiser and how far they are."""

    def __init__(
        self,
        name: str,
        model: nn.Module,
        loss: Loss,
        n_rows: int,
        settings: TrainingSettings,
        seed: int,
        store: Store,
        fetch: Callable[[np.ndarray], Any],
        hints: Hints | None,
    ) -> None:
        if n_rows < settings.batch:
            expected = f"at least a batch of {settings.batch} training rows"
            raise InputError.about(name, expected=expected, found=str(n_rows))
        self.name, self.model, self.loss, self.settings, self.seed = name, model, loss, settings, seed
        self.store, self.fetch = store, fetch
        self.plan = Plan(n_rows, settings.batch, seed, settings.blocks, hints)
        self.steps_per_epoch = self.plan.steps_per_epoch
        self.steps = settings.epochs * self.steps_per_epoch
        self.share = crew.share(settings.batch // settings.accumulate)
        _refuse_single_rows(name, model, settings)
        self.device = next(model.parameters()).device
        self.optimizer = adamw(model, settings)
        self.step, self.curve = 0, []
        self.pending, self.pending_steps = torch.zeros((), dtype=torch.float64, device=self.device), 0
        if (state := store.load()) is not None:
            self.restore(state)
        self.objective, self.later = crew.together(model, loss)
        if settings.compile:
            compile_blocks(model)

    def through(self) -> list[list[float]]:
        """All steps that are left; the curve."""
        self.model.train()
        with (
            self.store.watch(),
            _own_random_state(self.device),
            feeding(self.requests(), self.fetch, pin=self.device.type == "cuda") as feed,
        ):
            progress = Progress(self.name, self.step, self.steps, self.settings.batch, silent=not crew.is_main())
            while self.step < self.steps:
                self.advance(feed)
                progress.show(self.step, self.curve[-1][3] if self.curve else math.nan, feed.waited)
                if self.store.due() and self.step < self.steps:
                    self.check()  # never replace a good state by a broken one
                    self.store.save(self.state())
                    self.store.leave()
            progress.close()
        self.model.eval()
        return self.curve

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "curve": self.curve,
            "pending": self.pending,
            "pending_steps": self.pending_steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            found = f"one of another shape ({error}); delete it to start anew"
            raise InputError.about(f"{self.name}: the checkpoint", expected="one of this model", found=found) from error
        self.step, self.curve = state["step"], state["curve"]
        self.pending, self.pending_steps = state["pending"].to(self.device), state["pending_steps"]
        if crew.is_main():
            print(f"{self.name}: going on at step {self.step} of {self.steps}", file=sys.stderr, flush=True)

    def requests(self) -> Iterator[np.ndarray]:
        """Row numbers of this process, part after part of step after step."""
        for rows in self.plan.batches(self.step, self.steps):
            for part in np.split(rows, self.settings.accumulate):
                yield part[self.share.own]

    def advance(self, feed: Feed) -> None:
        """One optimiser step over one batch."""
        settings, parts = self.settings, self.settings.accumulate
        epoch = self.step / self.steps_per_epoch
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(epoch, settings)
        seed = step_seed(self.seed, self.step)
        torch.manual_seed(seed)  # dropout; inside _own_random_state
        generator = torch.Generator().manual_seed(seed)
        self.optimizer.zero_grad(set_to_none=True)
        for part in range(parts):
            with self.later() if part < parts - 1 else nullcontext():
                value = self.value(self.objective, feed.next(), generator) / parts
                value.backward()
            self.pending += value.detach()
        limit = math.inf if settings.clip_norm is None else settings.clip_norm
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self.pending += 0 * norm  # nothing, unless a finite loss has a gradient that is not
        self.optimizer.step()
        self.step += 1
        self.pending_steps += 1
        if self.step % CURVE_STEPS == 0 or self.step == self.steps:
            self.note_loss()

    def value(self, loss: Loss, batch: Any, generator: torch.Generator) -> Tensor:
        """The loss of this process's rows of a part, and all others'."""
        bfloat16 = self.settings.precision == "bfloat16"
        with crew.sharing(self.share), torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            return loss(batch, generator)

    def check(self) -> None:
        """Stop if a loss or gradient since the last row of the curve was not finite."""
        if not math.isfinite(float(self.pending)):
            raise InputError(
                f"{self.name}: expected finite losses and gradients, found others before step {self.step} of "
                f"{self.steps}; the last checkpoint is kept. A lower learning_rate (now "
                f"{self.settings.learning_rate:g}) or clip_norm (now {self.settings.clip_norm}) may help"
            )

    def note_loss(self) -> None:
        """Add the mean loss since the last row to the curve."""
        self.check()
        rate = learning_rate((self.step - 1) / self.steps_per_epoch, self.settings)
        mean = float(self.pending) / self.pending_steps
        self.curve.append([self.step, self.step / self.steps_per_epoch, rate, mean])
        self.pending.zero_()
        self.pending_steps = 0

    def no_room(self) -> str:
        """What to say when memory ran out; tries smaller parts, alone, to know what would fit."""
        settings, processes = self.settings, len(self.share.sizes)
        parts, where = settings.accumulate, room.described(self.device)
        hint = room.advice(self.attempt, batch=settings.batch, parts=parts, processes=processes, device=self.device)
        return f"{self.name}: a batch of {settings.batch} with accumulate: {parts} does not fit {where}; {hint}"

    def attempt(self, rows: int) -> None:
        """Take the memory of a step in parts of ``rows`` rows, and change no weight."""
        self.optimizer.zero_grad(set_to_none=True)
        lacking = [p for p in self.model.parameters() if p.requires_grad and p not in self.optimizer.state]
        moments = [torch.empty_like(p) for p in lacking for _ in range(2)]  # which the first step is to add
        first = next(self.plan.batches(self.step, self.step + 1))[:rows]
        generator = torch.Generator().manual_seed(0)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
            value = self.loss(self.fetch(first), generator)
        value.backward()
        self.optimizer.zero_grad(set_to_none=True)
        del moments


def _refuse_single_rows(name: str, model: nn.Module, settings: TrainingSettings) -> None:
    across_rows = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in model.modules())
    if across_rows and settings.batch == settings.accumulate:
        found = f"batch {settings.batch} with accumulate {settings.accumulate}"
        raise InputError.about(name, expected="at least two rows at a time, for batch normalisation", found=found)


@contextmanager
def _own_random_state(device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
