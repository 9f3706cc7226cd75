"""Clips, pickles and series as other programs read them, and the step that writes a study."""

import hashlib
import json
import os
import pickle
import subprocess
import sys

import av
import nibabel as nib
import numpy as np
import pytest

from brainflix.datasets import is_simulated
from brainflix.errors import InputError
from brainflix.phantom import cifti, clips, mesh, pickles
from brainflix.phantom.layouts import hcp
from brainflix.phantom.world import render, sample_scene
from brainflix.steps.synthesize import synthesize
from tests.conftest import phantom_settings


def test_a_mapped_pickle_is_the_one_that_pickle_would_write(tmp_path):
    array = np.random.default_rng(0).standard_normal((30, 3, 1000))
    names = [f"vid{i:04d}" for i in range(30)]
    with pickles.mapped_pickle(tmp_path / "a.pkl", shape=array.shape, dtype="float64", names=names) as mapped:
        mapped[...] = array
    content = (tmp_path / "a.pkl").read_bytes()
    read, order = pickle.loads(content)
    assert np.array_equal(read, array) and order == names
    assert content == pickle.dumps((array, names), protocol=4)


def test_a_pickle_over_4_gib_states_its_length_in_eight_bytes(tmp_path):
    """Sparse: nothing is written but the ends."""
    path = tmp_path / "large.pkl"
    with pickles.mapped_pickle(path, shape=(5, 2**30), dtype="uint8", names=["a"]) as mapped:
        assert mapped.shape == (5, 2**30)
    with open(path, "rb") as file:
        assert b"\x8e" + (5 * 2**30).to_bytes(8, "little") in file.read(400)


def test_a_clip_decodes_to_what_was_drawn(tmp_path):
    scene = sample_scene(np.random.default_rng(1))
    clips.write_clip(tmp_path / "a.mp4", scene, frames=24, fps=24, pixels=96, crf=16)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].average_rate == 24
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)]).astype(float)
    drawn = render(scene, np.arange(24) / 24, pixels=96)
    error = ((frames - drawn) ** 2).mean()
    assert 10 * np.log10(255**2 / error) > 27  # chroma is subsampled


def test_a_clip_has_the_same_bytes_whatever_memory_held_before(tmp_path):
    """glibc fills fresh memory with MALLOC_PERTURB_, which shows an encoder that reads what it never wrote."""
    code = (
        "import sys, pathlib, numpy as np; from brainflix.phantom import clips, world;"
        "scene = world.sample_scene(np.random.default_rng(1));"
        "clips.write_clip(pathlib.Path(sys.argv[1]), scene, frames=24, fps=24, pixels=96, crf=16)"
    )
    for fill in ("0", "85"):
        environment = {**os.environ, "MALLOC_PERTURB_": fill}
        subprocess.run([sys.executable, "-c", code, tmp_path / fill], env=environment, check=True)
    assert (tmp_path / "0").read_bytes() == (tmp_path / "85").read_bytes()


def test_shots_follow_one_another(tmp_path):
    rng = np.random.default_rng(0)
    one, two = sample_scene(rng), sample_scene(rng)
    clips.write_film(tmp_path / "film.mp4", [(one, 30), (two, 15)], fps=30, pixels=64, crf=16)
    with av.open(str(tmp_path / "film.mp4")) as container:
        frames = [f.to_ndarray(format="rgb24").astype(float) for f in container.decode(video=0)]
    assert len(frames) == 45
    start_of_two = render(two, np.zeros(1), pixels=64)[0]
    assert np.abs(frames[30] - start_of_two).mean() < np.abs(frames[29] - start_of_two).mean() / 3


def test_scalars_are_read_back_by_nibabel(tmp_path):
    values = np.random.default_rng(0).standard_normal((59_412, 3)).astype(np.float32)
    cifti.write_scalars(tmp_path / "a.dscalar.nii", values, names=["one", "two", "three"])
    image = nib.load(tmp_path / "a.dscalar.nii")
    assert np.array_equal(np.asanyarray(image.dataobj), values.T)
    assert image.header.get_axis(0).name.tolist() == ["one", "two", "three"]
    assert image.header.get_axis(1) == mesh.brain_models(59_412)


