"""Foreign pickles: arrays come through, anything that could run does not."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
        np.arange(3, dtype=">f4"),
        np.array([True, False]),
        np.array(3.5),
        np.zeros((0, 4)),
        np.array(["vid0001", "é"]),
        np.array(["vid0001", None], dtype=object),
        np.array([1 + 2j]),
    ],
    ids=str,
)
def test_arrays_of_every_order_and_type_come_through(tmp_path, array, protocol):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"a": [array]}, protocol=protocol))
    loaded = pickles.load(path)["a"][0]
    assert type(loaded) is np.ndarray and loaded.dtype == array.dtype and loaded.shape == array.shape
    assert np.array_equal(loaded, array)


def test_a_state_that_would_corrupt_numpy_does_not_reach_it(tmp_path):
    """Flags of `float64` that say it holds objects: numpy would believe them, for every array there is."""
    path = tmp_path / "i.pkl"
    whole = pickle.dumps(np.arange(4.0), protocol=3)
    state = b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
    assert whole.count(state) == 1
    path.write_bytes(whole.replace(state, state[:-2] + b"\x1bt"))
    assert np.array_equal(pickles.load(path), np.arange(4.0))
    path.write_bytes(whole.replace(state, b"NK\x01K\x02" + state[3:]))
    with pytest.raises(InputError, match=r"i\.pkl: expected a whole pickle, found damage \(a data type with fields\)"):
        pickles.load(path)


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


WHOLE = pickle.dumps((np.arange(40.0).reshape(5, 8), ["vid0001", "vid0002"]), protocol=4)


@given(place=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255))
@example(place=1, byte=9)  # a protocol to come
def test_a_flipped_byte_gives_other_numbers_or_a_refusal_and_never_a_crash(tmp_path_factory, place, byte):
    path = tmp_path_factory.mktemp("flipped") / "f.pkl"
    path.write_bytes(WHOLE[:place] + bytes([byte]) + WHOLE[place + 1 :])
    try:
        pickles.load(path)
    except InputError as error:
        assert "f.pkl: expected a" in str(error) and "\n" not in str(error)


def _pickle_of_call(name, *arguments):
    module, _, function = name.rpartition(".")
    parts = [b"c", module.encode(), b"\n", function.encode(), b"\n("]
    parts += [pickle.dumps(argument, protocol=2)[2:-1] for argument in arguments]
    return b"\x80\x02" + b"".join(parts) + b"tR."


@pytest.mark.parametrize(
    "content",
    [
        _pickle_of_call("builtins.bytearray", 1 << 80),
        _pickle_of_call("numpy._core.numeric._frombuffer"),
        _pickle_of_call("numpy.ndarray", (1 << 40,), "O"),
        _pickle_of_call("numpy.dtype", "f8,O"),
        _pickle_of_call("numpy.dtype", "no such type"),
        _pickle_of_call("_codecs.encode", "x", "no such code"),
        b"\x80\x04P1\n.",  # a reference to something outside
    ],
)
def test_allowed_names_in_bad_company_are_refused_by_name(tmp_path, content):
    path = tmp_path / "g.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"g\.pkl: expected a whole pickle, found damage"):
        pickles.load(path)


def test_a_pickle_that_asks_for_more_memory_than_there_is_is_refused_by_name(tmp_path):
    path = tmp_path / "h.pkl"
    path.write_bytes(_pickle_of_call("builtins.bytearray", 1 << 62))
    with pytest.raises(InputError, match=r"h\.pkl: expected a pickle that fits into memory, found \d+ bytes"):
        pickles.load(path)


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps(np.zeros(1000))[:-20], b"\x80\x04."])
def test_a_damaged_pickle_is_refused_by_name(tmp_path, content):
    path = tmp_path / "d.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"d\.pkl: expected a whole pickle"):
        pickles.load(path)


def test_a_list_that_holds_itself_twice_again_and_again_takes_no_time(tmp_path):
    content = [np.arange(3)]
    for _ in range(60):
        content = [content, content]
    (tmp_path / "deep.pkl").write_bytes(pickle.dumps(content))
    found = pickles.load(tmp_path / "deep.pkl")
    assert found[0] is found[1]
    while len(found) == 2:
        found = found[0]
    assert np.array_equal(found[0], [0, 1, 2])


def test_a_missing_pickle_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"e\.pkl: expected a readable pickle, found No such file"):
        pickles.load(tmp_path / "e.pkl")
