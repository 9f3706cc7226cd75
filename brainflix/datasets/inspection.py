"""What of a dataset is there, what is missing and what looks wrong, without reading more than headers.

Files are those that the adapter names. Small text files (events, labels, annotations) are read whole, as the
adapter does; of everything else only the first bytes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from brainflix import atlas
from brainflix.datasets import adapter, headers, is_simulated
from brainflix.datasets.headers import unreadable
from brainflix.errors import InputError

SIDE_BY_SIDE = 8  # files looked at at a time: most of it is waiting for a disk or a network


@dataclass
class Findings:
    """What was found of one dataset.

    Attributes:
        found: files that are there, by what they are for: ``stimuli`` or ``responses``.
        size: their bytes.
        missing: files that are not there, paths below the root, in the order they are read.
        absent: files that the dataset does without: not there, or of no use, and then why.
        problems: sentences, each naming a file.
        movies_known: False while the movies are not known for want of the files that name them.
    """

    simulated: bool
    found: Counter[str] = field(default_factory=Counter)
    size: int = 0
    missing: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    movies_known: bool = True


def examine(entry: Mapping[str, Any]) -> Findings:
    """Look at one dataset of the config.

    Args:
        entry: its adapter, root, subjects, options, captions and captioner.
    """
    module, root = adapter(entry["adapter"]), Path(entry["root"])
    findings = Findings(simulated=is_simulated(root))
    look = _Look(module, root, entry["options"], findings)
    subjects = entry["subjects"]
    raw = look.ask(module.raw_files, subjects=subjects) or []
    complete = look.at(raw, "stimuli")
    series = {s: look.ask(module.response_files, subject=s) for s in subjects}
    look.at([file for files in series.values() for file in files or []], "responses")
    usable = [s for s, files in series.items() if files and all(look.seen[file] for file in files)]
    if hasattr(module, "absent_files"):
        absent = [file for s in subjects for file in look.ask(module.absent_files, subject=s) or []]
        findings.absent = [look.below_root(file) for file in absent if file not in look.seen]
    # What is missing is said already, so a refusal for want of it is not said again.
    stimuli = look.ask(module.stimuli, quietly=not complete, subjects=subjects)
    findings.movies_known = stimuli is not None
    if stimuli is None:
        return findings
    look.at([Path(path) for path in dict.fromkeys(stimuli["path"])], "stimuli")
    if complete:
        _check_captions(entry, stimuli, look)
    vertices = atlas.vertices("glasser41")
    for subject in usable:
        answer = look.ask(module.responses, subject=subject, stimuli=stimuli, vertices=vertices)
        skipped = [run for run in (answer.skipped if answer else ()) if run.volumes is not None]
        findings.absent += [f"{look.below_root(run.source)} ({run.reason})" for run in skipped]
    return findings


@dataclass
class _Look:
    """Asks an adapter and looks at files, and notes what is wrong."""

    module: ModuleType
    root: Path
    options: Mapping[str, Any]
    findings: Findings
    seen: dict[Path, bool] = field(default_factory=dict)

    def ask(self, function: Callable[..., Any], *, quietly: bool = False, **arguments: Any) -> Any:
        """What the adapter says; None where it refuses, which is noted unless ``quietly``."""
        try:
            return function(root=self.root, options=self.options, **arguments)
        except InputError as error:
            problem = str(error)
        except OSError as error:
            problem = unreadable(error.filename or self.root, error)
        if not quietly:
            self.note(problem)
        return None

    def below_root(self, file: Path) -> str:
        return str(file.relative_to(self.root) if file.is_relative_to(self.root) else file)

    def note(self, problem: str) -> None:
        if problem not in self.findings.problems:
            self.findings.problems.append(problem)

    def at(self, files: Iterable[Path], purpose: str) -> bool:
        """Look at files, each once; whether all are there and none looks wrong."""
        files = list(files)
        new = [file for file in dict.fromkeys(files) if file not in self.seen]
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            for file, (size, problem) in zip(new, pool.map(self._first_look, new), strict=True):
                self.seen[file] = size is not None and problem is None
                if problem:
                    self.note(problem)
                if size is not None:
                    self.findings.found[purpose] += 1
                    self.findings.size += size
                elif not problem:
                    self.findings.missing.append(self.below_root(file))
        return all(self.seen[file] for file in files)

    def _first_look(self, file: Path) -> tuple[int | None, str | None]:
        """(bytes, what is wrong); no bytes and nothing wrong where there is no such file."""
        try:
            size = os.stat(file).st_size
        except (FileNotFoundError, NotADirectoryError):
            return None, None
        except OSError as error:
            return None, unreadable(file, error)
        return size, headers.problem(file, self.module.HEADERS)


def _check_captions(entry: Mapping[str, Any], stimuli: Any, look: _Look) -> None:
    """A dataset with stimuli needs captions: a user's, its own, or a captioner."""
    if entry.get("captions"):
        look.at([Path(entry["captions"])], "stimuli")
        return
    try:
        found = look.module.captions(root=look.root, stimuli=stimuli)
    except InputError as error:
        look.note(str(error))
        return
    if found is None and not entry["captioner"] and len(stimuli):
        expected = "a captioner or captions in the config"
        look.note(str(InputError.about(look.root, expected=expected, found="neither, and no human captions")))
