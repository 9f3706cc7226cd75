"""What goes wrong on clusters, on a real one: the same command ends well, with the same bytes, and repeats nothing.

What is compared is the encoder, from which the table is made; `kills.py` goes on to the table. Each fault meets a
training that has just saved its state, and is held (SIGSTOP) until the fault has happened, so that no fault comes too
late. Held, it cannot save again: what is resumed is the last regular checkpoint.
"""

import re
import shutil
import signal
from contextlib import suppress

import psutil
import pytest

from tests.workflow.test_whole import OVERLAYS

from .conftest import ROOT, Clone, linked

TARGET = "results/encoders/mbm/all/seed-0/encoder.safetensors"
STATE = "results/checkpoints/pretrain/mbm/all/seed-0/last.pt"
LOG = "results/logs/pretrain/mbm/all/seed-0.log"
FAULTS = [*OVERLAYS, str(ROOT / "tests/slurm/faults.yaml")]
SAVING = ["pretrain:checkpoint_seconds=1"]


@pytest.fixture(scope="module")
def undisturbed(lab, tmp_path_factory):
    """A finished run without SLURM."""
    clone = Clone(tmp_path_factory.mktemp("undisturbed"), lab, overlays=FAULTS)
    clone.local(TARGET)
    return clone


@pytest.fixture
def clone(lab, undisturbed, tmp_path):
    """A folder in which all is done that comes before the training."""
    folder = tmp_path / "clone"
    made = Clone(folder, lab, overlays=FAULTS, options=["--set-resources", *SAVING])
    linked(undisturbed.folder, folder)
    for done in ("encoders", "checkpoints", "logs"):
        shutil.rmtree(folder / "results" / done)
    yield made
    made.lab.tell("scancel", "--user", str(made.folder.owner()))


class Held:
    """A training that was started through SLURM, has saved its state, and stands still."""

    def __init__(self, clone: Clone, *targets: str):
        self.clone, self.lab, self.run = clone, clone.lab, clone.submit(*(targets or [TARGET]))
        self.lab.wait_for("checkpoint", lambda: self._ended() or (clone.folder / STATE).exists(), seconds=180)
        assert self.run.process.poll() is None, self.run.text[-4000:]
        self.processes = self.run.steps("pretrain")
        self.signal(signal.SIGSTOP)
        self.job = self.running()

    def _ended(self) -> bool:
        return self.run.process.poll() is not None

    def signal(self, number: int) -> None:
        for process in self.processes:
            process.send_signal(number)

    def running(self) -> str:
        """Id of the training's SLURM job."""
        jobs = [line.split()[0] for line in self.lab.queue() if "rule_pretrain" in line]
        assert len(jobs) == 1, self.lab.queue()
        return jobs[0]

    def runs(self, process: psutil.Process) -> bool:
        """Whether a process belongs to the job: started in it, or by SLURM for it."""
        with suppress(psutil.Error):
            stepd = f"slurmstepd: [{self.job}." in " ".join(process.cmdline())
            return stepd or process.environ().get("SLURM_JOB_ID") == self.job
        return False

    def state(self) -> str:
        return self.lab.ask("squeue", "--noheader", "--states=all", "--format=%T", "--jobs", self.job).strip()


def check_end(held: Held, undisturbed: Clone, *, run=None, resumed: bool = True) -> str:
    """The run ends well, with the same bytes; everything was finished once; the training was not begun anew."""
    clone = held.clone
    text = (run or held.run).finish()
    assert (clone.folder / TARGET).read_bytes() == (undisturbed.folder / TARGET).read_bytes()
    planned = int(re.search(r"^total +(\d+)$", held.run.text, re.M)[1])
    assert len(clone.finished_jobs()) == planned, "each job once"
    assert ("going on at step" in (clone.folder / LOG).read_text()) == resumed
    assert not list((clone.folder / "results").rglob("*.partial"))
    return text


def test_a_job_that_is_cancelled_is_submitted_again(clone, undisturbed):
    held = Held(clone)
    clone.lab.tell("scancel", held.job)
    text = check_end(held, undisturbed)
    assert f"'{held.job}' failed, SLURM status is: 'CANCELLED'" in text


def test_a_step_that_is_killed_goes_on_from_its_checkpoint(clone, undisturbed):
    held = Held(clone)
    held.signal(signal.SIGKILL)
    assert f"'{held.job}' failed, SLURM status is: 'FAILED'" in check_end(held, undisturbed)


