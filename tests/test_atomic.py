"""A file appears whole or not at all, and nobody's half-written file is touched."""

import errno
import os
import socket
import subprocess

import pytest

from brainflix.atomic import replacing
from brainflix.errors import InputError


def write(path):
    with replacing(path) as partial:
        partial.write_text("whole")


def test_a_place_where_nothing_can_be_written_is_refused_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "a.h5", tmp_path / "folder"):
        with pytest.raises(InputError, match=f"{path}: expected"), replacing(path):
            pytest.fail("work was done")
    monkeypatch.setattr(os, "access", lambda *_: False)  # the superuser may write anywhere
    with pytest.raises(InputError, match="a folder that can be written to"), replacing(tmp_path / "a.h5"):
        pytest.fail("work was done")


def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "x.h5"
    write(path)
    before = path.read_bytes()
    with pytest.raises(RuntimeError), replacing(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5"]


def test_what_a_killed_process_left_behind_is_removed(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = tmp_path / f"x.h5.{socket.gethostname()}-{dead.pid}.partial"
    alive = tmp_path / f"x.h5.{socket.gethostname()}-{os.getppid()}.partial"
    left.touch()
    alive.touch()
    write(tmp_path / "x.h5")
    assert not left.exists() and alive.exists(), "another living writer's file is its own"


def test_a_living_process_of_another_user_keeps_its_file(tmp_path, monkeypatch):
    def forbidden(pid, signal):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "kill", forbidden)
    theirs = tmp_path / f"x.h5.{socket.gethostname()}-1.partial"
    theirs.touch()
    write(tmp_path / "x.h5")
    assert theirs.exists()


def test_a_host_whose_name_begins_like_ours_is_another(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    theirs = tmp_path / f"x.h5.{socket.gethostname()}-2-{dead.pid}.partial"
    theirs.touch()
    write(tmp_path / "x.h5")
    assert theirs.exists()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("Can't decrement id ref count (file write failed: errno = 28, error message = 'No space left')"),
    ],
)
def test_a_disk_that_fills_up_while_writing_is_one_sentence(tmp_path, error):
    complaint = r"a\.tsv: expected room for it on its disk"
    with pytest.raises(InputError, match=complaint), replacing(tmp_path / "a.tsv") as partial:
        partial.write_text("half")
        raise error
    assert not list(tmp_path.iterdir())


def test_other_failures_of_writing_stay_what_they_are(tmp_path):
    with pytest.raises(IsADirectoryError), replacing(tmp_path / "a.tsv"):
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
