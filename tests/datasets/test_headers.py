"""What the first bytes of files tell; and that no more than those are read."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from brainflix.datasets.headers import LARGE, Matrix, problem
from brainflix.phantom.pickles import mapped_pickle
from tests.datasets import raw

SERIES = {".dtseries.nii": Matrix(91_282, maps=(5, 6), step_seconds=2.0)}
BETAS = np.zeros((2, 3, LARGE // 16))


class Run:
    """What a malicious pickle calls."""

    def __reduce__(self):
        return os.system, ("touch /tmp/hacked",)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    return raw.write_series(folder / "a.dtseries.nii", np.zeros((5, 91_282), np.float32), step_seconds=2.0)


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    return raw.write_movie(tmp_path_factory.mktemp("movie") / "a.mp4", raw.numbered(20), fps=15)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_whole_files_are_right(series, movie, tmp_path, protocol):
    path = written(tmp_path / "a.pkl", pickle.dumps((BETAS, ["vid0001", "vid0002"]), protocol=protocol))
    assert [problem(file, SERIES) for file in (series, movie, path)] == [None] * 3


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_truncated_pickle_is_noticed_without_reading_its_array(tmp_path, protocol):
    whole = pickle.dumps((BETAS, []), protocol=protocol)
    for kept in (len(whole) // 2, len(whole) - BETAS.nbytes // 8):
        assert "truncated" in problem(written(tmp_path / "a.pkl", whole[:kept]), {})


@pytest.mark.parametrize("content", [(Run(), BETAS), {"train_data_allvoxel": Run()}])
def test_a_malicious_pickle_is_refused_by_name(tmp_path, content):
    found = problem(written(tmp_path / "evil.pkl", pickle.dumps(content)), {})
    assert "evil.pkl" in found and "system: refused" in found


def test_no_pickle_at_all(tmp_path):
    assert "damage" in problem(written(tmp_path / "a.pkl", b"abc"), {})


def test_of_gigabytes_only_the_beginning_is_read(tmp_path, series):
    def bytes_read():
        return int(Path("/proc/self/io").read_text().split()[1])

    with mapped_pickle(tmp_path / "a.pkl", shape=(1000, 3, 91_282), dtype="float64", names=["vid0001"]):
        pass  # sparse
    long = tmp_path / "long.dtseries.nii"
    shutil.copy(series, long)
    os.truncate(long, 2**31)
    before = bytes_read()
    assert problem(tmp_path / "a.pkl", {}) is None and problem(long, SERIES) is None
    assert bytes_read() - before < 2 * LARGE


@pytest.mark.parametrize(
    ("matrix", "sentence"),
    [
        (Matrix(59_412), "expected 59,412 grayordinates, found 91,282"),
        (Matrix(91_282, maps=(6, 7)), "expected 6 or 7 maps, found 5"),
        (Matrix(91_282, maps=(6,), step_seconds=2.0), "expected 6 volumes, found 5"),
        (Matrix(91_282, step_seconds=0.72), "expected a repetition time of 0.72 s, found 2.0 s"),
    ],
)
def test_a_header_that_says_something_else_is_said(series, matrix, sentence):
    found = problem(series, {".dtseries.nii": matrix})
    assert str(series) in found and sentence in found


def test_a_truncated_series_is_noticed(tmp_path, series):
    path = written(tmp_path / "a.dtseries.nii", series.read_bytes()[:-1])
    assert "truncated" in problem(path, SERIES)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_truncated_movie_is_noticed(tmp_path, movie, kept):
    content = movie.read_bytes()
    found = problem(written(tmp_path / "a.mp4", content[: int(kept * len(content))]), {})
    assert "a.mp4: expected a whole movie (mp4)" in found


def test_a_movie_with_padding_at_its_end_is_right(tmp_path, movie):
    assert problem(written(tmp_path / "a.mp4", movie.read_bytes() + b"\0" * 100), {}) is None


@pytest.mark.parametrize("content", [b"<html>404 not found</html>" * 10, b"\0" * 64])
def test_a_page_saved_as_a_movie_is_noticed(tmp_path, content):
    assert "something else" in problem(written(tmp_path / "a.mp4", content), {})


def test_hdf5_is_told_from_something_else_and_from_half_of_it(tmp_path):
    import h5py

    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["betas"] = np.zeros(10_000)
    assert problem(tmp_path / "a.hdf5", {}) is None
    os.truncate(tmp_path / "a.hdf5", 10_000)
    assert "whole HDF5" in problem(tmp_path / "a.hdf5", {})
    assert "whole HDF5" in problem(written(tmp_path / "b.hdf5", b"no"), {})


@pytest.mark.parametrize("name", ["a.pkl", "a.mp4", "a.dtseries.nii", "a.json", "a.hdf5"])
def test_an_empty_file_is_noticed(tmp_path, name):
    assert "found an empty one" in problem(written(tmp_path / name, b""), SERIES)


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path, monkeypatch):
    path = written(tmp_path / "a.pkl", b"x")

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    assert problem(path, {}) == f"{path}: expected a readable file, found Permission denied"
