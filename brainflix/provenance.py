"""What a finished file was made from: walked backwards through the records that Snakemake keeps of every output.

``.snakemake/metadata`` holds, under the encoded name of each output, the rule, inputs, log and times of the job that
made it. What has no record and lies outside ``results/`` is raw data; a result without one was put there by hand.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brainflix import __version__, origin
from brainflix.errors import InputError

FORMAT = "brainflix-provenance-1"
SEEDS = ("seeds", "gaussian_seed", "clips_seed", "phantom_seed")
WHOLE_BYTES = 16 * 2**20  # files up to this size are read whole
SAMPLES, SAMPLE_BYTES = 4, 65_536  # of larger ones, evenly spread from the first byte to the last


@dataclass
class History:
    """How a file came about.

    Attributes:
        jobs: {output: Snakemake's record of the job}.
        inputs: raw files, sorted.
        unrecorded: files under ``results/`` that no job is known for, sorted.
    """

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)


def history(target: str, state: Path) -> History:
    """Walk back from ``target`` to raw files.

    Args:
        target: name of the file as Snakemake knows it, relative to the folder that it ran in.
        state: Snakemake's ``.snakemake``.

    Raises:
        InputError: Snakemake knows nothing of the target.
    """
    found, waiting, seen = History(), [target], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        record = _record(state, name)
        if record is not None:
            found.jobs[name] = record
            waiting += record["input"]
        is_result = Path(name).parts[:1] == ("results",)
        if not is_result:
            found.inputs.append(name)
        elif record is None:
            found.unrecorded.append(name)
    if target not in found.jobs:
        expected = f"a record of the job that made {target} (the folder that snakemake ran in)"
        raise InputError.about(state / "metadata", expected=expected, found="none")
    found.inputs.sort()
    found.unrecorded.sort()
    return found


def _record(state: Path, name: str) -> dict[str, Any] | None:
    """Snakemake's record of an output; names that are too long for the file system are cut into folders."""
    folder = state / "metadata"
    key = urlsafe_b64encode(name.encode()).decode()
    size = (os.pathconf(folder, "PC_NAME_MAX") if folder.is_dir() else 255) - 1
    pieces = [key[i : i + size] for i in range(0, len(key), size)]
    path = folder.joinpath(*(f"@{piece}" for piece in pieces[:-1]), pieces[-1])
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise InputError.about(path, expected="a record of Snakemake's (JSON)", found=str(error)) from error


def describe(target: str, config: Mapping[str, Any], state: Path, *, whole: bool) -> dict[str, Any]:
    """Everything that made a target: config, seeds, code, packages, machines, jobs, and checksums of raw inputs.

    Args:
        whole: read large inputs whole, too; otherwise parts of them.

    Raises:
        InputError: the target or an input is gone, or Snakemake knows nothing of the target.
    """
    past = history(target, state)
    jobs = [_job(name, record) for name, record in sorted(past.jobs.items())]
    return {
        "format": FORMAT,
        "target": target,
        "sha256": checksum(Path(target)),
        "config": config,
        "seeds": {key: config[key] for key in SEEDS},
        "code": {"version": __version__, "sha256": origin.code_hash(), "commit": origin.commit()},
        "packages": origin.packages(),
        "machine": origin.machine(),
        "made_on": _machines(past),
        "inputs": [fingerprint(Path(name), whole=whole) for name in past.inputs],
        "unrecorded": past.unrecorded,
        "jobs": jobs,
    }


def _job(output: str, record: Mapping[str, Any]) -> dict[str, Any]:
    times = {"began": record["starttime"], "ended": record["endtime"], "scheduler_job": record.get("external_jobid")}
    return {"output": output, "rule": record["rule"], "inputs": sorted(record["input"]), "log": record["log"], **times}


def _machines(past: History) -> list[dict[str, Any]]:
    """Machines and code versions that jobs ran on, by their logs, each with the rules that ran there."""
    rules: dict[str, set[str]] = {}
    for record in past.jobs.values():
        lines = [about for log in record["log"] if (about := origin.read_line(Path(log)))]
        about = {key: value for key, value in lines[0].items() if key != "step"} if lines else {"node": "not known"}
        rules.setdefault(json.dumps(about, sort_keys=True), set()).add(record["rule"])
    return [{**json.loads(about), "rules": sorted(names)} for about, names in sorted(rules.items())]


def fingerprint(path: Path, *, whole: bool) -> dict[str, Any]:
    """Name, size and checksum of a raw file; of a folder, those of the names and sizes in it.

    Files of more than 16 MiB are told by their size and four parts of 64 KiB unless ``whole``: a terabyte of raw
    data is named in minutes, and the key says which it is.

    Raises:
        InputError: the file is gone.
    """
    if path.is_dir():
        names = sorted(f"{p.relative_to(path).as_posix()} {p.stat().st_size}" for p in path.rglob("*") if p.is_file())
        return {"path": str(path), "files": len(names), "sha256_of_names_and_sizes": _sha256("\n".join(names).encode())}
    try:
        size = path.stat().st_size
        if whole or size <= WHOLE_BYTES:
            return {"path": str(path), "bytes": size, "sha256": checksum(path)}
        return {"path": str(path), "bytes": size, "sha256_of_size_and_samples": _sampled(path, size)}
    except OSError as error:
        raise InputError.about(path, expected="a raw file that was read", found=error.strerror or str(error)) from error


def _sampled(path: Path, size: int) -> str:
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(SAMPLES):
            file.seek(number * (size - SAMPLE_BYTES) // (SAMPLES - 1))
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def checksum(path: Path) -> str:
    """sha256 of a file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError.about(path, expected="a file", found=error.strerror or str(error)) from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read(path: Path) -> dict[str, Any]:
    """What :func:`describe` wrote.

    Raises:
        InputError: no such file, or another one.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError.about(path, expected="provenance (JSON)", found=str(error)) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError.about(path, expected=f"format {FORMAT}", found="another JSON file")
    return found
