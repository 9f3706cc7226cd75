"""The training loop: schedule, order of rows, interruption, resumption, broken losses."""

import math
import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch

from brainflix import progress
from brainflix.checkpoints import Checkpoints
from brainflix.errors import InputError
from brainflix.models.settings import BlockSettings
from brainflix.training import TrainingSettings, adamw, epoch_order, learning_rate, train

SETTINGS = TrainingSettings(
    epochs=4, batch=8, accumulate=1, learning_rate=1e-2, warmup_epochs=1, weight_decay=0.05,
    betas=(0.9, 0.95), clip_norm=0.8, precision="float32", compile=False, blocks=None,
)  # fmt: skip
ROWS = 50  # six batches of 8 an epoch, two rows left out


def with_(**changes) -> TrainingSettings:
    return TrainingSettings(**{**vars(SETTINGS), **changes})


class Problem:
    """A small network with dropout on fixed data; notes which rows each step saw."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x, mix = (torch.randn(n, m, generator=generator) for n, m in ((ROWS, 5), (5, 3)))
        self.y = self.x @ mix
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.model = torch.nn.Sequential(torch.nn.Linear(5, 16), torch.nn.Dropout(0.3), torch.nn.Linear(16, 3))
        self.seen: list[np.ndarray] = []
        self.broken_at = math.inf

    def loss(self, rows, generator):
        self.seen.append(rows)
        noise = torch.randn(len(rows), 5, generator=generator)
        loss = (self.model(self.x[rows] + 0.1 * noise) - self.y[rows]).square().mean()
        return loss * math.nan if len(self.seen) > self.broken_at else loss


def store(folder, *, every_seconds=math.inf, identity=None, **more) -> Checkpoints:
    return Checkpoints(folder, identity=identity or {"seed": 1}, every_seconds=every_seconds, **more)


def run(problem, folder, settings=SETTINGS, **more):
    return train(
        name="test", model=problem.model, loss=problem.loss, n_rows=ROWS, settings=settings, seed=1,
        store=store(folder, **more),
    )  # fmt: skip


def weights(problem) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in problem.model.parameters()])


def test_the_rate_warms_up_in_a_line_and_falls_as_half_a_cosine():
    rates = [learning_rate(e, with_(warmup_epochs=1, epochs=5, learning_rate=2.0)) for e in (0, 0.5, 1, 3, 5)]
    assert rates == pytest.approx([0, 1, 2, 1, 0])


def test_only_matrices_decay():
    groups = adamw(Problem().model, SETTINGS).param_groups
    assert [(g["weight_decay"], {p.ndim for p in g["params"]}) for g in groups] == [(0.05, {2}), (0.0, {1})]


def test_an_epoch_visits_rows_once_in_an_order_of_its_own(tmp_path):
    problem = Problem()
    run(problem, tmp_path)
    epochs = np.concatenate(problem.seen).reshape(4, 48)
    assert all(len(set(e)) == 48 for e in epochs)
    assert not np.array_equal(epochs[0], epochs[1])
    np.testing.assert_array_equal(epochs[2], epoch_order(ROWS, 1, 2)[:48])


def test_the_same_seed_gives_the_same_bits_whatever_the_global_state(tmp_path):
    results = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        problem = Problem()
        run(problem, tmp_path / str(global_seed))
        results.append(weights(problem))
    assert torch.equal(*results)


def test_the_global_random_state_is_left_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(Problem(), tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_a_batch_in_parts_is_the_same_batch(tmp_path):
    results = []
    for parts in (1, 4):
        problem = Problem()
        problem.model[1].p = 0.0
        problem.loss = lambda rows, generator, p=problem: (p.model(p.x[rows]) - p.y[rows]).square().mean()
        run(problem, tmp_path / str(parts), with_(accumulate=parts))
        results.append(weights(problem))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-6)


def test_training_learns_and_its_curve_says_so(tmp_path):
    curve = run(Problem(), tmp_path, with_(epochs=30))
    assert [row[0] for row in curve] == list(range(10, 181, 10))
    assert curve[-1][3] < 0.8 * curve[0][3]


@pytest.mark.parametrize("stop", [1, 9, 10, 23])
def test_a_run_stopped_at_any_step_continues_bit_for_bit(tmp_path, stop):
    whole, part = Problem(), Problem()
    expected = run(whole, tmp_path / "whole")
    loss, calls = part.loss, []

    def interrupting(rows, generator):
        calls.append(1)
        if len(calls) == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(rows, generator)

    part.loss = interrupting
    with pytest.raises(SystemExit) as stopped:
        run(part, tmp_path / "part")
    assert stopped.value.code == 75
    assert len(calls) == stop
    again = Problem()
    assert run(again, tmp_path / "part") == expected
    assert torch.equal(weights(again), weights(whole))
    assert len(again.seen) == 24 - stop


def test_saving_often_changes_nothing(tmp_path):
    often, never = Problem(), Problem()
    assert run(often, tmp_path / "a", every_seconds=0) == run(never, tmp_path / "b")
    assert torch.equal(weights(often), weights(never))


@pytest.mark.parametrize("number, code", [(signal.SIGUSR1, 75), (signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_signals_save_first_and_then_leave(tmp_path, number, code):
    problem = Problem()
    loss = problem.loss
    problem.loss = lambda rows, generator: (os.kill(os.getpid(), number), loss(rows, generator))[1]
    with pytest.raises(SystemExit) as stopped:
        run(problem, tmp_path)
    assert stopped.value.code == code
    assert store(tmp_path).load()["step"] == 1
    assert signal.getsignal(number) not in (None, problem.loss)


def test_the_time_limit_saves_and_leaves(tmp_path):
    with pytest.raises(SystemExit) as stopped:
        run(Problem(), tmp_path, max_seconds=0)
    assert stopped.value.code == 75
    assert store(tmp_path).load()["step"] == 1


KILLED = """
    import sys, time
    sys.path.insert(0, sys.argv[1])
    import test_training as t
    problem = t.Problem()
    loss = problem.loss
    def slow(rows, generator):
        print(len(problem.seen), flush=True)
        time.sleep(0.02)
        return loss(rows, generator)
    problem.loss = slow
    t.run(problem, t.os.path.join(sys.argv[2]), every_seconds=0)
    t.torch.save(t.weights(problem), sys.argv[3])
