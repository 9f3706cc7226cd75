"""BMD: the pickles as published, read back against what was pickled."""

import json
import pickle
import shutil

import numpy as np
import pytest

from brainflix import atlas
from brainflix.datasets import bmd as adapter
from brainflix.errors import InputError
from tests.datasets import studies

VERTICES = atlas.vertices("glasser41")


def read(root, **options):
    options = {**studies.BMD, **options}
    table = adapter.stimuli(root=root, subjects=["01"], options=options)
    return adapter.responses(root=root, subject="01", stimuli=table, options=options, vertices=VERTICES)


def values_of(responses):
    return np.concatenate([block.values for block in responses.blocks])


def test_rows_are_trials_in_the_order_of_their_values(bmd):
    root, betas = bmd
    responses = read(root)
    values = values_of(responses)
    assert values.shape == (4 * 2 + 2 * 3, 13_156) and values.dtype == np.float32
    for i, row in responses.rows.iterrows():
        first = 1 if row["split"] == "train" else 1001
        expected = betas[row["split"]][int(row["stimulus"]) - first, row["repeat"] - 1, VERTICES]
        assert np.array_equal(values[i], expected.astype(np.float32), equal_nan=True)
    assert not responses.by_train_rows


def test_clips_are_found_by_name_not_by_place(bmd, tmp_path):
    root, _ = bmd
    original = values_of(read(root))
    copy = shutil.copytree(root, tmp_path / "copy")
    path = next(copy.rglob("*task-train_normalized.pkl"))
    betas, names = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps((betas[::-1].copy(), names[::-1])))
    assert np.array_equal(values_of(read(copy)), original, equal_nan=True)


def test_stimuli_are_whole_files_with_four_digits(bmd):
    root, _ = bmd
    table = adapter.stimuli(root=root, subjects=["01"], options=studies.BMD)
    assert table["stimulus"].tolist() == ["0001", "0002", "0003", "0004", "1001", "1002"]
    assert table["split"].tolist() == ["train"] * 4 + ["test"] * 2
    assert table["path"][4] == str(root / "stimuli/test/1001.mp4")
    assert table[["start_seconds", "stop_seconds"]].isna().all(axis=None)


def test_the_published_size_has_the_published_names(tmp_path):
    options = {
        "train_clips": 1000,
        "test_clips": 102,
        "train_repeats": 3,
        "test_repeats": 10,
        "nan_share": 0.05,
    }
    table = adapter.stimuli(root=tmp_path, subjects=["01"], options=options)
    assert (table["stimulus"].iloc[0], table["stimulus"].iloc[999]) == ("0001", "1000")
    assert (table["stimulus"].iloc[1000], table["stimulus"].iloc[-1]) == ("1001", "1102")
    files = adapter.response_files(root=tmp_path, subject="10", options=options)
    assert files[0].relative_to(tmp_path).as_posix() == (
        "derivatives/versionB/fsLR32k/GLM/sub-10/prepared_betas/sub-10_organized_betas_task-train_normalized.pkl"
    )


def test_captions_are_the_five_human_sentences(bmd):
    root, _ = bmd
    table = adapter.stimuli(root=root, subjects=["01"], options=studies.BMD)
    captions = adapter.captions(root=root, stimuli=table)
    assert len(captions) == 6 * 5
    assert captions.iloc[7].tolist() == ["0002", 2, "clip 0002, sentence 2", "human"]


@pytest.mark.parametrize("text", ["[]", "{", "\\xff"])
def test_annotations_of_another_form_are_refused(bmd, tmp_path, text):
    table = adapter.stimuli(root=bmd[0], subjects=["01"], options=studies.BMD)
    path = tmp_path / "derivatives/stimuli_metadata/annotations.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"annotations\.json: expected "):
        adapter.captions(root=tmp_path, stimuli=table)


@pytest.mark.parametrize("sentences", [None, [], ["only one"], ["six"] * 6])
def test_other_than_five_captions_are_refused(bmd, tmp_path, sentences):
    root, _ = bmd
    table = adapter.stimuli(root=root, subjects=["01"], options=studies.BMD)
    path = tmp_path / "derivatives/stimuli_metadata/annotations.json"
    path.parent.mkdir(parents=True)
    annotations = json.loads((root / "derivatives/stimuli_metadata/annotations.json").read_text())
    annotations["1001"] = {"text_descriptions": sentences}
    path.write_text(json.dumps(annotations))
    with pytest.raises(InputError, match=r"annotations\.json: expected 5 captions of clip 1001, found"):
        adapter.captions(root=tmp_path, stimuli=table)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (np.zeros((4, 2, 91_282)), r"expected a pair \(betas, stimulus order\), found ndarray"),
        ((np.zeros((4, 3, 10)), ["vid0001"]), r"expected betas of shape \(4, 2, 91282\), found \(4, 3, 10\)"),
        ((np.zeros((4, 2, 91_282), int), ["vid0001"]), "expected floating-point betas, found int64"),
        (
            (np.zeros((4, 2, 91_282)), ["vid0001", "vid0002", "vid0009", "vid0004"]),
            "expected clips vid0001 to vid0004, found no .*0003",
        ),
    ],
)
def test_a_pickle_of_something_else_is_refused(bmd, tmp_path, content, complaint):
    root, _ = bmd
    copy = shutil.copytree(root / "derivatives", tmp_path / "derivatives").parent
    next(copy.rglob("*task-train_normalized.pkl")).write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=rf"sub-01_organized_betas_task-train_normalized\.pkl: {complaint}"):
        values_of(read(copy))
