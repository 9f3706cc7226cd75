"""Step `bundle`: a finished table with all that is needed to check it, in one archive; no raw data."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from brainflix import crate, datasets, provenance
from brainflix.errors import InputError

TABLES = ("metrics.csv", "scores.csv")


def bundle(target: Path, /, *, out: Path | None = None) -> None:
    """Pack a table, the scores it was made from, figures, configuration and provenance into one zip (an RO-Crate).

    Nothing of it is raw data: no responses, clips or captions. Figures are the pictures (.png) of the target's
    dataset; a gallery shows a few frames of clips, as a paper would.

    Args:
        target: a finished ``metrics.csv``, with the ``provenance.json`` beside it that the workflow makes.
        out: the bundle; ``brainflix-bmd.zip`` for ``results/bmd/metrics.csv`` unless given.

    Raises:
        InputError: there is no such table or provenance, or the provenance is that of another state of the table.
    """
    name = Path(os.path.relpath(target))
    made = target.with_name("provenance.json")
    if not target.is_file():
        raise InputError.about(target, expected="a finished table", found="nothing")
    if not made.is_file():
        command = f"snakemake --cores 1 {name.with_name('provenance.json')} (and your --configfile)"
        raise InputError.about(made, expected="the provenance of the table", found=f"nothing; make it with: {command}")
    about = provenance.read(made)
    if (about["target"], about["sha256"]) != (name.as_posix(), provenance.checksum(target)):
        raise InputError.about(
            made, expected=f"the provenance of {target} as it is", found="that of another; delete it"
        )
    files = {path: Path(path).read_bytes() for path in sorted(_files(about))}
    files["config.yaml"] = yaml.safe_dump(about["config"], allow_unicode=True, sort_keys=False).encode()
    files["provenance.json"] = made.read_bytes()
    label = "-".join(name.parent.parts[1:])
    path = out or Path(f"brainflix-{label}.zip")
    crate.write(path, files, _description(about, label))
    print(f"{path}: {len(files)} files, {path.stat().st_size:,} bytes; check it with: brainflix verify {path}")


def _files(about: Mapping[str, Any]) -> Iterator[str]:
    """Names of the tables, pictures and benchmarks that belong to a target."""
    for job in about["jobs"]:
        if Path(job["output"]).name in TABLES:
            yield job["output"]
        for log in job["log"]:
            measured = Path(str(log).replace("/logs/", "/benchmarks/", 1)).with_suffix(".tsv")
            if measured.is_file():
                yield measured.as_posix()
    dataset = _dataset(about)
    figures = Path("results/figures")
    for pattern in (f"gallery-{dataset}.png", f"qc-{dataset}-*.png"):
        yield from (path.as_posix() for path in figures.glob(pattern))


def _dataset(about: Mapping[str, Any]) -> str:
    part = Path(about["target"]).parts[1]
    return "bmd" if part == "ablations" else part


def _description(about: Mapping[str, Any], label: str) -> dict[str, Any]:
    """What the RO-Crate says of the whole."""
    entries = [about["config"]["datasets"][name] for name in _sources(about)]
    facts = [datasets.adapter(entry["adapter"]).FACTS for entry in entries]
    simulated = any(job["rule"].startswith("synthesize") for job in about["jobs"])
    licences = "; ".join(f"{fact.title}: {fact.licence}" for fact in facts)
    return {
        "name": f"brainflix results: {label}",
        "description": f"Tables, scores, figures and provenance of {about['target']}"
        + (", made from simulated data (brainflix's phantom)." if simulated else "."),
        "licence": "https://spdx.org/licenses/MIT" if simulated else f"Derived from data under: {licences}",
        "target": about["target"],
        "began": min(job["began"] for job in about["jobs"]),
        "ended": max(job["ended"] for job in about["jobs"]),
        "version": about["code"]["version"],
        "sources": {} if simulated else {fact.homepage: fact.title for fact in facts},
    }


def _sources(about: Mapping[str, Any]) -> Sequence[str]:
    """Datasets whose files went in."""
    known = about["config"]["datasets"]
    used = {Path(job["output"]).parts[1] for job in about["jobs"] if Path(job["output"]).parts[0] == "results"}
    return [name for name in known if name in used]
