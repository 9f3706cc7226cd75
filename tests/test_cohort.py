"""A cohort of many rows: what its table weighs, and reading ahead in its files."""

import os
import re
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainflix import artifacts
from brainflix.artifacts import Samples
from brainflix.cohort import read_cohort
from brainflix.errors import InputError

ABOUT = {"dataset": "hcp", "space": "glasser41", "simulated": True}


def write(path: Path, rows: int, *, width: int = 3, first: int = 0, dtype=np.float32, split="rest") -> Path:
    names = [f"{100000 + (first + i) // 480}/REST1_LR" for i in range(rows)]
    table = pd.DataFrame({"stimulus": "rest", "split": split, "repeat": np.arange(rows), "run": names})
    values = np.arange(rows * width, dtype=np.float32).reshape(rows, width) % 100
    about = {**ABOUT, "subject": ",".join(sorted(set(n[:6] for n in names)))}
    artifacts.write(path, Samples("responses", values.astype(dtype), table, ("vertex",), "z", about))
    return path


def test_the_table_of_half_a_million_rows_is_small(tmp_path):
    paths = [write(tmp_path / f"{i}.h5", 9600, first=9600 * i) for i in range(6)]
    tracemalloc.start()
    cohort = read_cohort(paths, kind="responses", splits=("rest",))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(cohort) == 57_600
    assert held / len(cohort) < 200  # bytes a row: 100 MB for 520,000 rows


def test_rows_of_half_precision_come_as_single(tmp_path):
    cohort = read_cohort([write(tmp_path / "a.h5", 20, dtype=np.float16)], kind="responses", splits=("rest",))
    taken = cohort.take(np.array([3, 1]))
    assert taken.dtype == np.float32
    np.testing.assert_array_equal(taken, [[9, 10, 11], [3, 4, 5]])


def test_hints_change_no_value(tmp_path):
    paths = [write(tmp_path / f"{i}.h5", 700, width=1000, first=i) for i in range(2)]
    cohort = read_cohort(paths, kind="responses", splits=("rest",))
    rows = np.random.default_rng(0).permutation(1400)[:900]
    before = cohort.take(rows)
    cohort.expect(rows)
    cohort.forget(rows)
    cohort.forget(rows[:1])
    np.testing.assert_array_equal(cohort.take(rows), before)


def test_neighbours_are_read_in_one_go(tmp_path):
    paths = [write(tmp_path / f"{i}.h5", 50) for i in range(2)]
    cohort = read_cohort(paths, kind="responses", splits=("rest",))
    index = np.array([52, 10, 12, 11, 49, 50, 51, 40])
    assert list(cohort._stretches(index)) == [(0, 10, 13), (0, 40, 41), (0, 49, 50), (1, 0, 3)]


RESIDENT = """
    import re, sys
    from pathlib import Path
    import numpy as np
    from brainflix.cohort import read_cohort
    def resident(kind):
        return int(re.search(kind + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    cohort = read_cohort([Path(sys.argv[1])], kind="responses", splits=("rest",))
    start = {kind: resident(kind) for kind in ("RssFile", "RssAnon")}
    most = dict.fromkeys(start, 0.0)
    for first in range(0, len(cohort), 500):
        rows = np.arange(first, min(first + 500, len(cohort)))
        cohort.expect(rows)
        for some in np.array_split(rows, 10):
            cohort.take(some)
        most = {kind: max(most[kind], resident(kind) - start[kind]) for kind in start}
        cohort.forget(rows)
    print(most["RssFile"], most["RssAnon"])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_a_pass_over_the_data_holds_a_window_of_them(tmp_path):
    path = write(tmp_path / "a.h5", 8000, width=3000)  # 96 MB; a window of 500 rows has 6
    run = [sys.executable, "-c", textwrap.dedent(RESIDENT), path]
    root = Path(__file__).parents[1]
    found = subprocess.run(
        run, check=True, capture_output=True, text=True, cwd=root, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    pages, anonymous = map(float, re.findall(r"[\d.-]+", found.stdout))
    assert 4 < pages < 20
    assert anonymous < 20


def test_no_file_and_no_row_are_refused_in_words(tmp_path):
    with pytest.raises(InputError, match="the cohort is empty"):
        read_cohort([], kind="responses", splits=("train",))
    path = write(tmp_path / "a.h5", 5)
    with pytest.raises(InputError, match=f"{path}: expected rows of split train, found none"):
        read_cohort([path], kind="responses", splits=("train",))


def test_files_of_other_vertices_are_refused_in_words(tmp_path):
    paths = [write(tmp_path / "a.h5", 5), write(tmp_path / "b.h5", 5, width=4)]
    with pytest.raises(InputError, match=r"b.h5: expected rows of shape \(3,\) as in .*a.h5, found \(4,\)"):
        read_cohort(paths, kind="responses", splits=("rest",))
