"""Nothing that is fitted sees a test response: from raw files to responses, for every dataset that has tests.

What is fitted later (encoder, alignment, regressors) is tested for the same in test_encode.
"""

import pickle
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from brainflix import artifacts, datasets
from brainflix.cohort import read_cohort
from brainflix.datasets import cc2017
from brainflix.datasets.base import stimuli_table
from brainflix.errors import InputError
from brainflix.steps import index as index_step
from brainflix.steps.index import index
from brainflix.steps.parcellate import parcellate
from tests.datasets import raw, studies

CHOICES = [
    ("bmd", {}),
    *(("had", {"split": split}) for split in ("seeded", "released-json")),
    *(("cc2017", {"normalisation": way, "clips": clips}) for way, clips in (("train", 240), ("paper", 239))),
]


def linked(source, target):
    """A copy of a tree that links to its files."""
    for file in source.rglob("*"):
        if file.is_file():
            (target / file.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (target / file.relative_to(source)).symlink_to(file)
    return target


def responses(name, root, out, options):
    common = {"dataset": name, "root": root, "subjects": [studies.SUBJECT[name]]}
    options = {**studies.OPTIONS[name], **options}
    index(**common, options=options, out=out / "stimuli.tsv")
    parcellate(name=name, **common, options=options, stimuli=out / "stimuli.tsv", out=out / "responses.h5")
    return artifacts.read(out / "responses.h5", kind="responses")


def poison(name, root, rows):
    """Change every response to a test stimulus in the raw files, and nothing else."""
    test = rows[rows["split"] == "test"]
    if name == "bmd":
        path = next(root.rglob("*task-test_normalized.pkl"))
        betas, names = pickle.loads(path.read_bytes())
        replace(path).write_bytes(pickle.dumps((50 - 9 * betas, names)))
    if name == "had":
        for path in root.rglob("*_beta.dscalar.nii"):
            maps = np.asarray(nib.load(path).dataobj)
            cycle = rows[rows["run"] == path.name.split("_")[2]]
            held_out = (cycle["split"] == "test").to_numpy()
            maps[held_out] = 1e6 - 7 * maps[held_out]
            raw.write_maps(replace(path), maps)
    if name == "cc2017":
        for run in test["run"].unique():
            path = next(root.rglob(f"{run}_Atlas.dtseries.nii"))
            data = np.asarray(nib.load(path).dataobj)
            raw.write_series(replace(path), 7 - 2 * data, step_seconds=2.0)
    if name == "mosaic":
        path = root / "sub-01_BMD.hdf5"
        content = path.read_bytes()
        replace(path).write_bytes(content)
        with h5py.File(path, "r+") as file:
            for key in [key for key in file["betas"] if "_phase-test_rep-" in key]:
                file["betas"][key][...] = 50 - 9 * file["betas"][key][...]


def replace(path: Path) -> Path:
    path.unlink()
    return path


@pytest.mark.parametrize("name", ["bmd", "had", "cc2017", "mosaic"])
def test_no_test_response_reaches_a_training_row(roots, tmp_path, name):
    before = responses(name, roots(name), tmp_path / "before", {})
    other = linked(roots(name), tmp_path / "other")
    poison(name, other, before.rows)
    after = responses(name, other, tmp_path / "after", {})
    test = (before.rows["split"] == "test").to_numpy()
    assert before.values[~test].tobytes() == after.values[~test].tobytes()
    # The first vertices are NaN or constant in these studies.
    assert (before.values[test, 20:] != after.values[test, 20:]).any(axis=1).all()


@pytest.mark.parametrize(("name", "options"), CHOICES)
def test_every_repeat_of_a_test_stimulus_is_held_out(roots, name, options):
    adapter, options = datasets.adapter(name), {**studies.OPTIONS[name], **options}
    table = adapter.stimuli(root=roots(name), subjects=[studies.SUBJECT[name]], options=options)
    rows = adapter.responses(
        root=roots(name), subject=studies.SUBJECT[name], stimuli=table, options=options, vertices=np.arange(3)
    ).rows
    assert {"train", "test"} == set(rows["split"])
    merged = rows.merge(table, on="stimulus", how="left", suffixes=("", "_listed"))
    assert (merged["split"] == merged["split_listed"]).all()


def test_a_clip_that_shares_frames_with_a_test_clip_reaches_no_statistic(roots, tmp_path):
    """HAD: action 9 of cycle 2 is made to come from the video of a test clip; then its response is changed."""
    root = linked(roots("had"), tmp_path / "raw")
    old = Path(studies.had_clip(9, 2)).name
    new = old.replace("_id_-x9c2_start_2.0", "_id_-x9c1_start_2.5")
    for path in [*root.rglob("*_events.tsv"), *root.rglob("*_label.txt")]:
        text = path.read_text().replace(old, new)
        replace(path).write_text(text)
    movie = next(root.rglob(old))
    movie.rename(movie.with_name(new))
    options = {"split": "released-json"}
    before = responses("had", root, tmp_path / "before", options)
    assert (before.rows["split"] == "overlap").sum() == 1
    path = next(root.rglob("*cycle-2_beta.dscalar.nii"))
    maps = np.asarray(nib.load(path).dataobj)
    maps[8] = 1e6
    raw.write_maps(replace(path), maps)
    after = responses("had", root, tmp_path / "after", options)
    other = (before.rows["split"] != "overlap").to_numpy()
    assert before.values[other].tobytes() == after.values[other].tobytes()
    cohort = read_cohort([tmp_path / "after" / "responses.h5"], kind="responses", splits=("train", "rest"))
    assert len(cohort) == 179 and Path(new).stem not in set(cohort.rows["stimulus"])


@pytest.mark.parametrize("window", [(0, 2), (1, 3), (3, 9), (None, None)])
def test_a_training_clip_that_overlaps_a_test_clip_in_time_is_refused_by_index(tmp_path, monkeypatch, window):
    (tmp_path / "movie.mp4").touch()
    records = [
        ("held", "test", tmp_path / "movie.mp4", 1, 4),
        ("next", "train", tmp_path / "movie.mp4", 4, 6),
        ("over", "train", tmp_path / "movie.mp4", *window),
    ]

    class Adapter:
        @staticmethod
        def stimuli(**_):
            return stimuli_table(records)

    monkeypatch.setattr(index_step, "adapter", lambda name: Adapter)
    call = {"dataset": "own", "root": tmp_path, "subjects": [], "options": {}, "out": tmp_path / "stimuli.tsv"}
    with pytest.raises(InputError, match=r"stimuli of own: expected no training clip .*, found 1, first over"):
        index(**call)
    assert not (tmp_path / "stimuli.tsv").exists()
    records.pop()
    index(**call)


@pytest.mark.parametrize("clips", [239, 240])
def test_windows_of_cc2017_never_overlap(tmp_path, clips):
    options = {**studies.CC2017, "train_segments": 18, "test_segments": 5, "clips": clips}
    table = cc2017.stimuli(root=tmp_path, subjects=["1"], options=options)
    for _, movie in table.groupby("path"):
        assert movie["split"].nunique() == 1
        assert (movie["start_seconds"].to_numpy()[1:] >= movie["stop_seconds"].to_numpy()[:-1]).all()


def test_a_study_under_two_names_cannot_train_on_what_one_holds_out(tmp_path):
    paths = []
    for name, split in (("had", ["train", "test"]), ("had-mosaic", ["test", "train"])):
        rows = pd.DataFrame({"stimulus": ["a", "b"], "split": split, "repeat": 1, "run": "1"})
        about = {"dataset": name, "adapter": "had", "subject": "01", "simulated": False, "space": "glasser41"}
        values = np.zeros((2, 3), np.float32)
        paths.append(tmp_path / f"{name}.h5")
        artifacts.write(paths[-1], artifacts.Samples("responses", values, rows, ("vertex",), "z", about))
    assert len(read_cohort(paths[:1], kind="responses", splits=("train",))) == 1
    with pytest.raises(InputError, match="expected every stimulus in train or in test, found 2 in both, such as 'a'"):
        read_cohort(paths, kind="responses", splits=("train",))


def test_pretraining_reads_rest_and_training_rows_only(roots, tmp_path):
    for name in ("hcp", "bmd"):
        responses(name, roots(name), tmp_path / name, {})
    paths = [tmp_path / name / "responses.h5" for name in ("hcp", "bmd")]
    cohort = read_cohort(paths, kind="responses", splits=("train", "rest"))
    assert set(cohort.rows["split"]) == {"train", "rest"}
    assert set(cohort.rows["stimulus"]) == {"rest", "0001", "0002", "0003", "0004"}
