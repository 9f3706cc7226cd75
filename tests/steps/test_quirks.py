"""The rarer forms of the datasets, as the phantom writes them, come out of the readers like the usual ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from brainflix import artifacts, atlas
from brainflix.datasets import adapter, video
from brainflix.phantom.layouts import bmd, bmd_stimuli, had, quirks
from brainflix.phantom.study import Study
from brainflix.steps.caption import caption
from brainflix.steps.index import index
from brainflix.steps.parcellate import parcellate
from brainflix.steps.synthesize import synthesize
from tests.conftest import phantom_settings
from tests.datasets import studies

COUNTS = {"train_clips": 8, "train_repeats": 2, "test_clips": 2, "test_repeats": 2}
BMD = {**studies.BMD, **COUNTS}
TREES = {"": "stimuli/train", "mp4-h264": "derivatives/stimuli_metadata/mp4_h264", "flat-clips": "stimuli"}


def study_of(dataset, root, *names, **changes):
    settings = phantom_settings(dataset, **changes)
    return Study(dataset=dataset, root=root, settings=settings, seed=0, quirks=frozenset(names))


@pytest.fixture(scope="module")
def unusual(tmp_path_factory):
    """A BMD of one subject with every quirk that does not exclude another."""
    root = tmp_path_factory.mktemp("unusual")
    settings = phantom_settings("bmd", subjects=("01",), counts=COUNTS)
    chosen = ["frame-folders", "flat-annotations", "group41", "infinite-betas"]
    synthesize(dataset="bmd", root=root, settings=settings, seed=0, quirks=chosen)
    assert json.loads((root / "phantom.json").read_text())["quirks"] == sorted(chosen)
    index(dataset="bmd", root=root, subjects=["01"], options=BMD, out=root / "stimuli.tsv")
    return root


def responses(root, out, **options):
    common = {"name": "bmd", "dataset": "bmd", "root": root, "subjects": ["01"], "stimuli": root / "stimuli.tsv"}
    parcellate(**common, options={**BMD, **options}, out=out)
    return artifacts.read(out, kind="responses")


def test_the_authors_dict_holds_the_organised_betas_and_infinities_are_zeroed_and_counted(unusual, tmp_path):
    usual = responses(unusual, tmp_path / "a.h5")
    dict_ = responses(unusual, tmp_path / "b.h5", betas="group41")
    assert np.array_equal(usual.values, dict_.values)
    truth, _ = artifacts.load_weights(unusual / "phantom" / "truth-sub-01.safetensors", kind="phantom-truth")
    dead = np.isin(atlas.vertices("glasser41"), truth["dead_vertices"])
    assert usual.about["nan_vertices"] == dict_.about["nan_vertices"] == [dead.sum()] == [2]
    assert (usual.values[:, dead] == 0).all() and np.isfinite(usual.values).all()


def test_folders_of_pictures_show_what_the_movies_show(unusual, tmp_path):
    table = adapter("bmd").stimuli(root=unusual, subjects=["01"], options=BMD)
    assert all(Path(path).is_dir() for path in table["path"])
    study = study_of("bmd", tmp_path, subjects=("01",), counts=COUNTS)
    clips = [bmd_stimuli.clip_of(study, "train", number) for number in (1, 2, 3)]
    bmd_stimuli.write_stimuli(study, clips)
    for path, clip in zip(table["path"], clips, strict=False):
        pictures = video.frames(Path(path), count=5, pixels=32).astype(float)
        movie = video.frames(tmp_path / f"stimuli/train/{clip.number:04d}.mp4", count=5, pixels=32).astype(float)
        assert np.abs(pictures - movie).mean() < 12  # both are lossy
        assert np.abs(pictures - movie[::-1]).mean() > np.abs(pictures - movie).mean() or clip.scene.motion == "resting"


def test_flat_annotations_give_the_same_captions(unusual, tmp_path):
    entry = json.loads((unusual / "derivatives/stimuli_metadata/annotations.json").read_text())["0001"]
    assert all(isinstance(answer, str) for answer in entry["objects"])
    call = {"dataset": "bmd", "root": unusual, "stimuli": unusual / "stimuli.tsv", "threads": 1}
    caption(**call, out=tmp_path / "captions.tsv")
    captions = artifacts.read_table(tmp_path / "captions.tsv", columns=["stimulus", "caption"])
    assert len(captions) == 50 and captions["caption"][0] in entry["text_descriptions"]


@pytest.mark.parametrize("quirk", TREES)
def test_every_tree_of_movies_is_found_and_holds_the_same_bytes(tmp_path, quirk):
    study = study_of("bmd", tmp_path, *filter(None, [quirk]), subjects=("01",), counts=COUNTS)
    bmd_stimuli.write_stimuli(study, [bmd_stimuli.clip_of(study, "train", number) for number in range(1, 9)])
    table = adapter("bmd").stimuli(root=tmp_path, subjects=["01"], options=BMD)
    assert table["path"][0] == str(tmp_path / TREES[quirk] / "0001.mp4")
    usual = study_of("bmd", tmp_path / "usual", subjects=("01",), counts=COUNTS)
    bmd_stimuli.write_stimuli(usual, [bmd_stimuli.clip_of(usual, "train", 1)])
    expected = (tmp_path / "usual/stimuli/train/0001.mp4").read_bytes()
    assert Path(table["path"][0]).read_bytes() == expected


def write_had_events(root, *names, cycles=2):
    """Events of one subject, and the table of stimuli that the reader makes of them."""
    study = study_of("had", root, *names, counts={"cycles": cycles})
    runs = [run for cycle in range(cycles) for run in had.runs_of_cycle(study, "01", cycle)]
    for number, run in enumerate(runs, start=1):
        had.write_events(study, "01", number, run)
    return adapter("had").stimuli(root=root, subjects=["01"], options=studies.HAD)


def test_the_four_published_test_splits_are_chosen_by_name(tmp_path):
    """Rows come cycle by cycle, class by class."""
    write_had_events(tmp_path, cycles=4)
    held_out = {}
    for split in ("seeded", "released-json", "path-list", "mosaic"):
        options = {**studies.HAD, "cycles": 4, "split": split}
        if split == "path-list":
            chosen = [Path(path).name for path in table["path"][5:700:20]]
            (tmp_path / "had_test_set_video_paths.json").write_text(json.dumps(chosen))
        table = adapter("had").stimuli(root=tmp_path, subjects=["01"], options=options)
        held_out[split] = np.flatnonzero(table["split"] == "test")
        assert len(table) == 720 and set(table["split"]) == {"train", "test"}
    assert sorted(held_out["seeded"] % 180) == list(range(180))
    assert set(held_out["seeded"] // 180) == {0, 1, 2, 3}
    assert held_out["released-json"].tolist() == list(range(180))
    assert held_out["path-list"].tolist() == list(range(5, 700, 20))
    assert held_out["mosaic"].tolist() == list(range(540, 720))


def test_events_of_both_versions_name_the_same_clips(tmp_path):
    newer, older = (write_had_events(tmp_path / name, *names) for name, names in (("a", ()), ("b", ["events-1.0.0"])))
    assert newer[["stimulus", "split"]].equals(older[["stimulus", "split"]])
    header = next((tmp_path / "b").rglob("*_events.tsv")).read_text().split("\n")[0]
    assert header == "onset\tduration\ttrial_type\tresponse_time\tstim_file"
    assert "\tresponse\t" in next((tmp_path / "a").rglob("*_events.tsv")).read_text().split("\n")[0]


def test_of_two_clips_of_one_video_one_is_held_out_and_the_other_not_learnt_from(tmp_path):
    table = write_had_events(tmp_path, "same-video")
    both = table[table["stimulus"].str.contains("_id_same-vid-01_")]
    assert sorted(both["split"]) == ["overlap", "test"]
    assert (table["split"] == "test").sum() == 180 and (table["split"] == "overlap").sum() == 1


def test_series_of_a_second_session_are_written_and_never_asked_for(tmp_path, monkeypatch):
    made = []
    silent = np.zeros((atlas.GRAYORDINATES, had.VOLUMES), np.float32)
    monkeypatch.setattr(had, "_series", lambda *_: silent)
    monkeypatch.setattr(had, "write_series", lambda path, *_, **__: made.append(path))
    monkeypatch.setattr(had, "_write_betas", lambda *_: None)
    study = study_of("had", tmp_path, "second-session")
    runs = had.runs_of_cycle(study, "01", 0)
    seen = [study.features.of_clips([trial.scene for trial in run], had.SECONDS) for run in runs]
    had.write_subject(study, "01", runs, seen)
    assert sorted(path.name for path in made)[-1] == "ses-action02_task-action_run-1_Atlas.dtseries.nii"
    assert len(made) == 4
    files = adapter("had").response_files(root=tmp_path, subject="01", options=studies.HAD)
    assert not set(files) & set(made[3:])


@pytest.mark.parametrize(("dataset", "layout"), [("bmd", bmd), ("had", had)])
def test_every_quirk_is_described(dataset, layout):
    assert quirks(dataset) == layout.QUIRKS
    assert all(len(text) > 20 for text in layout.QUIRKS.values())
