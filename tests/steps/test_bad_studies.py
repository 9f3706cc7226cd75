"""Bad files of BMD, HAD and CC2017: one line that names the file, exit code 1, nothing half-written."""

import json
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from brainflix import cli, frozen
from tests.datasets import raw, studies


@pytest.fixture
def copy(roots, tmp_path):
    """A copy of a study that may be damaged: text is copied, what is large is linked."""

    def linked(source, target):
        (Path(target).symlink_to if Path(source).suffix == ".nii" else lambda s: shutil.copy(s, target))(source)

    return lambda name: shutil.copytree(roots(name), tmp_path / "raw", copy_function=linked)


@pytest.fixture
def refused(tmp_path, monkeypatch, capfd):
    """Run a verb of the command line that has to be refused; its one line, nothing being left behind."""

    def call(verb, name, root, *more):
        out = tmp_path / "out" / ("sub.h5" if verb == "parcellate" else "out.tsv")
        words = ["brainflix", verb, "--dataset", name, "--root", str(root), *map(str, more), "--out", str(out)]
        if verb in ("index", "parcellate"):
            words += ["--subjects", studies.SUBJECT[name], "--options", json.dumps(studies.OPTIONS[name])]
        monkeypatch.setattr(sys, "argv", words)
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capfd.readouterr().err
        assert stop.value.code == 1
        assert said.startswith("brainflix: ") and said.count("\n") == 1, said
        assert not out.parent.exists() or not list(out.parent.iterdir())
        return said

    return call


def stimuli(name, root, path):
    from brainflix.steps.index import index

    index(dataset=name, root=root, subjects=[studies.SUBJECT[name]], options=studies.OPTIONS[name], out=path)
    return path


def edit(path, change):
    """Change the lines of a file; the header is line 0."""
    lines = path.read_text().rstrip("\n").split("\n")
    change(lines)
    path.write_text("\n".join(lines) + "\n")
    return path.name


def swap(lines):
    lines[3], lines[4] = lines[4], lines[3]


def beyond(lines):
    lines[-1] = "305.5" + lines[-1][lines[-1].index("\t") :]


def unknown_class(lines):
    words = lines[5].split("\t")
    lines[5] = "\t".join([*words[:2], "181.0", *words[3:]])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (swap, "expected rising onsets, found an onset before the one above it"),
        (beyond, "expected onsets from 0 s to the end of the run at 300 s, found 305.5 s"),
        (unknown_class, "expected trial_type 1 to 180, found 181.0"),
    ],
)
def test_events_that_cannot_be(copy, refused, change, complaint):
    root = copy("had")
    path = root / "sub-01/ses-action01/func/sub-01_ses-action01_task-action_run-04_events.tsv"
    edit(path, change)
    assert f"{path}: {complaint}" in refused("index", "had", root)


@pytest.mark.parametrize("place", ["_run-05_events.tsv", "_cycle-2_label.txt"])
def test_text_that_is_not_utf_8(copy, refused, tmp_path, place):
    root = copy("had")
    table = stimuli("had", root, tmp_path / "stimuli.tsv")
    path = next(root.rglob(f"*{place}"))
    path.write_bytes(path.read_bytes().replace(b"Action", b"Acti\xf6n", 1))
    said = refused("parcellate", "had", root, "--name", "had", "--stimuli", table)
    assert path.name in said and "found text that is not UTF-8" in said


def test_a_label_that_contradicts_the_events(copy, refused, tmp_path):
    root = copy("had")
    table = stimuli("had", root, tmp_path / "stimuli.tsv")
    name = edit(next(root.rglob("*_cycle-1_label.txt")), swap)
    said = refused("parcellate", "had", root, "--name", "had", "--stimuli", table)
    assert f"{name}, line 4: expected v_Action-4 of many" in said and "as in the events" in said


