"""`brainflix status` reads what a run wrote down of itself."""

import json
import logging
import os

import psutil
import pytest

from brainflix import runlog
from brainflix.errors import InputError
from brainflix.runlog import RunLog
from brainflix.steps.status import status, summary


class Run:
    """A run whose events come as Snakemake sends them."""

    def __init__(self, folder, *, is_real=True):
        self.handler = RunLog(folder, is_real=lambda: is_real)
        self.logger = logging.Logger("snakemake.logging")
        self.logger.addHandler(self.handler)

    def send(self, event, text="", **values):
        self.logger.error(text, extra={"event": event, **values})

    def start(self, job, rule, log=(), **wildcards):
        self.send("job_started", jobs=[job])
        self.send(
            "job_info",
            jobid=job,
            rule_name=rule,
            wildcards=wildcards,
            log=list(log),
            resources={"mem_mb": 500, "runtime": 30, "tmpdir": "/tmp"},
        )

    def fail(self, job, rule, log=(), message=None, error=None):
        if error:
            self.send("error", error, exception="CalledProcessError")
        self.send("job_error", rule_name=rule, jobid=job, rule_msg=message, log=list(log), aux={"external_jobid": "7"})


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results" / "logs" / "runs"


@pytest.fixture
def run(folder, tmp_path, capfd):
    """Four jobs were planned: one is done, one runs, one failed, one waits."""
    made = Run(folder)
    log = tmp_path / "pretrain.log"
    log.write_text("pretrain: step 5/10, 900 rows/s, 3 s left, loss 0.5\n")
    made.send("run_info", stats={"index": 1, "pretrain": 1, "embed": 2, "total": 4})
    made.start(1, "index", dataset="bmd")
    made.send("job_finished", job_id=1)
    made.start(2, "pretrain", [log], encoder="mbm")
    made.start(3, "embed", stem="sub-01")
    made.fail(3, "embed", error="Command 'x' died with <Signals.SIGKILL: 9>.")
    return made


def events(folder):
    return runlog.read(runlog.latest(folder))


def test_jobs_are_counted_by_rule(run, folder):
    found = summary(events(folder))
    assert found["state"] == "running"
    assert found["rules"]["index"] == {"planned": 1, "done": 1, "waiting": 0, "running": 0, "failed": 0}
    assert found["rules"]["pretrain"] == {"planned": 1, "done": 0, "waiting": 0, "running": 1, "failed": 0}
    assert found["rules"]["embed"] == {"planned": 2, "done": 0, "waiting": 0, "running": 0, "failed": 1}


def test_a_running_job_says_how_far_it_is(run, folder):
    (job,) = summary(events(folder))["running"]
    assert job["name"] == "pretrain (encoder mbm)" and job["says"].startswith("pretrain: step 5/10, 900 rows/s")


def test_a_job_in_the_queue_waits_until_it_begins_its_log(run, folder, tmp_path):
    log = tmp_path / "embed.log"
    log.write_text("of an attempt before\n")
    os.utime(log, (1, 1))
    run.start(4, "embed", [log], stem="sub-02")
    assert summary(events(folder))["rules"]["embed"]["waiting"] == 1
    log.write_text("begun\n")
    found = summary(events(folder))
    assert found["rules"]["embed"]["running"] == 1 and found["running"][-1]["says"] == "begun"


def test_a_failed_job_is_told_at_once_and_kept(run, folder, capfd):
    run.fail(2, "pretrain", message="SLURM status is: 'TIMEOUT'. ")
    assert "pretrain:runtime=60" in capfd.readouterr().err
    names = {job["name"]: job["block"] for job in summary(events(folder))["failed"]}
    assert set(names) == {"embed (stem sub-01)", "pretrain (encoder mbm)"}
    assert "embed:mem_mb=1000" in names["embed (stem sub-01)"]


def test_a_job_that_is_tried_again_is_not_failed(run, folder):
    run.start(3, "embed", stem="sub-01")
    assert summary(events(folder))["rules"]["embed"]["failed"] == 0
    run.send("job_finished", job_id=3)
    assert summary(events(folder))["rules"]["embed"]["done"] == 1


@pytest.mark.parametrize("good, state", [(True, "finished"), (False, "failed")])
def test_a_run_that_ended_has_nothing_running(run, folder, good, state):
    run.handler.finish(good=good)
    found = summary(events(folder))
    assert found["state"] == state and not found["running"]


def edit(folder, **values):
    path = runlog.latest(folder)
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), **values}), *rest, '{"half']))


def test_a_run_whose_process_is_gone_was_killed(run, folder):
    edit(folder, created=psutil.Process().create_time() - 100)
    assert summary(events(folder))["state"] == "killed" and not summary(events(folder))["running"]


def test_a_run_of_another_machine_is_not_judged(run, folder):
    edit(folder, host="elsewhere")
    assert summary(events(folder))["state"] == "running on elsewhere, unless it was killed"


def test_a_dry_run_leaves_nothing(folder):
    made = Run(folder, is_real=False)
    made.send("run_info", stats={"index": 1})
    made.start(1, "index")
    assert not folder.exists()


def test_a_broken_event_does_not_stop_the_work(folder, capfd):
    made = Run(folder)
    made.send("job_info")
    assert "Traceback" in capfd.readouterr().err or not folder.exists()


def test_everything_is_printed(run, folder, tmp_path, capfd):
    results = tmp_path / "results"
    curve = results / "checkpoints" / "pretrain" / "mbm" / "all" / "seed-0" / "curve.csv"
    curve.parent.mkdir(parents=True)
    curve.write_text("step,epoch,learning_rate,loss\n10,0.5,1e-4,1.5\n20,1.0,1e-4,0.75\n")
    (curve.parent / "last.pt").touch()
    measured = results / "benchmarks" / "index" / "bmd.tsv"
    measured.parent.mkdir(parents=True)
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    measured.write_text(head + "3600\t1:00:00\t512.5\t-\t-\t-\t0\t0\t90\t1800\n")
    status(results=results)
    text = capfd.readouterr().out
    assert "training pretrain/mbm/all/seed-0: step 20, epoch 1.0, loss 0.75 (first 1.5), saved" in text
    assert text.split("measured")[1].splitlines()[1].split() == ["index", "1", "1.000", "0.500", "512"]
    assert "---- failed: embed (stem sub-01)" in text and "3 s left" in text
    status(results=results, json=True)
    assert json.loads(capfd.readouterr().out)["training"][0]["done"] is False


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected the log of a run in logs/runs, found no such folder"):
        status(results=tmp_path / "none")
    with pytest.raises(InputError, match="found none"):
        status(results=tmp_path)


def test_a_curve_that_is_none_is_refused_by_name(run, tmp_path):
    curve = tmp_path / "results" / "checkpoints" / "a" / "curve.csv"
    curve.parent.mkdir(parents=True)
    curve.write_text("x,y\n1,2\n")
    with pytest.raises(InputError, match=r"a/curve.csv: expected columns step, epoch"):
        status(results=tmp_path / "results")


def test_the_file_is_named_after_the_process(run, folder):
    assert runlog.latest(folder).stem.endswith(f"-{os.getpid()}")
