"""The whole DAG on a small simulated study: once in peace, once killed again and again."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tests import test_results
from tests.test_results import CHECKS

from .conftest import ROOT

pytestmark = pytest.mark.slow
TARGETS = ["results/bmd/metrics.csv", "results/cc2017/metrics.csv"]
PICTURES = ["results/figures/gallery-bmd.png", "results/figures/gallery-cc2017.png"]
NEED_MORE_CLIPS = [
    test_results.check_nothing_beats_the_oracle,
    test_results.check_the_full_model_beats_mean_and_random_with_intervals_apart,
]
OVERLAYS = [str(ROOT / "config" / "demo.yaml"), str(ROOT / "tests" / "workflow" / "small.yaml")]


def command(*targets):
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
    return [*snakemake, *targets, "--configfile", *OVERLAYS]


def run(cwd, *targets):
    done = subprocess.run(command(*targets), cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder in which the whole DAG ran without being disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder, *TARGETS, *PICTURES)
    return folder


def test_every_row_of_the_table_is_complete(whole):
    for target in TARGETS:
        table = pd.read_csv(whole / target)
        assert table[["value", "low", "high", "chance", "n", "seed"]].notna().all(axis=None)
        assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
        assert table["simulated"].all() and table["definition"].notna().all()
    assert set(pd.read_csv(whole / TARGETS[0])["variant"]) == {"oracle", "random", "mean", "linear", "full"}


@pytest.mark.parametrize("check", [c for c in CHECKS if c not in NEED_MORE_CLIPS], ids=lambda check: check.__name__)
def test_what_must_hold_in_finished_results_holds(whole, check):
    check(whole / "results")


def test_pictures_and_films_are_made(whole):
    for picture in PICTURES:
        assert (whole / picture).stat().st_size > 10_000
        assert (whole / picture).with_suffix(".mp4").stat().st_size > 1_000


def test_the_same_command_again_does_nothing(whole):
    assert "Nothing to be done" in run(whole, *TARGETS, *PICTURES)


def test_no_half_written_file_is_left(whole):
    assert not list(whole.rglob("*.partial"))
    assert not list((whole / "results" / "checkpoints").rglob("*.pt"))


def test_one_more_variant_runs_nothing_that_exists(whole, tmp_path):
    extra = tmp_path / "extra.yaml"
    extra.write_text("variants: {strong: {latent: full, condition: none, generator: video, input: responses}}")
    target = "results/bmd/strong/metrics.csv"
    done = subprocess.run([*command("--dry-run", target), str(extra)], cwd=whole, capture_output=True, text=True)
    planned = set(re.findall(r"^rule (\w+):", done.stdout + done.stderr, re.M))
    assert planned == {"describe", "generate", "evaluate", "summarize"}


def test_a_changed_number_runs_only_what_depends_on_it(whole, tmp_path):
    extra = tmp_path / "extra.yaml"
    extra.write_text("ridge: {folds: 4}")
    done = subprocess.run([*command("--dry-run", TARGETS[0]), str(extra)], cwd=whole, capture_output=True, text=True)
    text = done.stdout + done.stderr
    assert {"regress", "predict"} <= set(re.findall(r"^rule (\w+):", text, re.M))
    assert not {"pretrain", "align", "embed", "parcellate"} & set(re.findall(r"^rule (\w+):", text, re.M))
    assert "regressors/full" not in text.split("rule regress:")[1].split("rule ")[0]


class Interrupted:
    """A run in a folder, stopped in some way once so many jobs have finished."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self.log = folder / f"interrupted-{time.monotonic_ns()}.log"
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                command(*TARGETS),
                cwd=folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A shell may have started these tests in the background, with Ctrl-C ignored.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        while self.process.poll() is None and self.log.read_text().count("Finished jobid") < jobs:
            time.sleep(0.2)
        time.sleep(1.0)  # into the next jobs

    def steps(self):
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [p for p in children if "brainflix" in " ".join(p.cmdline())]


def kill_everything(run):
    os.killpg(run.process.pid, signal.SIGKILL)


def kill_only_snakemake(run):
    run.process.kill()  # its jobs go on as orphans while the next run starts


def kill_the_steps(run):
    for process in run.steps():
        process.kill()


def press_ctrl_c(run):
    os.killpg(run.process.pid, signal.SIGINT)


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(whole, tmp_path):
    shutil.copytree(whole / "data", tmp_path / "data", copy_function=os.link)
    marks = [tmp_path / "data" / "phantom" / name / "phantom.json" for name in ("bmd", "had", "cc2017", "hcp")]
    assert all(mark.exists() for mark in marks)
    for jobs, stop in [
        (3, kill_everything),
        (4, kill_the_steps),
        (6, kill_only_snakemake),
        (9, press_ctrl_c),
    ]:
        interrupted = Interrupted(tmp_path, jobs)
        stop(interrupted)
        interrupted.process.wait(timeout=300)
    run(tmp_path, *TARGETS)
    for target in TARGETS:
        assert (tmp_path / target).read_bytes() == (whole / target).read_bytes()
    assert not list((tmp_path / "results").rglob("*.partial"))
