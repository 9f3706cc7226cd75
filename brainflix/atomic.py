"""Files appear whole or not at all: written to a temporary name of this process, then renamed.

The name is ``<name>.<host>-<pid>.partial``, so what a dead process left behind can be told from what is being written.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brainflix.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Hand out a temporary name to write to, and rename it to ``path`` when the block ends well.

    The temporary name belongs to this process: a job orphaned by a killed workflow and its
    successor cannot write into each other's file. What dead processes left behind is removed.

    Raises:
        InputError: there can be no such file, or the disk, or the share of it that one may use, is full.
    """
    path = Path(path)
    _make_folder(path)
    _remove_orphans(path)
    partial = path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        if not _is_full(error):
            raise
        found = getattr(error, "strerror", None) or str(error)
        raise InputError.about(path, expected="room for it on its disk", found=found) from error
    finally:
        partial.unlink(missing_ok=True)


def _make_folder(path: Path) -> None:
    """Make the folder of a file that is to be written; said before any work if that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError.about(path, expected="a folder that can be made", found=str(error)) from error
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError.about(path, expected="a folder that can be written to", found="one that cannot")
    if path.is_dir():
        raise InputError.about(path, expected="the name of a file", found="a folder")


def _is_full(error: Exception) -> bool:
    """Whether writing failed for want of room; HDF5 says so in its text alone."""
    told = re.search(r"errno = (\d+)", str(error))
    number = getattr(error, "errno", None) or (int(told[1]) if told else None)
    return number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _remove_orphans(path: Path) -> None:
    prefix = f"{path.name}.{socket.gethostname()}-"
    for orphan in path.parent.glob(f"{glob.escape(prefix)}*.partial"):
        pid = orphan.name.removeprefix(prefix).removesuffix(".partial")
        if pid.isdecimal() and not _is_alive(int(pid)):  # no number: of another host, whose name begins like ours
            orphan.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's process
    return True