def test_writing_again_gives_the_same_bytes_and_another_seed_others(tmp_path):
    def digests(root, seed):
        synthesize(dataset="hcp", root=root, settings=phantom_settings("hcp"), seed=seed)
        files = sorted(p for p in root.rglob("*") if p.is_file())
        return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    first = digests(tmp_path / "a", 0)
    assert digests(tmp_path / "a", 0) == digests(tmp_path / "b", 0) == first
    other = digests(tmp_path / "c", 1)
    assert all(other[name] != value for name, value in first.items() if name.endswith(".nii"))


@pytest.mark.parametrize("dataset", ["bmd", "had", "cc2017", "hcp", "mosaic"])
def test_every_tree_says_that_it_is_simulated(phantom_root, dataset):
    root = phantom_root(dataset)
    label = json.loads((root / "phantom.json").read_text())
    assert label["simulated"] is True and label["seed"] == 0 and label["version"]
    assert label["settings"]["subjects"] == list(phantom_settings(dataset).subjects)
    top = root / "video_fmri_dataset" if dataset == "cc2017" else root
    assert "SIMULATED" in (top / "README").read_text()
    if dataset in ("bmd", "had"):
        assert json.loads((root / "dataset_description.json").read_text())["Simulated"] is True


def test_a_tree_that_was_not_finished_has_no_label(tmp_path, monkeypatch):
    settings = phantom_settings("hcp")
    synthesize(dataset="hcp", root=tmp_path, settings=settings, seed=0)
    monkeypatch.setattr(hcp, "write_series", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        synthesize(dataset="hcp", root=tmp_path, settings=settings, seed=0)
    assert not (tmp_path / "phantom.json").exists()
    assert is_simulated(tmp_path), "half a phantom is no real study"


def test_a_tree_is_marked_before_anything_is_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(hcp, "write", lambda study: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        synthesize(dataset="hcp", root=tmp_path / "new", settings=phantom_settings("hcp"), seed=0)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["SIMULATED"] and is_simulated(tmp_path / "new")
    assert not is_simulated(tmp_path)


def test_a_tree_written_anew_keeps_nothing_of_the_old(tmp_path):
    def files():
        return {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def write(subjects):
        synthesize(dataset="hcp", root=tmp_path, settings=phantom_settings("hcp", subjects=subjects), seed=0)
        return files()

    clean = write(("100206",))
    assert write(("100206", "100307")).keys() > clean.keys()
    (tmp_path / "phantom.json").unlink()  # as Snakemake does before it runs a rule
    assert write(("100206",)) == clean


def test_what_the_phantom_did_not_write_is_neither_deleted_nor_written_over(tmp_path):
    (tmp_path / "README").write_text("my own scans")
    with pytest.raises(InputError, match="expected an empty folder, or one with the phantom's mark"):
        synthesize(dataset="hcp", root=tmp_path, settings=phantom_settings("hcp"), seed=0)
    assert [p.name for p in tmp_path.iterdir()] == ["README"] and (tmp_path / "README").read_text() == "my own scans"


@pytest.mark.parametrize(
    ("dataset", "changes", "complaint"),
    [
        ("eeg", {}, "one of bmd, had, cc2017, hcp"),
        ("hcp", {"counts": {"runs": 1}}, "runs, volumes"),
        ("hcp", {"counts": {"runs": 5, "volumes": 20}}, "1 to 4"),
        ("hcp", {"subjects": ("one",)}, "numbers"),
        ("cc2017", {"rate": 5.0}, "multiple of 10"),
        ("bmd", {"counts": {"train_clips": 3, "train_repeats": 1, "test_clips": 1, "test_repeats": 1}}, "12 train"),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_a_sentence(tmp_path, dataset, changes, complaint):
    known = dataset if dataset != "eeg" else "hcp"
    with pytest.raises(InputError, match=complaint):
        synthesize(dataset=dataset, root=tmp_path, settings=phantom_settings(known, **changes), seed=0)


def test_an_unknown_quirk_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match=r"quirks of the bmd phantom: expected one of .*, found odd"):
        synthesize(dataset="bmd", root=tmp_path, settings=phantom_settings("bmd"), seed=0, quirks=["odd"])
    assert not list(tmp_path.iterdir())
