"""Step `check`: what of the raw data is there, what is missing and where to get it, what looks wrong."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Any

from brainflix import config as names
from brainflix import consistency, datasets, validation
from brainflix.datasets import sources
from brainflix.datasets.inspection import Findings, examine
from brainflix.errors import InputError

SHOWN = 3  # missing files and problems per dataset; --json has all
MOVIES_UNKNOWN = "Movies are named in files that are missing: check again once those are there."


def check(
    *,
    configfile: list[Path] | None = None,
    only: list[str] | None = None,
    fetch_plan: bool = False,
    json: bool = False,
    paper: Path = Path("config/paper.yaml"),
) -> None:
    """Say of each dataset what was found, what is missing and where to get it, and what looks wrong.

    Reads headers and small text files only. Exit code 1 if something that the headline tables need is missing
    or wrong; with ``--fetch-plan`` the exit code is 0.

    Args:
        configfile: overlays on the paper's configuration, as for snakemake.
        only: datasets to look at, all of them then needed; otherwise every one of the config.
        fetch_plan: print, as a shell script, the commands that fetch what is missing.
        json: print machine-readable JSON.
        paper: the configuration that overlays are laid over.

    Raises:
        InputError: the configuration is wrong, or something needed is missing or wrong.
    """
    config = _config(paper, configfile or [])
    chosen = _chosen(config, only)
    reports = {name: _report(name, config, needed) for name, needed in chosen.items()}
    show = _json if json else _script if fetch_plan else _text
    print(show(reports))
    bad = [name for name, report in reports.items() if report["needed"] and not report["ok"]]
    if bad and not fetch_plan:
        raise InputError.about("raw data", expected="all that is needed", found=f"{', '.join(bad)} incomplete or wrong")


def _config(paper: Path, overlays: Iterable[Path]) -> dict[str, Any]:
    config = names.load([paper, *overlays])
    validation.validate(config, paper.parents[1] / "workflow/schemas/config.schema.yaml")
    validation.check(config)
    consistency.check(config)
    return config


def _chosen(config: Mapping[str, Any], only: list[str] | None) -> dict[str, bool]:
    """Which datasets to look at, and whether they are needed."""
    for name in only or []:
        if name not in config["datasets"]:
            raise InputError.about("--only", expected=f"one of {', '.join(config['datasets'])}", found=name)
    needed = set(only or names.needed_datasets(config))
    return {name: name in needed for name in only or config["datasets"]}


def _report(name: str, config: Mapping[str, Any], needed: bool) -> dict[str, Any]:
    """All that is said of a dataset, JSON-able."""
    entry = config["datasets"][name]
    module = datasets.adapter(entry["adapter"])
    root = getattr(module, "home", Path)(Path(entry["root"]))  # to which what is fetched is unpacked
    planned = name in config["phantom"] and not (root / datasets.SIMULATED_MARKS[-1]).exists()  # whole
    findings = Findings(simulated=True) if planned else examine({**entry, "root": str(root)})
    facts = module.FACTS
    return {
        "adapter": entry["adapter"],
        "root": str(root),
        "needed": needed,
        "ok": not findings.missing and not findings.problems and (findings.movies_known or planned),
        "state": "to be simulated" if planned else "simulated" if findings.simulated else "real",
        "found": dict(findings.found),
        "bytes": findings.size,
        "missing": findings.missing,
        "absent": findings.absent,
        "without_source": [f for f in findings.missing if not sources.source_of(f, module.SOURCES)],
        "problems": findings.problems,
        "movies_known": findings.movies_known,
        "fetch": [asdict(fetch) for fetch in sources.plan(root, findings.missing, module.SOURCES)],
        "facts": asdict(facts),
    }


def _json(reports: Mapping[str, dict[str, Any]]) -> str:
    ok = all(report["ok"] for report in reports.values() if report["needed"])
    return dumps({"ok": ok, "datasets": reports}, indent=2)


def _text(reports: Mapping[str, dict[str, Any]]) -> str:
    return "\n\n".join("\n".join(_lines(name, report)) for name, report in reports.items())


def _lines(name: str, report: Mapping[str, Any]) -> Iterator[str]:
    facts, missing, problems = report["facts"], report["missing"], report["problems"]
    state = {"real": "", "simulated": ", simulated", "to be simulated": ", not written yet: will be simulated"}
    unused = "" if report["needed"] else "; the headline tables do not use it"
    yield f"{name}: {facts['title']}, in {report['root']}{state[report['state']]}{unused}"
    counts = " and ".join(f"{n:,} of {purpose}" for purpose, n in report["found"].items()) or "nothing"
    yield f"  found    {counts}{', ' + _size(report['bytes']) if report['bytes'] else ''}"
    if missing:
        yield f"  missing  {_number(len(missing), 'file')}: {', '.join(missing[:SHOWN])}{_more(missing)}"
        yield from (f"  get      {_terms(fetch)}: {fetch['url']}" for fetch in report["fetch"])
        yield f"           {facts['what_to_download']}; see {facts['homepage']}; licence: {facts['licence']}"
    if missing and not report["movies_known"]:
        yield f"           {MOVIES_UNKNOWN}"
    if report["absent"]:
        yield f"  without  {_number(len(report['absent']), 'file')}: {', '.join(report['absent'][:SHOWN])}" + _more(
            report["absent"]
        )
    yield from (f"  wrong    {problem}" for problem in problems[:SHOWN])
    if len(problems) > SHOWN:
        yield f"           and {len(problems) - SHOWN:,} more; --json has them all"


def _script(reports: Mapping[str, dict[str, Any]]) -> str:
    """Commands that fetch what is missing of what is needed; comments say what no command can do."""
    lines = ["#!/bin/sh", "# What `brainflix check` misses. The AWS CLI is `pip install awscli`.", "set -u"]
    for name, report in reports.items():
        if not (report["needed"] and report["missing"]):
            continue
        facts = report["facts"]
        lines += ["", f"# {name}: {facts['title']}. Licence: {facts['licence']}.", f"# Cite: {facts['citation']}"]
        lines.append(shlex.join(["mkdir", "-p", report["root"]]))
        for fetch in report["fetch"]:
            lines.append(f"# {_terms(fetch)}" + ("" if fetch["commands"] else f"; by hand: {fetch['url']}"))
            lines += fetch["commands"]
        lines += [f"# {file}: nobody hands it out" for file in report["without_source"]]
        lines += [] if report["movies_known"] else [f"# {MOVIES_UNKNOWN}"]
    return "\n".join(lines)


def _terms(fetch: Mapping[str, Any]) -> str:
    size = "size not known" if fetch["size"] is None else f"about {_size(fetch['size'])}"
    return f"{_number(fetch['files'], 'file')}, {size}, {fetch['access']}"


def _size(count: float) -> str:
    """Bytes in words, in powers of ten as disks and clouds count.

    >>> _size(999), _size(43_815_562_980)
    ('999 B', '43.8 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _more(items: list[str]) -> str:
    return ", ..." if len(items) > SHOWN else ""
