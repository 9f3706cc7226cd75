"""The house has floors, and no arrow points up (see the package's layout in README.md)."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "brainflix"
FLOORS = [
    {"__main__"},
    {"cli"},
    {"steps"},
    {"datasets", "phantom", "figures", "brainmaps", "consistency", "rawfiles", "costs", "jobs"},
    {
        "artifacts",
        "atlas",
        "frozen",
        "models",
        "training",
        "checkpoints",
        "crate",
        "devices",
        "flops",
        "summary",
        "provenance",
        "crew",
        "feed",
        "optimiser",
        "progress",
        "room",
        "cohort",
        "pairs",
        "reliability",
        "report",
        "metrics",
        "stats",
        "texts",
        "early",
        "surfaces",
        "volumes",
    },
    {
        "origin",
        "failures",
        "runlog",
        "atomic",
        "config",
        "validation",
        "paths",
        "trained",
        "locks",
        "records",
        "settings",
        "slurm",
        "errors",
    },
]
LEVEL = {name: level for level, floor in enumerate(FLOORS) for name in floor}
FILES = sorted(p for p in PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Dotted names of everything a file imports, at any depth of its functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def top(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def inside(path: Path) -> set[str]:
    """Second-level names of our own package that a file imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("brainflix.")} & set(LEVEL)


def ids(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", [p for p in FILES if top(p) in LEVEL], ids=ids)
def test_a_file_imports_nothing_from_a_floor_above(path):
    above = {name for name in inside(path) if LEVEL[name] < LEVEL[top(path)]}
    assert not above, f"{path} imports {above} from above"


def test_every_module_has_a_floor():
    unknown = {top(p) for p in FILES} - set(LEVEL) - {"__init__"}
    assert not unknown, f"give {unknown} a floor in this test"


@pytest.mark.parametrize("path", sorted((PACKAGE / "steps").glob("*.py")), ids=ids)
def test_steps_never_import_each_other(path):
    assert not {name for name in imports(path) if name.startswith("brainflix.steps")}


@pytest.mark.parametrize("path", sorted((PACKAGE / "phantom").rglob("*.py")), ids=ids)
def test_phantom_writers_know_nothing_of_the_readers(path):
    assert "datasets" not in inside(path)


@pytest.mark.parametrize("path", sorted((PACKAGE / "datasets").rglob("*.py")), ids=ids)
def test_datasets_never_import_torch(path):
    assert not {name.split(".")[0] for name in imports(path)} & {"torch", "diffusers", "transformers"}


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_only_frozen_and_the_training_of_backbones_import_diffusers_or_transformers(path):
    allowed = top(path) == "frozen" or path.is_relative_to(PACKAGE / "phantom" / "training")
    heavy = {name.split(".")[0] for name in imports(path)} & {"diffusers", "transformers"}
    assert allowed or not heavy


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_only_artifacts_opens_our_files(path):
    if top(path) not in ("artifacts", "datasets", "phantom"):
        used = {name.split(".")[0] for name in imports(path)} & {"h5py"}
        assert not used


@pytest.mark.parametrize("name", ["metrics", "reliability", "stats", "training", "models"])
def test_array_code_knows_no_files_and_no_datasets(name):
    for path in FILES:
        if top(path) == name:
            assert not inside(path) & {"artifacts", "datasets", "frozen", "steps"}, path
