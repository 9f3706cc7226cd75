"""The one file type: what is written is read back."""

import errno
import os

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from brainflix import artifacts
from brainflix.artifacts import Samples
from brainflix.errors import InputError


def samples(values, **about):
    rows = pd.DataFrame({"stimulus": [f"{i:04d}" for i in range(len(values))], "repeat": range(len(values))})
    axes = tuple("abcde"[: values.ndim - 1])
    return Samples("responses", values, rows, axes, "z", {"simulated": True, **about})


@settings(max_examples=25, deadline=None)
@given(
    values=arrays.arrays(
        dtype=st.sampled_from([np.float32, np.uint8, np.int64]),
        shape=arrays.array_shapes(min_dims=2, max_dims=4, max_side=4),
    ),
    subject=st.text(min_size=1),
)
def test_what_is_written_is_read_back(tmp_path_factory, values, subject):
    path = tmp_path_factory.mktemp("a") / "x.h5"
    artifacts.write(path, samples(values, subject=subject))
    for load in (True, False):
        back = artifacts.read(path, kind="responses", load=load)
        np.testing.assert_array_equal(back.values, values)
        assert back.about["subject"] == subject and list(back.rows["repeat"]) == list(range(len(values)))


def test_the_same_content_is_the_same_bytes(tmp_path):
    for name in ("x.h5", "y.h5"):
        artifacts.write(tmp_path / name, samples(np.arange(6.0).reshape(2, 3)))
    assert (tmp_path / "x.h5").read_bytes() == (tmp_path / "y.h5").read_bytes()


def test_the_values_can_be_mapped_into_memory(tmp_path):
    path = tmp_path / "x.h5"
    artifacts.write(path, samples(np.ones((3, 5), np.float32)))
    assert isinstance(artifacts.read(path, kind="responses", load=False).values, np.memmap)


def test_another_kind_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "x.h5"
    artifacts.write(path, samples(np.ones((2, 2))))
    with pytest.raises(InputError, match=r"x.h5: expected targets, found responses"):
        artifacts.read(path, kind="targets")


def test_files_that_are_not_ours_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected a file made by an earlier step"):
        artifacts.read(tmp_path / "none.h5", kind="responses")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(InputError, match="expected a Samples file"):
        artifacts.read(tmp_path / "text.h5", kind="responses")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match="found another HDF5 file"):
        artifacts.read(tmp_path / "other.h5", kind="responses")


def test_a_folder_or_an_unreadable_file_is_refused_in_a_sentence(tmp_path):
    reads = [
        lambda path: artifacts.read(path, kind="responses"),
        lambda path: artifacts.read_table(path, columns=["stimulus"]),
        lambda path: artifacts.load_weights(path, kind="regressor"),
    ]
    (tmp_path / "file").touch()
    for read in reads:
        for path in (tmp_path, tmp_path / "none", tmp_path / "file" / "below"):
            with pytest.raises(InputError, match=f"{path}: expected"):
                read(path)


def test_simulated_and_real_are_never_mixed():
    with pytest.raises(InputError, match="inputs disagree on 'simulated'"):
        artifacts.common_about([{"simulated": True}, {"simulated": False}])
    assert artifacts.common_about([{"simulated": True, "dataset": "bmd"}], "dataset")["dataset"] == "bmd"


def test_weights_carry_their_header_and_refuse_another_kind(tmp_path):
    path = tmp_path / "w.safetensors"
    artifacts.save_weights(path, {"a": np.arange(3.0)}, {"kind": "regressor", "seed": 1})
    tensors, header = artifacts.load_weights(path, kind="regressor")
    assert header["seed"] == 1 and tensors["a"].tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="expected weights of kind encoder, found regressor"):
        artifacts.load_weights(path, kind="encoder")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match="expected weights of kind regressor"):
        artifacts.load_weights(path, kind="regressor")


def test_tables_keep_names_that_look_like_numbers(tmp_path):
    path = tmp_path / "t.tsv"
    artifacts.write_table(path, pd.DataFrame({"stimulus": ["0001", "é"], "start_seconds": [np.nan, 1.5]}))
    table = artifacts.read_table(path, columns=["stimulus"])
    assert list(table["stimulus"]) == ["0001", "é"] and table["start_seconds"][1] == 1.5
    with pytest.raises(InputError, match="expected columns caption, found no caption"):
        artifacts.read_table(path, columns=["caption"])
    path.write_bytes(b"stimulus\n\xff\xfe\n")
    with pytest.raises(InputError, match=r"t.tsv: expected a table"):
        artifacts.read_table(path, columns=["stimulus"])


def test_a_full_disk_is_noticed_before_anything_is_computed(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    complaint = r"a\.h5: expected room for it on its disk, found No space left on device"
    with pytest.raises(InputError, match=complaint):
        artifacts.write(tmp_path / "a.h5", samples(np.ones((3, 5))))
    assert not list(tmp_path.iterdir())
