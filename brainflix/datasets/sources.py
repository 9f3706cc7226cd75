"""Where a dataset's files can be had, and the commands that fetch the ones that are missing.

An adapter lists its ``SOURCES``; the first whose pattern fits a missing file says how to get it. Three kinds,
told apart by the address:

* ``s3://...``: files lie there under the same path as below the root, so only what is missing is fetched;
* ``....zip``: an archive that holds many of them;
* anything else: a page on which somebody has to sign or fill in a form; no command can.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

NAMES_SPELLED_OUT = 100  # of one folder; beyond, the pattern's own name is used, unless that is everything


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
    """What to do to get some missing files from one address.

    Attributes:
        files: how many missing files it brings.
        size: bytes to fetch, or None where that is not known.
        commands: shell commands; empty where only a person can.
    """

    url: str
    access: str
    files: int
    size: int | None
    commands: tuple[str, ...]


def source_of(name: str, sources: Sequence[Source]) -> Source | None:
    """The source of a file, by its path below the root."""
    return next((source for source in sources if fnmatchcase(name, source.files)), None)


def plan(root: Path, missing: Iterable[str], sources: Sequence[Source]) -> list[Fetch]:
    """How to get missing files: one `Fetch` per address, in the order of ``sources``.

    Args:
        root: the dataset's folder, to which commands write.
        missing: paths below ``root``. Those that no source has are left out.
    """
    wanted: dict[tuple[str, str], dict[str, Source]] = {(s.url, s.access): {} for s in sources}
    for name in missing:
        if source := source_of(name, sources):
            wanted[source.url, source.access][name] = source
    return [_fetch(root, found) for found in wanted.values() if found]


def _fetch(root: Path, wanted: Mapping[str, Source]) -> Fetch:
    """How to get files that one address has: {path below the root: source}."""
    source, sizes = next(iter(wanted.values())), [source.bytes_each for source in wanted.values()]
    known = None not in sizes
    if source.url.startswith("s3://"):
        size, commands = sum(filter(None, sizes)) if known else None, _from_bucket(root, wanted)
    elif source.url.endswith(".zip"):
        size, commands = source.bytes_each, _from_archive(root, source)
    else:
        size, commands = None, ()
    return Fetch(source.url, source.access, len(wanted), size, tuple(commands))


def _from_bucket(root: Path, wanted: Mapping[str, Source]) -> Iterator[str]:
    """One command per folder: a copy of one file, or a sync that lets in only the names wanted."""
    folders: dict[str, list[str]] = {}
    for name in wanted:
        folders.setdefault(name.rpartition("/")[0], []).append(name)
    for folder, paths in folders.items():
        source, names = wanted[paths[0]], [path.rpartition("/")[2] for path in paths]
        here, there, keys = str(root / folder), f"{source.url}/{folder}".rstrip("/"), source.keys.split()
        if len(names) == 1:
            yield shlex.join(["aws", "s3", "cp", *keys, f"{there}/{names[0]}", f"{here}/{names[0]}"])
            continue
        if len(names) > NAMES_SPELLED_OUT:
            patterns = [wanted[path].files.rpartition("/")[2] for path in paths]
            names = list(dict.fromkeys(n if p == "*" else p for n, p in zip(names, patterns, strict=True)))
        only = [word for name in names for word in ("--include", name)]
        yield shlex.join(["aws", "s3", "sync", *keys, there, here, "--exclude", "*", *only])


def _from_archive(root: Path, source: Source) -> Iterator[str]:
    archive = root / source.url.rpartition("/")[2]
    yield shlex.join(["curl", "--fail", "--location", "--continue-at", "-", "-o", str(archive), source.url])
    yield shlex.join(["unzip", "-n", str(archive), "-d", str(root)])
    if source.inner:
        yield shlex.join(["unzip", "-n", str(root / source.inner), "-d", str(root)])
