"""Early stopping: which weights are kept, when a run ends, and that an interruption changes nothing."""

import math

import pytest
import torch

from brainflix.checkpoints import Checkpoints
from brainflix.early import EarlyStopping
from brainflix.training import TrainingSettings, train

SETTINGS = TrainingSettings(
    epochs=8, batch=4, accumulate=1, learning_rate=1e-1, warmup_epochs=0, weight_decay=0.0,
    betas=(0.9, 0.95), clip_norm=None, precision="float32", compile=False, blocks=None,
)  # fmt: skip
ROWS, EPOCH = 12, 3


class Run:
    """A number that is trained; its value after each epoch is noted, and judged as a script says."""

    def __init__(self, folder, script, *, patience=2, max_seconds=None):
        self.model = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.model.weight)
        self.script, self.values, self.training = script, [], []
        store = Checkpoints(folder, identity={}, every_seconds=math.inf, max_seconds=max_seconds)
        self.early = EarlyStopping(store, self.model, self.judge, epoch_steps=EPOCH, patience=patience)

    def judge(self):
        self.values.append(self.model.weight.item())
        self.training.append(self.model.training)
        return self.script[len(self.early.scores)]

    def loss(self, rows, generator):
        return (self.model(torch.ones(len(rows), 1)) - 5 + torch.rand(1, generator=generator)).square().mean()

    def go(self):
        self.curve = train(
            name="test", model=self.model, loss=self.loss, n_rows=ROWS, settings=SETTINGS, seed=1, store=self.early
        )
        self.early.restore()
        return self.model.weight.item()


def test_a_run_ends_when_patience_does_and_has_the_weights_of_its_best_epoch(tmp_path):
    run = Run(tmp_path, [0.1, 0.5, 0.3, 0.4, 0.9, 0, 0, 0])
    assert run.go() == run.values[1]
    assert run.early.scores == [0.1, 0.5, 0.3, 0.4] and run.early.best_epoch == 2
    assert len(set(run.values)) == 4 and not any(run.training)


def test_a_run_that_gets_better_runs_to_its_end(tmp_path):
    run = Run(tmp_path, [0.1 * i for i in range(8)])
    assert run.go() == run.values[7]
    assert run.curve[-1][0] == 8 * EPOCH and run.model.training is False


def test_the_first_of_equals_is_the_best(tmp_path):
    run = Run(tmp_path, [0.5] * 8, patience=3)
    assert run.go() == run.values[0] and len(run.values) == 4


@pytest.mark.parametrize("script", [[0.1, 0.5, 0.3, 0.4, 0.9, 0, 0, 0], [0.1 * i for i in range(8)]])
def test_a_run_interrupted_after_every_step_ends_with_the_same_weights_and_judgements(tmp_path, script):
    whole = Run(tmp_path / "whole", script)
    expected = whole.go()
    for _ in range(40):
        part = Run(tmp_path / "part", script, max_seconds=0.0)
        try:
            found = part.go()
        except SystemExit:
            continue
        break
    assert found == expected and part.early.scores == whole.early.scores


def test_judging_does_not_change_what_is_learned(tmp_path):
    judged = Run(tmp_path / "a", [0.1 * i for i in range(8)])
    judged.go()
    plain = Run(tmp_path / "b", [])
    plain.early = plain.early.store
    train(name="test", model=plain.model, loss=plain.loss, n_rows=ROWS, settings=SETTINGS, seed=1, store=plain.early)
    assert torch.equal(judged.model.weight, plain.model.weight)
