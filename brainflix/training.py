"""The one training loop: masked brain modelling, alignment and the MLP all go through it.

It knows a module, a loss over row numbers, and a place to keep its state; never files or datasets.
Randomness of step s is a function of (seed, s) and row order of epoch e one of (seed, e), so a
resumed run needs no random state and continues bit for bit on a CPU.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from brainflix.errors import InputError
from brainflix.models.settings import TrainingSettings

CURVE_STEPS = 10  # one row of the training curve, and one check of the loss, per so many steps
LINE_SECONDS = 30.0  # between progress lines in a log
TICK_SECONDS = 0.5  # between redraws on a terminal


class Store(Protocol):
    """Where the state of a run is kept; see :class:`brainflix.checkpoints.Checkpoints`."""

    def load(self) -> dict[str, Any] | None: ...
    def save(self, state: dict[str, Any]) -> None: ...
    def watch(self) -> Any: ...
    def due(self) -> bool: ...
    def leave(self) -> None: ...


Loss = Callable[[np.ndarray, torch.Generator], Tensor]


def use_threads(threads: int) -> torch.device:
    """Fix the number of CPU threads (it changes the last bits of sums); return the device to use."""
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train(
    *,
    name: str,
    model: nn.Module,
    loss: Loss,
    n_rows: int,
    settings: TrainingSettings,
    seed: int,
    store: Store,
) -> list[list[float]]:
    """Optimise ``model`` in place; returns the curve: [step, epoch, learning rate, loss] a row.

    Args:
        name: for progress and errors.
        loss: row numbers (batch / accumulate,) and a CPU generator to the mean loss of these rows.
        n_rows: rows there are.
        store: keeps and gives back the state; asked after every step whether it is time to save.

    Raises:
        InputError: fewer rows than a batch, or a loss that is not finite (the last state is kept).
    """
    run = _Run(name, model, loss, n_rows, settings, seed, store)
    model.train()
    with store.watch(), _own_random_state(run.device):
        progress = Progress(name, run.step, run.steps, settings.batch)
        while run.step < run.steps:
            run.advance()
            progress.show(run.step, run.curve[-1][3] if run.curve else math.nan)
            if store.due() and run.step < run.steps:
                run.check()  # never replace a good state by a broken one
                store.save(run.state())
                store.leave()
        progress.close()
    model.eval()
    return run.curve


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
    ) -> None:
        if n_rows < settings.batch:
            expected = f"at least a batch of {settings.batch} training rows"
            raise InputError.about(name, expected=expected, found=str(n_rows))
        self.name, self.model, self.loss, self.settings, self.seed = name, model, loss, settings, seed
        self.n_rows, self.steps_per_epoch = n_rows, n_rows // settings.batch
        self.steps = settings.epochs * self.steps_per_epoch
        self.device = next(model.parameters()).device
        self.optimizer = adamw(model, settings)
        self.step, self.curve = 0, []
        self.pending, self.pending_steps = torch.zeros((), dtype=torch.float64, device=self.device), 0
        self.order, self.order_epoch = np.empty(0, np.int64), -1
        if (state := store.load()) is not None:
            self.restore(state)

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
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.curve = state["step"], state["curve"]
        self.pending, self.pending_steps = state["pending"].to(self.device), state["pending_steps"]

    def advance(self) -> None:
        """One optimiser step over one batch."""
        settings, parts = self.settings, self.settings.accumulate
        epoch = self.step / self.steps_per_epoch
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(epoch, settings)
        seed = step_seed(self.seed, self.step)
        torch.manual_seed(seed)  # dropout; inside _own_random_state
        generator = torch.Generator().manual_seed(seed)
        self.optimizer.zero_grad(set_to_none=True)
        for rows in np.split(self.rows(), parts):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                value = self.loss(rows, generator) / parts
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

    def rows(self) -> np.ndarray:
        """The row numbers (batch,) of this step."""
        epoch, place = divmod(self.step, self.steps_per_epoch)
        if epoch != self.order_epoch:
            self.order, self.order_epoch = epoch_order(self.n_rows, self.seed, epoch), epoch
        return self.order[place * self.settings.batch : (place + 1) * self.settings.batch]

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


def adamw(model: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only (biases, norms and other vectors have none)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=tuple(settings.betas), fused=True)


def learning_rate(epoch: float, settings: TrainingSettings) -> float:
    """Linear warm-up from 0, then half a cosine to 0, by the fractional epoch (MinD-Vis)."""
    if epoch < settings.warmup_epochs:
        return settings.learning_rate * epoch / settings.warmup_epochs
    done = (epoch - settings.warmup_epochs) / (settings.epochs - settings.warmup_epochs)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def epoch_order(n_rows: int, seed: int, epoch: int) -> np.ndarray:
    """The order (n_rows,) in which an epoch visits the rows."""
    return np.random.default_rng([seed, epoch]).permutation(n_rows)


def step_seed(seed: int, step: int) -> int:
    """A 63-bit seed for the random numbers of one step."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def _own_random_state(device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


class Progress:
    """Rate, time left and loss: one line redrawn on a terminal, a line now and then in a log."""

    def __init__(self, name: str, start: int, steps: int, batch: int) -> None:
        self.name, self.start, self.steps, self.batch = name, start, steps, batch
        self.live = sys.stderr.isatty()
        self.began = self.shown = time.monotonic()

    def show(self, step: int, loss: float) -> None:
        now = time.monotonic()
        if now - self.shown < (TICK_SECONDS if self.live else LINE_SECONDS):
            return
        self.shown = now
        seconds = (now - self.began) / (step - self.start)
        line = (
            f"{self.name}: step {step}/{self.steps}, {self.batch / seconds:.0f} rows/s, "
            f"{seconds * (self.steps - step):.0f} s left, loss {loss:.4f}"
        )
        start, end = ("\r", "   ") if self.live else ("", "\n")
        print(start + line, end=end, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.live:
            print(file=sys.stderr)
