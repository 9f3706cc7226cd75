"""What is added to the SLURM executor, without a cluster; `tests/slurm` has one."""

import asyncio
import logging
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yte
from hypothesis import given
from hypothesis import strategies as st

from brainflix import slurm
from brainflix.errors import InputError

ROOT = Path(__file__).parents[1]
SQUEUE, SACCT = "squeue --format='%i|%T' --name run", "sacct -X --name run"


def answers(*given):
    """A query that gives these answers, one after the other."""
    left = list(given)

    async def ask(command, logger):
        states = left.pop(0)
        return (states, None if states is None else 0.1)

    return slurm.steadily(ask)


def states(query, command=SQUEUE):
    return asyncio.run(query(command, logging.getLogger("test")))[0]


def test_no_answer_leaves_every_job_as_it_was(caplog):
    assert states(answers(None)) == {}, "in place of None, at which the executor drops its jobs"
    assert "SLURM does not say" in caplog.text


@given(st.sampled_from(["CANCELLED by 0", "CANCELLED", "PREEMPTED"]))
def test_every_way_to_be_cancelled_ends_a_job(word):
    assert states(answers({"7": word}), SACCT) == {"7": "CANCELLED"}


def test_a_job_that_the_queue_has_forgotten_is_looked_for_in_its_outputs():
    query = answers({"7": "RUNNING", "8": "PENDING"}, {"8": "RUNNING"}, None, {})
    assert states(query) == {"7": "RUNNING", "8": "PENDING"}
    assert states(query) == {"7": "UNKNOWN", "8": "RUNNING"}
    assert states(query) == {}
    assert states(query) == {"7": "UNKNOWN", "8": "UNKNOWN"}


def test_accounting_that_is_late_forgets_nothing():
    query = answers({"7": "RUNNING"}, {})
    assert states(query, SACCT) == {"7": "RUNNING"} and states(query, SACCT) == {}


def test_the_executor_that_is_installed_asks_through_it():
    import snakemake_executor_plugin_slurm as plugin

    slurm.harden()
    first = plugin.query_job_status
    slurm.harden()
    assert plugin.query_job_status is first and first.__wrapped__.__name__ == "query_job_status"


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A folder, and a queue that is a file: squeue shows it, scancel empties it."""
    for name, script in {"squeue": 'cat "$QUEUE"', "scancel": 'echo "$@" >> "$QUEUE.cancelled"; : > "$QUEUE"'}.items():
        tool = tmp_path / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
    listed, work = tmp_path / "queue", tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("QUEUE", str(listed))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.chdir(work)
    listed.write_text(f"11|brainflix_a|{work}\n12|brainflix_a|/elsewhere\n13|mine|{work}\n14|brainflix_b|{work}\n")
    return listed


def cancelled(queue):
    file = queue.with_name("queue.cancelled")
    return file.read_text().split() if file.exists() else []


def begin(monkeypatch, prefix="brainflix", **more):
    """Call what a run calls before its first job; the command it starts anew with, if it does."""
    started = []
    monkeypatch.setattr(os, "execv", lambda program, words: started.append(words))
    settings = SimpleNamespace(jobname_prefix=prefix) if prefix else None
    slurm.take_over(settings, folder=Path.cwd(), **{"moved": False, **more})
    return started


def test_what_a_killed_run_left_in_the_queue_is_ended_and_the_plan_made_anew(queue, monkeypatch):
    assert begin(monkeypatch) == [sys.orig_argv]
    assert cancelled(queue) == ["11", "14"], "of this folder and under this prefix"


def test_another_executor_has_nothing_to_take_over(queue, monkeypatch):
    assert begin(monkeypatch, prefix=None) == [] and not cancelled(queue)


def test_the_jobs_of_a_run_at_work_are_left_alone(queue, monkeypatch):
    locks = Path(".snakemake/locks")
    locks.mkdir(parents=True)
    for number in (0, 1):  # ours, and another's with other targets
        (locks / f"{number}.output.lock").touch()
    assert begin(monkeypatch) == [] and not cancelled(queue)


def test_a_command_that_changed_folders_is_not_repeated(queue, monkeypatch):
    assert begin(monkeypatch, moved=True) == [] and cancelled(queue) == ["11", "14"]


def test_a_queue_that_cannot_be_asked_is_a_clear_error(queue, monkeypatch):
    queue.unlink()
    with pytest.raises(InputError, match=r"^squeue: expected an answer of SLURM, found cat: .*No such file"):
        begin(monkeypatch)


def rendered(needs="{}", **variables):
    """The profile, with its lines edited."""
    text = (ROOT / "config/slurm/config.yaml").read_text().replace("  needs: {}", f"  needs: {needs}")
    for name, value in variables.items():
        text, changed = re.subn(rf'^  {name}: ""', f'  {name}: "{value}"', text, flags=re.M)
        assert changed == 1
    return yte.process_yaml(text, require_use_yte=True)


def test_a_profile_that_nobody_edited_leaves_the_places_to_the_cluster():
    profile = rendered()
    assert profile["executor"] == "slurm" and set(profile["default-resources"]) == {"mem_mb", "runtime"}
    assert {rule: asked for rule, asked in profile["set-resources"].items() if asked} == {"predict": {"turn": 1}}


def test_four_lines_say_where_everything_goes():
    profile = rendered(account="all", partition="cpu", gpu_partition="gpu-long", gpu_model="a100")
    assert eval(profile["default-resources"]["slurm_account"]) == "all", "a word, not Python's"
    assert eval(profile["default-resources"]["slurm_partition"]) == "cpu"
    for rule in rules_with_gpu():
        found = {key: eval(place) for key, place in profile["set-resources"][rule].items()}
        assert found == {"slurm_partition": "gpu-long", "gpu_model": "a100"}


def test_what_one_rule_needs_here_leaves_its_place_alone():
    asked = rendered(needs="{pretrain: {runtime: 480}, index: {mem_mb: 4000}}", gpu_partition="gpu")["set-resources"]
    assert asked["pretrain"] == {"slurm_partition": "'gpu'", "runtime": 480} and asked["index"] == {"mem_mb": 4000}


def rules():
    """Text of every rule, by name; of one that is another with changes, both."""
    found = {}
    for file in sorted((ROOT / "workflow/rules").glob("*.smk")):
        parts = re.split(r"^(rule|use rule \w+ as) (\w+)(?: with)?:", file.read_text(), flags=re.M)
        for kind, name, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            found[name] = text if kind == "rule" else found[kind.split()[2]] + text
    return found


def rules_with_gpu():
    return {name for name, text in rules().items() if re.search(r"^ +gpu=", text, re.M)}


def test_no_rule_is_tried_again_inside_its_job():
    """Snakemake applies `retries:` of a rule in the job as well: in the same memory, with the same time left."""
    assert not [name for name, text in rules().items() if re.search(r"^ +retries:", text, re.M)]


def test_every_job_has_room_for_the_snakemakes_around_its_step():
    asked = {name: int(n) for name, text in rules().items() for n in re.findall(r"mem_mb=\D*(\d+)", text)}
    assert asked and min(asked.values()) >= 1000, asked
    assert rendered()["default-resources"]["mem_mb"] >= 1000


def test_jobs_are_asked_after_in_a_way_that_works_without_accounting():
    profile = rendered()
    assert profile["slurm-status-command"] == "squeue"
    assert 3 * profile["slurm-init-seconds-before-status-checks"] <= 300, "SLURM's own MinJobAge"
