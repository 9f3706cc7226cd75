"""A failed job's block names the cause, and the key that helps."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainflix import origin, runlog
from brainflix.failures import LINES, Failure, block, cause, node, tail

MEMORY = "raise mem_mb (16000 now): --set-resources pretrain:mem_mb=32000"
TIME = "raise runtime (60 now): --set-resources pretrain:runtime=120"


@pytest.fixture
def failed(tmp_path):
    """A failure of ``pretrain`` with these logs, and what was said of it."""

    def make(log="", scheduler=None, said="", rule="pretrain", on_cluster=True):
        logs = []
        for name, text in (("rule.log", log), ("slurm.log", scheduler)):
            if text is not None:
                (tmp_path / name).write_text(text)
                logs.append(tmp_path / name)
        asked = {"mem_mb": 16000, "runtime": 60}
        return Failure(rule, {"encoder": "mbm", "seed": "0"}, logs, said, asked, on_cluster)

    return make


@pytest.mark.parametrize(
    "parts, words",
    [
        ({"log": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"}, "pretrain.training.accum"),
        (
            {"scheduler": "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0"},
            MEMORY,
        ),
        (
            {"scheduler": "slurmstepd: error: Step 3.0 exceeded memory limit (115 > 104), being killed"},
            MEMORY,
        ),
        (
            {"log": "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 90 GiB"},
            MEMORY,
        ),
        (
            {"said": "Command 'brainflix pretrain' died with <Signals.SIGKILL: 9>."},
            MEMORY,
        ),
        (
            {"said": "Command '...' returned non-zero exit status 137."},
            MEMORY,
        ),
        (
            {"scheduler": "slurmstepd: error: *** STEP 9.0 ON gpu1 CANCELLED AT 2026 DUE TO TIME LIMIT ***"},
            TIME,
        ),
        ({"said": "SLURM-job '5' failed, SLURM status is: 'TIMEOUT'. For further"}, TIME),
        ({"said": "SLURM-job '5' failed, SLURM status is: 'NODE_FAIL'."}, "node was lost"),
        (
            {"scheduler": "slurmstepd: error: *** JOB 9 ON gpu1 CANCELLED AT 2026-11-25T10:00:00 ***"},
            "cancelled by",
        ),
        ({"said": "Command '...' returned non-zero exit status 75."}, "saved its state"),
        ({"log": "brainflix: out.h5: expected room for it on its disk, found No space"}, "disk: make room"),
        ({"log": "OSError: [Errno 28] No space left on device"}, "disk: make room"),
        ({"log": "huggingface_hub.errors.LocalEntryNotFoundError: offline"}, "under backbones"),
        (
            {"log": "brainflix: a.h5: expected responses, found targets"},
            "input: a.h5: expected responses",
        ),
        ({"said": "died with <Signals.SIGKILL: 9>.", "on_cluster": False}, "run fewer (--cores)"),
        ({"log": "Segmentation fault"}, "unknown"),
        ({"log": None}, "unknown"),
    ],
)
def test_the_likely_cause_is_told(failed, parts, words):
    assert words in cause(failed(**parts))


def test_a_gpu_that_is_full_is_not_taken_for_a_node_that_is(failed):
    text = "torch.OutOfMemoryError: CUDA out of memory."
    assert "mem_mb" not in cause(failed(log=text)) and "gpu_model" in cause(failed(log=text, rule="embed"))


def test_the_block_holds_rule_wildcards_node_and_the_last_lines(failed):
    lines = [f"line {number}" for number in range(100)]
    text = block(failed(log="\n".join([origin.line("pretrain"), *lines]) + "\n"))
    assert "pretrain (encoder mbm, seed 0)" in text and origin.machine()["node"] in text
    assert "| line 99" in text and f"| line {100 - LINES}" in text and f"| line {99 - LINES}\n" not in text
    assert text.count("\n") < LINES + 10


def test_the_node_is_read_from_the_log_or_the_scheduler(failed, monkeypatch):
    monkeypatch.setenv("SLURMD_NODENAME", "gpu7")
    assert node(failed(log=origin.line("pretrain") + "\n")) == "gpu7"
    assert node(failed(scheduler="*** JOB 9 ON gpu1 CANCELLED AT x ***")) == "gpu1"
    assert node(failed()) is None


def test_a_progress_line_that_is_redrawn_counts_once(tmp_path):
    (tmp_path / "a.log").write_bytes(b"start\n\rstep 1   \rstep 2   \rstep 3\n")
    assert tail(tmp_path / "a.log") == ["start", "step 3"]
    assert tail(tmp_path / "none.log") == []


def test_the_first_line_of_a_log_says_code_and_machine(tmp_path):
    (tmp_path / "a.log").write_text(f"a warning\n{origin.line('embed')}\nmore\n")
    about = origin.read_line(tmp_path / "a.log")
    assert about["step"] == "embed" and about["code"] == origin.code_hash() and about["cpu"]
    (tmp_path / "b.log").write_text(f"{origin.LINE}{{half")
    assert origin.read_line(tmp_path / "b.log") is None and origin.read_line(tmp_path / "none.log") is None
    json.dumps(about)


def test_the_code_hash_depends_on_the_code(tmp_path, monkeypatch):
    before = origin.code_hash()
    (tmp_path / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(origin, "PACKAGE", tmp_path)
    origin.code_hash.cache_clear()
    first = origin.code_hash()
    (tmp_path / "a.py").write_text("x = 2\n")
    origin.code_hash.cache_clear()
    second = origin.code_hash()
    origin.code_hash.cache_clear()
    assert len({before, first, second}) == 3


def test_packages_are_those_that_the_project_needs():
    found = origin.packages()
    assert {"brainflix", "torch", "numpy", "snakemake", "sympy"} <= set(found), "also what torch needs"


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=400))
def test_any_log_can_be_read(content):
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "a.log"
        log.write_bytes(content)
        assert len(tail(log)) <= LINES
        assert "failed: embed" in block(Failure("embed", {}, [log], ""))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 500))
def test_a_run_s_log_that_is_being_written_gives_its_whole_events(size):
    events = [{"event": "start", "job": number, "rule": "é"} for number in range(9)]
    text = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events).encode()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.jsonl").write_bytes(text[:size])
        found = runlog.read(Path(folder) / "a.jsonl")
    assert found == events[: len(found)] and len(found) >= text[:size].count(b"\n")