def test_a_job_that_runs_out_of_time_goes_on_from_its_checkpoint(clone, undisturbed):
    clone.options += ["pretrain:runtime=attempt"]
    held = Held(clone)
    assert f"'{held.job}' failed, SLURM status is: 'TIMEOUT'" in check_end(held, undisturbed)


def test_a_training_knows_its_time_and_saves_when_asked_to_leave(clone, undisturbed):
    clone.options += ["pretrain:runtime=60"]
    held = Held(clone)
    words = held.processes[0].cmdline()
    assert words[words.index("--max-seconds") + 1] == "3540", "a minute to save"
    held.signal(signal.SIGTERM)
    held.signal(signal.SIGCONT)
    check_end(held, undisturbed)


def test_a_job_that_runs_out_of_memory_gets_more(clone, undisturbed):
    """Less than 500 MB do not even hold the two Snakemakes of a job and a step that imports torch."""
    clone.options += ["pretrain:mem_mb=450 * attempt ** 3"]
    run = clone.submit(TARGET)
    text = run.finish()
    assert len(re.findall(r"'\d+' failed, SLURM status is: '(?:FAILED|OUT_OF_MEMORY)'", text)) == 1
    assert (clone.folder / TARGET).read_bytes() == (undisturbed.folder / TARGET).read_bytes()


def test_a_job_outlives_its_node(clone, undisturbed):
    held = Held(clone)
    node = held.lab.ask("squeue", "--noheader", "--format=%N", "--jobs", held.job).strip()
    held.lab.tell("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")
    held.lab.stop(node, kill=True)
    for process in psutil.process_iter():
        if held.runs(process):
            process.kill()
    try:
        held.lab.tell("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
        held.lab.wait_for("another node", lambda: held.state() == "RUNNING" and held.run.steps("pretrain"), seconds=90)
        assert held.running() == held.job, "SLURM's to queue again, not Snakemake's to submit"
    finally:
        held.lab.start_node(node)
        held.lab.tell("scontrol", "update", f"NodeName={node}", "State=RESUME")
    assert "failed" not in check_end(held, undisturbed)


def test_a_job_that_is_preempted_comes_back(clone, undisturbed):
    clone.options += ["pretrain:slurm_partition=low"]
    held = Held(clone)
    urgent = ["--partition=gpu", "--nodes=2", "--exclusive", "--time=5", "--output=/dev/null", "--wrap=sleep 5"]
    held.lab.tell("sbatch", *urgent)
    held.lab.wait_for("preemption", lambda: held.state() != "RUNNING")
    assert held.running() == held.job
    assert "failed" not in check_end(held, undisturbed)


def test_a_controller_that_is_away_for_a_while_loses_nothing(clone, undisturbed):
    held = Held(clone)
    held.lab.stop("slurmctld", kill=True)
    held.lab.wait_for("a question without answer", lambda: "SLURM does not say" in held.run.text, seconds=120)
    held.lab.start_controller()
    held.signal(signal.SIGCONT)
    assert "failed" not in check_end(held, undisturbed, resumed=False)


def test_the_jobs_of_a_killed_run_are_ended_and_its_lock_is_not_in_the_way(clone, undisturbed):
    held = Held(clone)
    held.run.kill()
    held.signal(signal.SIGCONT)
    again = clone.submit(TARGET)
    text = check_end(held, undisturbed, run=again)
    assert f"ending 1 jobs that a killed run left in the queue: {held.job}" in text
    assert held.state() in ("CANCELLED", "FAILED")


def test_what_a_killed_run_left_that_then_finished_is_not_done_again(clone, undisturbed):
    held = Held(clone)
    held.run.kill()
    held.signal(signal.SIGCONT)
    held.lab.wait_for("the end of the training", lambda: not held.lab.queue(), seconds=180)
    assert held.state() == "COMPLETED"
    again = clone.submit(TARGET)
    text = check_end(held, undisturbed, run=again, resumed=False)
    assert "rule pretrain" not in text
    longer = clone.folder / "longer.yaml"
    longer.write_text("pretrain: {training: {epochs: 61}}")
    clone.overlays.append(str(longer))
    assert "rule pretrain" in clone.submit("--dry-run", TARGET).finish(), "what it was made from is known all the same"


def test_looking_at_the_plan_ends_nobodys_jobs(clone, undisturbed):
    held = Held(clone)
    held.run.kill()
    clone.submit("--dry-run", TARGET).finish()
    assert held.running() == held.job and held.state() == "RUNNING"
