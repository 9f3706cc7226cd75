"""The command line: every verb has its step, and bad input is one line and exit code 1."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import brainflix.steps
from brainflix.cli import STEPS

FILES = {p.stem for p in Path(brainflix.steps.__file__).parent.glob("*.py")} - {"__init__"}


def brainflix_(*arguments):
    return subprocess.run([sys.executable, "-m", "brainflix.cli", *arguments], capture_output=True, text=True)


def test_verbs_and_step_files_are_the_same():
    assert set(STEPS) == FILES


@pytest.mark.parametrize("name", sorted(STEPS))
def test_a_verb_is_the_function_of_its_name_with_keyword_arguments(name):
    """What people call by hand may take one thing without a flag: its file, its target."""
    step = getattr(importlib.import_module(f"brainflix.steps.{name}"), name)
    first, *others = [p.kind for p in inspect.signature(step).parameters.values()]
    assert first in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.KEYWORD_ONLY)
    assert set(others) <= {inspect.Parameter.KEYWORD_ONLY}
    assert step.__doc__ and inspect.signature(step).return_annotation in (None, "None")


def test_bad_input_is_one_line_and_exit_code_1(tmp_path):
    out = tmp_path / "metrics.csv"
    done = brainflix_("headline", "--metrics", str(tmp_path / "none.csv"), "--out", str(out))
    assert done.returncode == 1 and not out.exists()
    assert done.stderr.startswith("brainflix: ") and done.stderr.count("\n") == 1
    assert "none.csv" in done.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["display"], "display"),
        (["show"], "--metrics"),
        (["show", "--metrics", "a.csv", "--bad", "3"], "--bad"),
        (["show", "--metrics", "."], "expected a table"),
        (["gaussian", "--responses", "x", "--out", "y", "--seed", "one"], "--seed"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_1(arguments, words):
    done = brainflix_(*arguments)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith("brainflix: ") and done.stderr.count("\n") == 1 and words in done.stderr


def test_the_package_is_the_command_line():
    done = subprocess.run([sys.executable, "-m", "brainflix", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == brainflix.__version__


def test_settings_that_are_no_json_are_refused(tmp_path):
    done = brainflix_("summarize", "--scores", "x.csv", "--settings", "{level", "--out", str(tmp_path / "m.csv"))
    assert done.returncode == 1 and "settings: expected JSON" in done.stderr


def test_help_imports_nothing_heavy():
    code = "import sys, brainflix.cli; print({'torch', 'diffusers', 'transformers', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
