"""Early stopping: a run ends when held-out rows get no better, and keeps the best weights it had.

To the training loop this is a store like any other (:class:`brainflix.training.Store`): asked after every step
whether it is time to save, it looks at the held-out rows whenever an epoch is over. Its judgements and the best
weights so far lie in the checkpoint, so a resumed run decides as an undisturbed one does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import nn

from brainflix import crew
from brainflix.training import Store


class _Enough(Exception):
    """Ends a run from within; never leaves this file."""


class EarlyStopping:
    """A store around ``store`` that ends a run after ``patience`` epochs that brought nothing.

    Args:
        model: what is trained.
        judge: how good the model is now on held-out rows; more is better. Called in evaluation mode.
        epoch_steps: steps an epoch has.
        patience: epochs without a better judgement.

    Attributes:
        scores: judgements, one an epoch.
        best_epoch: the epoch (from 1) with the best of them, the first of equals.
        best: the model's weights then.
    """

    def __init__(
        self, store: Store, model: nn.Module, judge: Callable[[], float], *, epoch_steps: int, patience: int
    ) -> None:
        self.store, self.model, self.judge = store, model, judge
        self.epoch_steps, self.patience = epoch_steps, patience
        self.step, self.scores, self.best_epoch = 0, [], 0
        self.best: dict[str, torch.Tensor] = {}

    def load(self) -> dict[str, Any] | None:
        """The state of an interrupted run, as it was saved."""
        state = self.store.load()
        if state is not None:
            self.step, self.scores, self.best = state["step"], list(state["scores"]), dict(state["best"])
            self.best_epoch = state["best_epoch"]
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Save a state, and beside it what was judged."""
        self.store.save({**state, "scores": self.scores, "best": self.best, "best_epoch": self.best_epoch})

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Within the block the run may end early."""
        with self.store.watch(), suppress(_Enough):
            yield

    def due(self) -> bool:
        """Whether to save now; to be asked after every step."""
        self.step += 1
        if self.step % self.epoch_steps == 0:
            self._look()
        return self.store.due()

    def leave(self) -> None:
        """End the process if the inner store was asked to."""
        self.store.leave()

    def restore(self) -> None:
        """Give the model the best weights it had."""
        self.model.load_state_dict(self.best)

    def _look(self) -> None:
        self.model.eval()
        score = self.judge()
        self.model.train()
        # Processes could differ in a last bit, and have to decide alike.
        if crew.agree(int(not self.scores or score > max(self.scores))):
            self.best_epoch = len(self.scores) + 1
            self.best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.scores.append(score)
        epoch = len(self.scores)
        if crew.is_main():
            print(f"epoch {epoch}: held-out {score:.4f}; best: epoch {self.best_epoch}", file=sys.stderr)
        if epoch - self.best_epoch >= self.patience:
            raise _Enough
