"""What tells two states of a model of one name apart."""

from brainflix.frozen import CLASSIFIERS
from brainflix.frozen.revisions import revision


def test_a_folders_revision_is_that_of_its_files_wherever_it_lies(tmp_path):
    for name, weights in (("a", b"1" * 9), ("b", b"1" * 9), ("c", b"1" * 8 + b"2")):
        (tmp_path / name / "unet").mkdir(parents=True)
        (tmp_path / name / "unet" / "config.json").write_text("{}")
        (tmp_path / name / "unet" / "model.safetensors").write_bytes(weights)
        (tmp_path / name / "README.md").write_text(name)
    first, same, other = (revision(str(tmp_path / name)) for name in "abc")
    assert first == same != other
    (tmp_path / "b" / "unet" / "config.json").write_text('{"x": 1}')
    assert revision(str(tmp_path / "b")) != first


def test_a_hub_models_revision_is_the_commit_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert revision("owner/name") is None
    (tmp_path / "models--owner--name" / "refs").mkdir(parents=True)
    (tmp_path / "models--owner--name" / "refs" / "main").write_text("0123abc\n")
    assert revision("owner/name") == "0123abc"


def test_a_model_that_comes_with_a_package_has_none():
    assert {revision(name) for name in CLASSIFIERS} == {None}