def test_a_malicious_pickle(copy, refused, tmp_path):
    root = copy("bmd")
    table = stimuli("bmd", root, tmp_path / "stimuli.tsv")
    path = next(root.rglob("*task-train_normalized.pkl"))
    path.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "mark").encode() + b"'\ntR.")
    said = refused("parcellate", "bmd", root, "--name", "bmd", "--stimuli", table)
    assert f"{path}: expected a pickle of numpy arrays, found a call of os.system: refused" in said
    assert not (tmp_path / "mark").exists()
    path.write_bytes(pickle.dumps((np.zeros(3), [])))
    assert "expected betas of shape (4, 2, 91282), found (3,)" in refused(
        "parcellate", "bmd", root, "--name", "bmd", "--stimuli", table
    )


@pytest.fixture
def films(tmp_path):
    """The films of CC2017, empty, without any series."""
    folder = tmp_path / "raw/video_fmri_dataset/stimuli"
    folder.mkdir(parents=True)
    for name in ("seg1", "test1", "test2"):
        (folder / f"{name}.mp4").touch()
    return tmp_path / "raw"


def test_a_movie_that_is_not_there(films, refused):
    (films / "video_fmri_dataset/stimuli/test2.mp4").unlink()
    assert "expected 3 movies of cc2017, found 1 missing, first" in refused("index", "cc2017", films)


@pytest.mark.parametrize("sentences", [4, 6])
def test_captions_that_are_not_five(copy, refused, tmp_path, sentences):
    root = copy("bmd")
    table = stimuli("bmd", root, tmp_path / "stimuli.tsv")
    path = root / "derivatives/stimuli_metadata/annotations.json"
    annotations = json.loads(path.read_text())
    annotations["0003"]["text_descriptions"] = ["a sentence"] * sentences
    path.write_text(json.dumps(annotations))
    said = refused("caption", "bmd", root, "--stimuli", table, "--threads", 1)
    assert f"{path}: expected 5 captions of clip 0003, found {sentences}" in said


def test_captions_handed_in_that_are_not_utf_8(copy, refused, tmp_path):
    table = stimuli("bmd", copy("bmd"), tmp_path / "stimuli.tsv")
    given = tmp_path / "given.tsv"
    given.write_bytes(b"stimulus\tcaption\n0001\ta b\xe9b\xe9\n")
    said = refused("caption", "bmd", tmp_path, "--stimuli", table, "--given", given, "--threads", 1)
    assert f"{given}: expected a table with columns stimulus, caption, found" in said


def no_frames(path):
    """A header that promises three frames, and zeros in their place."""
    data = bytearray(raw.write_movie(path, raw.numbered(3), fps=10).read_bytes())
    start, size = data.index(b"mdat") + 4, data.index(b"moov") - 4 - data.index(b"mdat") - 4
    assert 0 < size < len(data)
    data[start : start + size] = bytes(size)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (raw.write_sound, "expected a movie, found no video in it"),
        (no_frames, "expected a movie that decodes"),
        (lambda path: path.write_bytes(b""), "expected a movie that decodes"),
    ],
)
def test_a_movie_that_shows_nothing(films, refused, tmp_path, monkeypatch, damage, complaint):
    monkeypatch.setattr(frozen, "captioner", lambda name, precision: None)  # never gets to see a clip
    table = stimuli("cc2017", films, tmp_path / "stimuli.tsv")
    path = films / "video_fmri_dataset/stimuli/seg1.mp4"
    damage(path)
    image = {"frames": 3, "pixels": 16, "pixel_scale": "unit", "precision": "float32"}
    decoding = {"prompt": "", "beams": 1, "min_length": 4, "max_length": 20, "count_prompt": True}
    settings = json.dumps({"image": image, "decoding": {**decoding, "repetition_penalty": 6.0}})
    more = ["--stimuli", table, "--captioner", "any", "--settings", settings, "--threads", 1]
    assert f"{path}: {complaint}" in refused("caption", "cc2017", films, *more)
