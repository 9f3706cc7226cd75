"""Several real processes (gloo) do what one does: the same weights from the same batches, and they stop together."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from brainflix import artifacts, crew
from brainflix.errors import InputError
from brainflix.models.alignment_settings import AlignSettings, HeldOutSettings
from brainflix.models.settings import TrainingSettings
from brainflix.steps.pretrain import PretrainSettings
from tests.steps.test_encode import LOSS, MLP, MODEL, OFF, PRETRAIN, TRAINING, Study

DRIVER = Path(__file__).with_name("crew_driver.py")
ODD = {**TRAINING, "batch": 30, "accumulate": 2}  # parts of 15 rows: 7 and 8 for two processes


def command(step, out, settings, **options) -> list[str]:
    tokens = [step, "--out", str(out), "--settings", json.dumps(settings), "--seed", "1", "--threads", "1"]
    tokens += ["--checkpoints", f"{out}.state", "--curve", f"{out}.csv"]
    for name, value in options.items():
        tokens += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return tokens


def three_steps(study: Study, folder: Path) -> list[list[str]]:
    """Masked modelling in odd shares, a contrast with every part of a recipe, an MLP with batch norm and dropout."""
    folder.mkdir()
    encoder = folder / "encoder.safetensors"
    masked = PretrainSettings(model=MODEL, training=TrainingSettings(**ODD))
    stop = HeldOutSettings(share=0.3, patience=2)
    parts = {**OFF, "largest_scale": 100.0, "adapter_rank": 2, "mbm_weight": 0.5, "held_out": stop}
    aligned = AlignSettings(loss=LOSS, **parts, training=TrainingSettings(**{**TRAINING, "batch": 15}))
    given = {"responses": study.responses}
    return [
        command("pretrain", encoder, asdict(masked), **given),
        command("align", folder / "a.safetensors", asdict(aligned), init=encoder, targets=study.targets("text"),
                **given),
        command(
            "regress", folder / "z.safetensors", {**MLP, "training": ODD}, model="mlp", features=study.responses,
            targets=study.targets("z"),
        ),
    ]  # fmt: skip


def launched(commands, folder, processes=2):
    """Start the commands in so many processes."""
    (folder / "commands.json").write_text(json.dumps(commands))
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    run += ["--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1", DRIVER, folder / "commands.json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(DRIVER.parents[1])}
    return subprocess.Popen(run, env=environment, stderr=subprocess.PIPE, text=True, cwd=folder)


def alone(commands):
    """Run the commands in this process."""
    from brainflix.cli import app

    for tokens in commands:
        app(tokens, exit_on_error=False, print_error=False)


def weights(path: Path, kind: str) -> dict[str, np.ndarray]:
    return artifacts.load_weights(path, kind=kind)[0]


def assert_close(one: Path, two: Path, kind: str, within: float = 1e-5):
    """The same but for rounding, where more than rounding decides."""
    expected, found = weights(one, kind), weights(two, kind)
    assert expected.keys() == found.keys()
    for name in expected:
        counts = ~decided_by_rounding(name, expected[name])
        np.testing.assert_allclose(found[name][counts], expected[name][counts], rtol=0, atol=within, err_msg=name)


def decided_by_rounding(name: str, value: np.ndarray) -> np.ndarray:
    """Which numbers have no effect, hence a gradient of zero but for rounding, of which Adam makes full steps.

    A bias of keys adds the same to all of a query's scores, and batch normalisation takes its layer's bias off again.
    """
    if name.endswith("qkv.bias"):
        return np.arange(len(value)) // (len(value) // 3) == 1
    return np.full(value.shape, name.endswith(("linear.bias", "norm.running_mean")))


@pytest.mark.slow
def test_two_processes_give_the_weights_and_curves_of_one(tmp_path):
    study = Study(tmp_path)
    alone(three_steps(study, tmp_path / "one"))
    process = launched(three_steps(study, tmp_path / "two"), tmp_path)
    _, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    for name, kind in (("encoder", "encoder"), ("a", "encoder"), ("z", "regressor")):
        one, two = (tmp_path / folder / f"{name}.safetensors" for folder in ("one", "two"))
        assert_close(one, two, kind)
        curves = [artifacts.read_table(Path(f"{path}.csv"), columns=["loss"])["loss"] for path in (one, two)]
        np.testing.assert_allclose(*curves, rtol=1e-5)
        moved = weights(one, kind)
        assert any(np.abs(value).max() > 1e-2 for value in moved.values())
    assert not [path for path in tmp_path.rglob("*.partial")]


@pytest.mark.slow
def test_a_signal_to_one_process_makes_all_save_and_one_goes_on(tmp_path):
    study = Study(tmp_path)
    longer = PretrainSettings(model=MODEL, training=TrainingSettings(**{**TRAINING, "epochs": 60}))
    out, whole = tmp_path / "e.safetensors", tmp_path / "w.safetensors"
    process = launched([command("pretrain", out, asdict(longer), responses=study.responses)], tmp_path)
    workers = wait_for_workers(process, tmp_path)
    os.kill(workers[-1], signal.SIGUSR1)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 1 and "exitcode  : 75" in said, said
    assert (tmp_path / "e.safetensors.state" / "last.pt").exists() and not out.exists()
    alone([command("pretrain", path, asdict(longer), responses=study.responses) for path in (out, whole)])
    assert not (tmp_path / "e.safetensors.state" / "last.pt").exists()
    assert_close(out, whole, "encoder", within=1e-3)


@pytest.mark.slow
def test_bad_data_in_the_share_of_one_end_all_with_the_sentence(tmp_path):
    study = Study(tmp_path)

    def spoil(values, rows):
        values[np.flatnonzero(rows["split"] == "train")[1], 3] = np.nan  # which the fingerprint does not look at
        return values

    path = study.write_responses("bmd", "01", spoil)
    run = command("pretrain", tmp_path / "e.safetensors", asdict(PRETRAIN), responses=study.responses)
    process = launched([run], tmp_path)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 1
    sentence = f"{path}: expected finite values, found NaN or infinity in row"
    assert f"InputError: {sentence}" in said, said
    assert not (tmp_path / "e.safetensors").exists()


def wait_for_workers(process, folder) -> list[int]:
    """Numbers of the processes that train, once they do."""
    import psutil

    for _ in range(600):
        found = [child for child in psutil.Process(process.pid).children() if str(DRIVER) in child.cmdline()]
        # They catch the signal from the moment on that they train.
        if len(found) == 2 and all(catches(child.pid, signal.SIGUSR1) for child in found):
            return [child.pid for child in found]
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    raise AssertionError("no two processes trained")


def catches(pid: int, number: int) -> bool:
    line = next(text for text in Path(f"/proc/{pid}/status").read_text().splitlines() if text.startswith("SigCgt"))
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def test_alone_everything_is_as_it_was():
    x = torch.randn(4, 3, requires_grad=True)
    with crew.sharing(crew.share(4)):
        assert crew.gather(x) is x and crew.take_own(x) is x
        drawn = crew.rand(4, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(drawn, torch.rand(4, 3, generator=torch.Generator().manual_seed(1)))
    assert crew.agree(75) == 75 and crew.is_main()


@pytest.mark.parametrize("rows, processes", [(300, 8), (7, 7), (15, 2)])
def test_shares_cover_every_row_once_and_are_equal_but_for_one(monkeypatch, rows, processes):
    shares = [share_of(monkeypatch, rows, processes, number) for number in range(processes)]
    assert np.concatenate([np.arange(rows)[s.own] for s in shares]).tolist() == list(range(rows))
    assert len({s.sizes for s in shares}) == 1
    assert max(shares[0].sizes) - min(shares[0].sizes) <= 1


def test_a_row_has_its_random_numbers_whoever_draws_them(monkeypatch):
    whole = torch.rand(15, 4, generator=torch.Generator().manual_seed(3))
    parts = []
    for number in range(2):
        shared = share_of(monkeypatch, 15, 2, number)
        with crew.sharing(shared):
            rows = shared.sizes[number]
            parts.append(crew.rand(rows, 4, generator=torch.Generator().manual_seed(3)))
            assert len(parts[-1]) == rows
    assert torch.equal(torch.cat(parts), whole)


def test_more_processes_than_rows_are_refused_in_words(monkeypatch):
    with pytest.raises(InputError, match=r"at least one row for each of 8 processes .* found parts of 5 rows"):
        share_of(monkeypatch, 5, 8, 0)


def share_of(monkeypatch, rows, processes, number):
    """The share of one of several processes that are not there."""

    class Others:
        num_processes, process_index = processes, number

    with monkeypatch.context() as patch:
        patch.setattr(crew, "_accelerator", Others)
        return crew.share(rows)
