"""Locks of killed runs go, locks of living ones stay."""

import os
import socket
import subprocess
import sys

import psutil
import pytest

from brainflix import locks


@pytest.fixture
def state(tmp_path):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "0.output.lock").touch()
    (tmp_path / "runs").mkdir()
    return tmp_path


def record(state, pid, created, host=None):
    (state / "runs" / f"{host or socket.gethostname()}+{pid}+{created:.2f}").touch()


def locked(state):
    return any((state / "locks").iterdir())


def test_the_lock_of_a_killed_run_is_removed(state):
    dead = subprocess.Popen(["true"])
    dead.wait()
    record(state, dead.pid, 1.0)
    locks.clear_stale(state)
    assert not locked(state)


def test_the_lock_of_a_living_run_stays(state):
    parent = psutil.Process(os.getppid())
    record(state, parent.pid, parent.create_time())
    locks.clear_stale(state)
    assert locked(state)


def test_a_new_process_with_an_old_number_is_not_the_owner(state):
    record(state, os.getppid(), 1.0)
    locks.clear_stale(state)
    assert not locked(state)


def test_runs_of_another_host_are_not_judged(state):
    record(state, 1, 1.0, host="elsewhere")
    locks.clear_stale(state)
    assert locked(state)


@pytest.mark.parametrize("end, left", [("pass", 0), ("raise SystemExit(1)", 0), ("os.kill(os.getpid(), 9)", 1)])
def test_a_run_that_ends_takes_its_record_with_it_unless_it_is_killed(state, end, left):
    code = "import os, pathlib, sys; from brainflix import locks; locks.clear_stale(pathlib.Path(sys.argv[1]));"
    code += "assert len(os.listdir(os.path.join(sys.argv[1], 'runs'))) == 1;" + end
    subprocess.run([sys.executable, "-c", code, str(state)], check=False)
    assert len(list((state / "runs").iterdir())) == left
    (state / "locks" / "1.output.lock").touch()
    locks.clear_stale(state)
    assert not locked(state)


def test_a_fork_that_ends_leaves_the_record_of_its_parent(state):
    code = """
import os, pathlib, sys
from brainflix import locks
locks.clear_stale(pathlib.Path(sys.argv[1]))
child = os.fork()
if not child:
    sys.exit()
os.waitpid(child, 0)
print(len(os.listdir(os.path.join(sys.argv[1], "runs"))))
"""
    done = subprocess.run([sys.executable, "-c", code, str(state)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
