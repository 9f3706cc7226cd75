"""Foreign pickles: arrays come through, anything that could run does not."""

import os
import pickle

import numpy as np
import pytest

from brainflix.datasets import pickles
from brainflix.errors import InputError


class Malicious:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_names_come_through_at_every_protocol(tmp_path, protocol):
    path = tmp_path / "a.pkl"
    array = np.random.default_rng(0).random((3, 2, 5))
    content = (array, ["vid0001", np.str_("vid0002")], {"n": np.int64(3), "raw": b"\0\1"})
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    loaded = pickles.load(path)
    assert np.array_equal(loaded[0], array)
    assert loaded[1:] == content[1:]


def test_files_of_numpy_1_are_read(tmp_path):
    path = tmp_path / "b.pkl"
    path.write_bytes(pickle.dumps(np.arange(4.0), protocol=2).replace(b"numpy._core", b"numpy.core"))
    assert np.array_equal(pickles.load(path), np.arange(4.0))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ((os.system, "touch {mark}"), r"posix\.system"),
        ((eval, "open('{mark}', 'w')"), r"(builtins|__builtin__)\.eval"),
        ((exec, "open('{mark}', 'w')"), r"(builtins|__builtin__)\.exec"),
        ((getattr, "x", "upper"), r"(builtins|__builtin__)\.getattr"),
        ((np.load, "{mark}"), r"numpy\.load"),
        ((np.fromfile, "{mark}"), r"numpy\.fromfile"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_refused_by_name_and_does_nothing(tmp_path, call, name, protocol):
    mark, path = tmp_path / "mark", tmp_path / "c.pkl"
    call = [a.format(mark=mark) if isinstance(a, str) else a for a in call]
    path.write_bytes(pickle.dumps((np.zeros(3), Malicious(*call)), protocol=protocol))
    with pytest.raises(InputError, match=r"c\.pkl: expected a pickle of numpy arrays, found a call of " + name):
        pickles.load(path)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps(np.zeros(1000))[:-20], b"\x80\x04."])
def test_a_damaged_pickle_is_refused_by_name(tmp_path, content):
    path = tmp_path / "d.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"d\.pkl: expected a whole pickle"):
        pickles.load(path)


def test_a_missing_pickle_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"e\.pkl: expected a readable pickle, found No such file"):
        pickles.load(tmp_path / "e.pkl")
