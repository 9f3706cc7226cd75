"""Others' checkpoints: tensors and settings come through, anything that could run does not."""

import os
import pickle
import zipfile

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from brainflix.errors import InputError
from brainflix.frozen import torchfiles
from tests.models import mindvis


class Malicious:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


def saved(path, **more):
    mindvis.save(path, {"cls_token": torch.arange(6.0).reshape(1, 1, 6)}, **more)
    return path


def test_tensors_settings_and_plain_values_come_through(tmp_path):
    content = torchfiles.read(saved(tmp_path / "a.pth"))
    assert torch.equal(content["model"]["cls_token"], torch.arange(6.0).reshape(1, 1, 6))
    assert content["epoch"] == 499 and set(content["optimizer"]) == {"state", "param_groups"}
    assert type(content["config"]) is torchfiles.Bag and content["config"].attributes == mindvis.CONFIG


@pytest.mark.parametrize(
    "call, name",
    [
        ((os.system, "touch {mark}"), r"posix\.system"),
        ((eval, "open('{mark}', 'w')"), r"builtins\.eval"),
        ((exec, "open('{mark}', 'w')"), r"builtins\.exec"),
        ((getattr, "x", "upper"), r"builtins\.getattr"),
        ((torch.load, "{mark}"), r"torch\.serialization\.load"),
        ((torch.hub.load, "{mark}", "x"), r"torch\.hub\.load"),
    ],
)
@pytest.mark.parametrize("place", ["settings", "model", "epoch"])
def test_a_malicious_checkpoint_is_refused_by_name_and_does_nothing(tmp_path, call, name, place):
    mark, path = tmp_path / "mark", tmp_path / "b.pth"
    malicious = Malicious(*[a.format(mark=mark) if isinstance(a, str) else a for a in call])
    saved(path, **({"config": {**mindvis.CONFIG, "lr": malicious}} if place == "settings" else {place: malicious}))
    sentence = r"b\.pth: expected a checkpoint of tensors and settings, found a call of " + name + ": refused"
    with pytest.raises(InputError, match=sentence):
        torchfiles.read(path)
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [0, 1, 3, 4, 5])
def test_no_protocol_of_pickle_is_a_way_in(tmp_path, protocol):
    mark, path = tmp_path / "mark", tmp_path / "b.pth"
    torch.save({"model": Malicious(os.system, f"touch {mark}")}, path, pickle_protocol=protocol)
    with pytest.raises(InputError, match=r"b\.pth: expected a"):
        torchfiles.read(path)
    assert not mark.exists()


def test_a_class_of_config_can_do_nothing_here(tmp_path):
    """What stands in for it takes no arguments, and knows no method that its state could reach."""
    path = tmp_path / "c.pth"
    torch.save({}, path)
    calls = b"\x80\x02cconfig\nConfig_MBM_fMRI\nX\x04\x00\x00\x00evil\x85R."
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, calls if name.endswith("data.pkl") else data)
    with pytest.raises(InputError, match=r"c\.pth: expected a whole checkpoint \(torch\.save\), found damage"):
        torchfiles.read(path)


@pytest.mark.parametrize(
    "content, found",
    [
        (b"", "another kind of file"),
        (b"hello", "another kind of file"),
        (pickle.dumps({"model": {}}), "another kind of file"),
        (b"PK\x03\x04" + 40 * b"\0", "damage"),
    ],
)
def test_what_is_no_checkpoint_is_refused_by_name(tmp_path, content, found):
    path = tmp_path / "d.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"d\.pth: expected a whole checkpoint \(torch\.save\), found {found}"):
        torchfiles.read(path)


def test_another_zip_archive_is_refused_by_name(tmp_path):
    path = tmp_path / "d.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError, match=r"d\.zip: expected a whole checkpoint \(torch\.save\), found damage"):
        torchfiles.read(path)


@pytest.mark.parametrize("place", [".", "none.pth"])
def test_a_folder_or_nothing_is_refused_by_name(tmp_path, place):
    with pytest.raises(InputError, match="expected a readable checkpoint, found"):
        torchfiles.read(tmp_path / place)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("whole") / "w.pth").read_bytes()


@settings(max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_checkpoint_is_refused_by_name(whole, tmp_path_factory, share):
    path = tmp_path_factory.mktemp("cut") / "e.pth"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"e\.pth: expected a whole checkpoint \(torch\.save\), found"):
        torchfiles.read(path)


@settings(max_examples=200)
@given(share=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
@example(share=0.5, byte=0)
def test_a_flipped_byte_is_noticed_or_changes_nothing(whole, tmp_path_factory, share, byte):
    place = int(share * len(whole))
    path = tmp_path_factory.mktemp("flipped") / "f.pth"
    path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
    try:
        content = torchfiles.read(path)
    except InputError as error:
        assert "f.pth: expected a" in str(error) and "\n" not in str(error)
    else:
        assert torch.equal(content["model"]["cls_token"].flatten(), torch.arange(6.0))
        assert content["config"].attributes == mindvis.CONFIG
