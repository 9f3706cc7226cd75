"""BMD: the pickles as published, read back against what was pickled."""

import json
import pickle
import shutil
import tracemalloc

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
        "betas": "versionB",
        "glm": None,
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


@pytest.mark.parametrize("text", ["[]", "{", "\\xff", '{"0001": ["a", "b"]}'])
def test_annotations_of_another_form_are_refused(bmd, tmp_path, text):
    table = adapter.stimuli(root=bmd[0], subjects=["01"], options=studies.BMD)
    path = tmp_path / "derivatives/stimuli_metadata/annotations.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"annotations\.json: expected "):
        adapter.captions(root=tmp_path, stimuli=table)


@pytest.mark.parametrize("sentences", [None, [], ["only one"], ["six"] * 6, [None, "a", "b", "c", "d"]])
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
        (("betas", ["vid0001"]), "expected an array of betas, found str"),
        (np.zeros((4, 2, 91_282)), r"expected a pair \(betas, stimulus order\), found ndarray"),
        ((np.zeros((4, 3, 10)), ["vid0001"]), r"expected betas of shape \(4, 2, 91282\), found \(4, 3, 10\)"),
        ((np.zeros((4, 2, 91_282), int), ["vid0001"]), "expected floating-point betas, found int64"),
        (
            (np.zeros((4, 2, 91_282)), ["vid0001", "vid0002", "vid0009", "vid0004"]),
            "expected clips vid0001 to vid0004, found no .*0003",
        ),
        *(
            ((np.zeros((4, 2, 91_282)), names), "expected a name for each of 4 clips, found other names")
            for names in (None, [f"vid000{n}" for n in (1, 2, 3, 4, 4)], [f"vid000{n}" for n in (1, 2, 3, 3)])
        ),
    ],
)
def test_a_pickle_of_something_else_is_refused(bmd, tmp_path, content, complaint):
    root, _ = bmd
    copy = shutil.copytree(root / "derivatives", tmp_path / "derivatives").parent
    next(copy.rglob("*task-train_normalized.pkl")).write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=rf"sub-01_organized_betas_task-train_normalized\.pkl: {complaint}"):
        values_of(read(copy))


def _group41(root, folder, *, indices=True):
    """The authors' dict, made from the organised betas; which values it holds, by split."""
    content, betas = {}, {}
    for path in root.rglob("*_organized_betas_*.pkl"):
        split = "train" if "task-train" in path.name else "test"
        betas[split] = pickle.loads(path.read_bytes())[0][:, :, VERTICES] + 1  # unlike those of version B
        content[f"{split}_data_allvoxel"] = betas[split]
        content[f"{split}_noiseceiling_allvoxel"] = np.zeros(len(VERTICES))
    if indices:
        content["roi_indices_hcp"] = VERTICES
    folder.mkdir(parents=True)
    (folder / "Group41_betas-GLMsingle_type-typed_z=1.pkl").write_bytes(pickle.dumps(content, protocol=4))
    return betas


@pytest.mark.parametrize(
    ("place", "indices"),
    [
        ("sub-01", True),
        ("sub-01/prepared_allvoxel_pkl", False),
        ("sub-01/betas-prepared/prepared_allvoxel_pkl", True),
        ("sub01/prepared_allvoxel_pkl", False),
    ],
)
def test_the_authors_dict_of_41_areas_is_read_where_they_have_it(bmd, tmp_path, place, indices):
    betas = _group41(bmd[0], tmp_path / place, indices=indices)
    options = {**studies.BMD, "betas": "group41"}
    files = adapter.response_files(root=tmp_path, subject="01", options=options)
    assert len(files) == 1 and files[0].exists()
    responses = read(tmp_path, betas="group41")
    expected = np.concatenate([betas[split].reshape(-1, len(VERTICES)) for split in ("train", "test")])
    assert np.array_equal(values_of(responses), expected.astype(np.float32), equal_nan=True)
    assert "as published by the authors" in responses.normalisation


