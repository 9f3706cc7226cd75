"""Step `verify`: whether a bundle is whole, its tables follow from its scores, and, if asked, a new run agrees."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import yaml

from brainflix import artifacts, crate, origin, paths, report
from brainflix.errors import InputError
from brainflix.settings import build
from brainflix.summary import SummarizeSettings, headline_of, summary_of

KEYS = ["dataset", "variant", "subject", "seed", "metric"]


def verify(
    bundle: Path,
    /,
    *,
    rerun: bool = False,
    folder: Path | None = None,
    configfile: list[Path] | None = None,
    cores: int = 1,
    snakefile: Path = Path("Snakefile"),
) -> None:
    """Check a bundle: every file by its checksum, every table by making it again from the scores, byte for byte.

    Args:
        bundle: zip made by ``brainflix bundle``.
        rerun: also run the whole workflow from the bundle's configuration, and compare its table.
        folder: where to run it; temporary unless given. An interrupted run goes on there.
        configfile: overlays for this machine, such as where the raw data are.
        cores: for that run.
        snakefile: of this project; needed for that run only.

    Raises:
        InputError: a file was changed, added or is missing; a table does not follow from the scores; a new run ends
            otherwise.
    """
    files, root = crate.read(bundle)
    target = root["mainEntity"]["@id"]
    about, config = _read(bundle, files)
    if about["target"] != target or target not in files:
        raise InputError.about(bundle, expected=f"the table {about['target']}", found=target)
    with tempfile.TemporaryDirectory() as temporary:
        crate.extract(files, Path(temporary))
        tables = [name for name in files if Path(name).name == "metrics.csv"]
        for name in tables:
            _recompute(bundle, Path(temporary), name, config)
    print(f"{bundle}: {target}, {len(files)} files as listed, {len(tables)} tables follow from the scores")
    print(_code(about))
    if rerun:
        place = folder or Path(tempfile.mkdtemp(prefix="brainflix-verify-"))
        _run(place, target, files["config.yaml"], configfile or [], cores, snakefile)
        print(_compare(bundle, files[target], place / target))


def _read(bundle: Path, files: Mapping[str, bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Provenance and configuration, which have to agree."""
    try:
        about, config = json.loads(files["provenance.json"]), yaml.safe_load(files["config.yaml"])
        same = about["config"] == config
    except (KeyError, ValueError, TypeError, yaml.YAMLError) as error:
        expected = "provenance.json and config.yaml as brainflix bundle writes them"
        raise InputError.about(bundle, expected=expected, found=repr(error)) from error
    if not same:
        raise InputError.about(
            f"{bundle}: config.yaml", expected="the configuration in provenance.json", found="another"
        )
    return about, config


def _recompute(bundle: Path, folder: Path, name: str, config: Mapping[str, Any]) -> None:
    """Make a table from what it is made of, and compare the bytes."""
    inputs = [folder / path for path in _inputs(config, name)]
    absent = [path for path in inputs if not path.is_file()]
    if absent:
        expected = f"{absent[0].relative_to(folder)}, which it is made from"
        raise InputError.about(f"{bundle}: {name}", expected=expected, found="none")
    if inputs[0].name == "scores.csv":
        settings = build(SummarizeSettings, config["summarize"], where="config: summarize")
        table = summary_of(inputs, settings)
    else:
        table = headline_of(inputs)
    again = folder / "again.csv"
    artifacts.write_table(again, table)
    if again.read_bytes() != (folder / name).read_bytes():
        difference = _difference(artifacts.read_table(folder / name, columns=report.COLUMNS), table)
        raise InputError.about(f"{bundle}: {name}", expected="what follows from the scores", found=difference)


def _inputs(config: Mapping[str, Any], name: str) -> Sequence[str]:
    """What the workflow makes a metrics.csv from, in its order."""
    match Path(name).parts:
        case ("results", "ablations", variant, _):
            return [f"results/bmd/{variant}/metrics.csv"]
        case ("results", dataset, variant, _):
            return paths.scores(config, SimpleNamespace(dataset=dataset, variant=variant))
        case ("results", dataset, _):
            return [f"results/{dataset}/{variant}/metrics.csv" for variant in config["headline"][dataset]]
    raise InputError.about(name, expected="a table of the workflow's", found="another name")


def _difference(theirs: pd.DataFrame, ours: pd.DataFrame) -> str:
    """The first row that differs, in words."""
    if len(theirs) != len(ours):
        return f"{len(theirs)} rows for {len(ours)}"
    for column in ours.columns:
        pairs = zip(theirs[column].astype(str), ours[column].astype(str), strict=True)
        for row, (found, expected) in enumerate(pairs):
            if found != expected and not _same_number(found, expected):
                label = " ".join(str(ours[key].iloc[row]) for key in KEYS)
                return f"{column} {found} for {expected} in row {label}"
    return "other bytes for the same values"


def _same_number(one: str, other: str) -> bool:
    try:
        return f"{float(one):.9g}" == f"{float(other):.9g}"
    except ValueError:
        return {one, other} <= {"", "nan", "None"}


def _code(about: Mapping[str, Any]) -> str:
    """Which code made it, and whether it is the one at hand."""
    theirs, ours = about["code"]["sha256"], origin.code_hash()
    commit = (about["code"].get("commit") or {}).get("id", "no commit known")
    same = "the code here" if theirs == ours else f"not the code here ({ours})"
    return f"made by brainflix {about['code']['version']}, code {theirs} ({commit}): {same}"


def _run(folder: Path, target: str, config: bytes, overlays: Sequence[Path], cores: int, snakefile: Path) -> None:
    if not snakefile.is_file():
        raise InputError.about(snakefile, expected="the project's Snakefile (--snakefile)", found="nothing")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_bytes(config)
    layers = ["config.yaml", *(str(path.absolute()) for path in overlays)]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile.absolute()), "--cores", str(cores)]
    done = subprocess.run([*command, target, "--configfile", *layers], cwd=folder, check=False)
    if done.returncode:
        raise InputError.about(folder, expected=f"a run that makes {target}", found="one that failed (see above)")


def _compare(bundle: Path, theirs: bytes, path: Path) -> str:
    """Whether a new table is the bundle's.

    Raises:
        InputError: rows differ, or a value lies outside the interval of the bundle's.
    """
    if path.read_bytes() == theirs:
        return f"run again: {path} has the same bytes"
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(theirs)
        file.flush()
        old = artifacts.read_table(Path(file.name), columns=report.COLUMNS).set_index(KEYS)
    new = artifacts.read_table(path, columns=report.COLUMNS).set_index(KEYS)
    if list(old.index) != list(new.index):
        raise InputError.about(f"{bundle}: run again", expected="the same rows", found="others")
    outside = (new["value"] < old["low"]) | (new["value"] > old["high"])
    if outside.any():
        found = f"{' '.join(map(str, old.index[outside][0]))} outside"
        raise InputError.about(f"{bundle}: run again", expected="values inside the intervals", found=found)
    largest = ((new["value"] - old["value"]).abs() / (old["high"] - old["low"])).max()
    return f"run again: other bytes; every value inside its interval, off by at most {largest:.3g} of its width"