"""


def test_kill_9_at_random_steps_changes_no_bit_of_the_result(tmp_path):
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(KILLED),
        os.path.dirname(__file__),
        tmp_path / "c",
        tmp_path / "w",
    ]
    rng = np.random.default_rng()
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for _ in range(rng.integers(2, 10)):
                process.stdout.readline()
            time.sleep(rng.uniform(0, 0.02))  # also within a step, or while a state is being written
            process.kill()
        assert not (tmp_path / "w").exists()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    whole = Problem()
    run(whole, tmp_path / "whole")
    assert torch.equal(torch.load(tmp_path / "w"), weights(whole))


def test_a_checkpoint_of_other_settings_is_refused_with_what_changed(tmp_path):
    with pytest.raises(SystemExit):
        run(Problem(), tmp_path, max_seconds=0, identity={"seed": 1, "training": {"learning_rate": 0.1}})
    with pytest.raises(InputError, match=r"last.pt: .*training.learning_rate was 0.1, is 0.2"):
        run(Problem(), tmp_path, identity={"seed": 1, "training": {"learning_rate": 0.2}})


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path):
    (tmp_path / "last.pt").write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(InputError, match=r"last.pt: expected a checkpoint"):
        run(Problem(), tmp_path)


def test_a_loss_that_is_not_finite_stops_with_advice_and_keeps_the_last_checkpoint(tmp_path):
    problem = Problem()
    problem.broken_at = 7
    with pytest.raises(InputError, match=r"expected finite losses.*lower learning_rate"):
        run(problem, tmp_path, every_seconds=0)
    state = store(tmp_path).load()
    assert state["step"] == 7
    assert all(torch.isfinite(v).all() for v in state["model"].values())


def test_finishing_keeps_the_curve_and_drops_the_state(tmp_path):
    kept = store(tmp_path, every_seconds=0)
    problem = Problem()
    curve = train(
        name="test",
        model=problem.model,
        loss=problem.loss,
        n_rows=ROWS,
        settings=SETTINGS,
        seed=1,
        store=kept,
    )
    kept.finish(curve)
    assert not (tmp_path / "last.pt").exists()
    header, *rows = (tmp_path / "curve.csv").read_text().splitlines()
    assert header == "step,epoch,learning_rate,loss"
    assert len(rows) == len(curve)


def test_fewer_rows_than_a_batch_are_refused_in_words(tmp_path):
    with pytest.raises(InputError, match="test: expected at least a batch of 64 training rows, found 50"):
        run(Problem(), tmp_path, with_(batch=64))


def test_a_batch_that_does_not_split_is_refused_in_words():
    with pytest.raises(InputError, match="batch 8 cannot be split into 3"):
        with_(accumulate=3)


def test_bfloat16_comes_close_to_float32(tmp_path):
    results = []
    for precision in ("float32", "bfloat16"):
        problem = Problem()
        run(problem, tmp_path / precision, with_(precision=precision))
        results.append(weights(problem))
    assert results[1].dtype == torch.float32
    torch.testing.assert_close(*results, rtol=0.1, atol=0.02)


def test_blocks_change_the_order_alone(tmp_path):
    problem = Problem()
    blocks = BlockSettings(rows=4, window=3)
    run(problem, tmp_path, with_(blocks=blocks))
    epochs = np.concatenate(problem.seen).reshape(4, 48)
    np.testing.assert_array_equal(epochs[1], epoch_order(ROWS, 1, 1, blocks)[:48])
    assert all(len(set(e)) == 48 for e in epochs)


def test_what_is_fetched_is_what_the_loss_gets(tmp_path):
    plain, fetched = Problem(), Problem()
    run(plain, tmp_path / "a")
    loss = fetched.loss
    curve = train(
        name="test", model=fetched.model, loss=lambda rows, generator: loss(rows[0], generator),
        fetch=lambda rows: (rows, "more"), n_rows=ROWS, settings=SETTINGS, seed=1, store=store(tmp_path / "b"),
    )  # fmt: skip
    assert torch.equal(weights(plain), weights(fetched))
    assert len(curve) == 3


def test_a_checkpoint_of_another_shape_is_refused_in_words(tmp_path):
    with pytest.raises(SystemExit):
        run(Problem(), tmp_path, max_seconds=0)
    other = Problem()
    other.model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Dropout(0.3), torch.nn.Linear(7, 3))
    with pytest.raises(
        InputError, match=r"test: the checkpoint: expected one of this model, found one of another shape"
    ):
        run(other, tmp_path)


def test_single_rows_are_refused_where_layers_look_across_rows(tmp_path):
    problem = Problem()
    problem.model = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.BatchNorm1d(3))
    with pytest.raises(
        InputError, match=r"test: expected at least two rows at a time, .* found batch 8 with accumulate 8"
    ):
        run(problem, tmp_path, with_(accumulate=8))


@pytest.mark.slow
def test_compiled_blocks_learn_the_same(tmp_path):
    results = []
    for compiled in (False, True):
        torch.manual_seed(3)
        problem = Problem()
        layers = [torch.nn.Sequential(torch.nn.Linear(5, 5), torch.nn.GELU()) for _ in range(2)]
        problem.model = torch.nn.Sequential(torch.nn.ModuleList(layers), torch.nn.Linear(5, 3))
        blocks, last = problem.model
        problem.loss = lambda rows, generator, p=problem, b=blocks, end=last: (
            (end(b[1](b[0](p.x[rows]))) - p.y[rows]).square().mean()
        )
        run(problem, tmp_path / str(compiled), with_(compile=compiled))
        assert all((block._compiled_call_impl is not None) == compiled for block in blocks)
        results.append(weights(problem))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


def test_the_log_says_how_far_it_is_and_how_long_it_waited(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    shown = progress.Progress("test", 10, 30, batch=8)
    shown.began -= 10.0
    shown.show(20, 0.25, waited=1.0)
    assert re.fullmatch(
        r"test: step 20/30, 8 rows/s, 10 s left, loss 0.2500, 10% waiting for data\n", capsys.readouterr().err
    )
    progress.Progress("test", 10, 30, batch=8, silent=True).show(20, 0.25, waited=1.0)
    assert capsys.readouterr().err == ""
