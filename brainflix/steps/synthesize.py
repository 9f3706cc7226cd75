"""Write a simulated study in a dataset's native layout."""

from __future__ import annotations

import shutil
from pathlib import Path

from threadpoolctl import threadpool_limits

from brainflix.datasets import SIMULATED_MARKS, is_simulated
from brainflix.errors import InputError
from brainflix.phantom.layouts import quirks as known_quirks
from brainflix.phantom.layouts import writer
from brainflix.phantom.study import PhantomSettings, Study
from brainflix.settings import Settings


def synthesize(
    *,
    dataset: str,
    root: Path,
    settings: Settings[PhantomSettings],
    seed: int,
    quirks: list[str] | None = None,
) -> None:
    """Write a simulated dataset under ``root``, laid out like the real one down to names, shapes and types.

    Everything is labelled simulated: ``root/SIMULATED`` (written first), ``root/phantom.json`` (written last:
    where it lies, the tree is whole), the README, and the headers of every series and clip. What is true of each
    subject goes to ``root/phantom/``. The same settings and seed give the same bytes; a simulated tree that lies
    there already is deleted first, as files of other names would stay in it.

    Args:
        dataset: one of brainflix.phantom.study.DATASETS.
        root: folder of the dataset, as the config gives it.
        settings: how much of it to write, and how the simulated brain works.
        seed: of everything random; datasets of one study share it, and with it the subjects' common brain.
        quirks: rarer forms of the layout to write, see QUIRKS in brainflix/phantom/layouts; none change
            any value that is written without them, unless their text says so.

    Raises:
        InputError: no such dataset, settings that do not fit it, or ``root`` holds what the phantom did not write.
    """
    study = Study(dataset=dataset, root=Path(root), settings=settings, seed=seed, quirks=frozenset(quirks or ()))
    write, known = writer(dataset), known_quirks(dataset)
    for quirk in sorted(study.quirks - set(known)):
        expected = f"one of {', '.join(known)}" if known else "none"
        raise InputError.about(f"quirks of the {dataset} phantom", expected=expected, found=quirk)
    _refuse_what_is_not_ours(study.root)
    study.write_mark()
    _remove_all_but(study.root / SIMULATED_MARKS[0])
    # One thread: sums of matrix products depend on the number of threads.
    with threadpool_limits(limits=1):
        write(study)
    study.write_label()


def _refuse_what_is_not_ours(root: Path) -> None:
    if root.is_dir() and any(root.iterdir()) and not is_simulated(root):
        expected = "an empty folder, or one with the phantom's mark, as what lies there is deleted"
        raise InputError.about(root, expected=expected, found=f"files without {' or '.join(SIMULATED_MARKS)}")


def _remove_all_but(mark: Path) -> None:
    """Empty the mark's folder; the mark stays, so that a tree half deleted still says what it is."""
    for path in mark.parent.iterdir():
        if path == mark:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
