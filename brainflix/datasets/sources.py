"""Where a dataset's files can be had, and the commands that fetch the ones that are missing.

An adapter lists its ``SOURCES``; the first whose pattern fits a missing file says how to get it. Three kinds,
told apart by the address:

* ``s3://...``: files lie there under the same path as below the root, so only what is missing is fetched;
* ``....zip``: an archive that holds many of them;
* anything else: a page on which somebody has to sign or fill in a form; no command can.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

NAMES_SPELLED_OUT = 20  # of one folder; beyond, the pattern's own name is used


@dataclass(frozen=True)
class Source:
    """Where some files of a dataset come from.

    Attributes:
        files: pattern of paths below the root; ``*`` also matches across folders.
        url: bucket and prefix, archive, or page.
        access: what it takes, in words: ``public``, or a form, keys, terms to accept.
        bytes_each: size of one file, of the archive where it is one; None where it is not known.
        inner: archive inside the archive, by its path in it.
        keys: flags of ``aws s3`` that say who asks.
    """

    files: str
    url: str
    access: str
    bytes_each: int | None = None
    inner: str = ""
    keys: str = "--no-sign-request"


@dataclass(frozen=True)
class Fetch:
    """What to do to get some missing files.

    Attributes:
        files: how many missing files it brings.
        size: bytes to fetch, or None where that is not known.
        commands: shell commands; empty where only a person can.
    """

    source: Source
    files: int
    size: int | None
    commands: tuple[str, ...]


def source_of(name: str, sources: Sequence[Source]) -> Source | None:
    """The source of a file, by its path below the root."""
    return next((source for source in sources if fnmatchcase(name, source.files)), None)


def plan(root: Path, missing: Iterable[str], sources: Sequence[Source]) -> list[Fetch]:
    """How to get missing files: one `Fetch` per source, in the order of ``sources``.

    Args:
        root: the dataset's folder, to which commands write.
        missing: paths below ``root``. Those that no source has are left out.
    """
    wanted: dict[Source, list[str]] = {}
    for name in missing:
        if source := source_of(name, sources):
            wanted.setdefault(source, []).append(name)
    return [_fetch(root, source, wanted[source]) for source in sources if source in wanted]


def _fetch(root: Path, source: Source, names: list[str]) -> Fetch:
    if source.url.startswith("s3://"):
        size = None if source.bytes_each is None else source.bytes_each * len(names)
        return Fetch(source, len(names), size, tuple(_from_bucket(root, source, names)))
    if source.url.endswith(".zip"):
        return Fetch(source, len(names), source.bytes_each, tuple(_from_archive(root, source)))
    return Fetch(source, len(names), None, ())


def _from_bucket(root: Path, source: Source, names: list[str]) -> Iterable[str]:
    """One command per folder: a copy of one file, or a sync that lets in only the names wanted."""
    folders: dict[str, list[str]] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        folders.setdefault(folder, []).append(file)
    for folder, files in folders.items():
        there, here = f"{source.url}/{folder}".rstrip("/"), str(root / folder)
        if len(files) == 1:
            yield shlex.join(["aws", "s3", "cp", *source.keys.split(), f"{there}/{files[0]}", f"{here}/{files[0]}"])
            continue
        spelled_out = files if len(files) <= NAMES_SPELLED_OUT else [source.files.rpartition("/")[2]]
        only = [word for name in spelled_out for word in ("--include", name)]
        yield shlex.join(["aws", "s3", "sync", *source.keys.split(), there, here, "--exclude", "*", *only])


def _from_archive(root: Path, source: Source) -> Iterable[str]:
    archive = root / source.url.rpartition("/")[2]
    yield shlex.join(["curl", "--fail", "--location", "--continue-at", "-", "-o", str(archive), source.url])
    yield shlex.join(["unzip", "-n", str(archive), "-d", str(root)])
    if source.inner:
        yield shlex.join(["unzip", "-n", str(root / source.inner), "-d", str(root)])