def test_fewer_areas_are_found_in_the_dict_by_their_vertices(bmd, tmp_path):
    betas = _group41(bmd[0], tmp_path / "sub-01")
    few = atlas.vertices("glasser14")
    options = {**studies.BMD, "betas": "group41"}
    table = adapter.stimuli(root=tmp_path, subjects=["01"], options=options)
    found = adapter.responses(root=tmp_path, subject="01", stimuli=table, options=options, vertices=few)
    columns = [VERTICES.tolist().index(vertex) for vertex in few[::50]]
    expected = betas["train"].reshape(8, -1)[:, columns].astype(np.float32)
    assert np.array_equal(values_of(found)[:8, ::50], expected, equal_nan=True)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda content: [1], "expected a dict of betas, found list"),
        (lambda content: {}, "expected an array of betas, found NoneType"),
        (
            lambda content: {**content, "test_data_allvoxel": np.zeros((2, 3, 8))},
            r"expected betas of shape \(2, 3, 13156\)",
        ),
        (
            lambda content: {**content, "roi_indices_hcp": VERTICES + 1},
            r"expected the 13,156 vertices asked for, found no \[53,",
        ),
    ],
)
def test_a_dict_of_something_else_is_refused(bmd, tmp_path, change, complaint):
    _group41(bmd[0], tmp_path / "sub-01")
    path = next(tmp_path.rglob("Group41*.pkl"))
    path.write_bytes(pickle.dumps(change(pickle.loads(path.read_bytes()))))
    with pytest.raises(InputError, match=rf"Group41_betas-GLMsingle_type-typed_z=1\.pkl: {complaint}"):
        values_of(read(tmp_path, betas="group41"))


def test_never_more_than_one_full_array_is_in_memory(tmp_path):
    options = {**studies.BMD, "train_clips": 20, "test_clips": 20, "train_repeats": 2, "test_repeats": 2}
    full = 20 * 2 * 91_282 * 8
    for path, first in zip(
        adapter.response_files(root=tmp_path, subject="01", options=options), (1, 1001), strict=True
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        names = [f"vid{number:04d}" for number in range(first, first + 20)]
        path.write_bytes(pickle.dumps((np.zeros((20, 2, 91_282)), names), protocol=4))
    responses = read(tmp_path, **options)
    tracemalloc.start()
    try:
        rows = sum(len(block.values) for block in responses.blocks)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 80
    assert peak < 1.5 * full  # the array, and the block that is handed out


TREES = [
    "stimuli/{split}",
    "derivatives/stimuli_metadata/mp4_h264",
    "derivatives/stimuli_metadata/stimuli",
    "stimuli/mp4_h264",
    "stimuli_bmd/mp4",
    "stimuli",
    "",
]


@pytest.mark.parametrize("form", ["{clip}.mp4", "{clip}/1.jpg"])
@pytest.mark.parametrize("tree", [*TREES, "stimuli/frames", "frames"])
def test_clips_are_found_in_whichever_tree_they_are(tmp_path, tree, form):
    for split, clips in (("train", range(1, 5)), ("test", range(1001, 1003))):
        for clip in clips:
            path = tmp_path / tree.format(split=split) / form.format(clip=f"{clip:04d}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    table = adapter.stimuli(root=tmp_path, subjects=["01"], options=studies.BMD)
    expected = tmp_path / tree.format(split="test") / form.split("/")[0].format(clip="1001")
    assert table["path"][4] == str(expected)
    assert table["stimulus"].tolist() == ["0001", "0002", "0003", "0004", "1001", "1002"]
    assert all(
        path in map(str, adapter.raw_files(root=tmp_path, subjects=[], options=studies.BMD)) for path in table["path"]
    )


def test_a_tree_without_its_first_clip_is_still_that_tree(tmp_path):
    (tmp_path / "mp4_h264").mkdir()
    (tmp_path / "mp4_h264/0004.mp4").touch()
    table = adapter.stimuli(root=tmp_path, subjects=["01"], options=studies.BMD)
    assert table["path"][0] == str(tmp_path / "mp4_h264/0001.mp4")


@pytest.mark.parametrize("place", ["derivatives/stimuli_metadata", "metadata_bmd", "."])
def test_annotations_are_found_where_people_have_them_nested_or_flat(bmd, tmp_path, place):
    source = bmd[0] / "derivatives/stimuli_metadata/annotations.json"
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    shutil.copy(source, tmp_path / place / "annotations.json")
    entries = json.loads(source.read_text())
    assert {type(entries[clip]["objects"][0]) for clip in ("0001", "0002")} == {str, list}
    table = adapter.stimuli(root=bmd[0], subjects=["01"], options=studies.BMD)
    assert len(adapter.captions(root=tmp_path, stimuli=table)) == 30
