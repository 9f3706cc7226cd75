"""MOSAIC: trials of one HDF5 file, by name; BMD's clips by annotation, HAD's by their own names."""

import json
import shutil

import h5py
import numpy as np
import pytest

from brainflix import atlas
from brainflix.datasets import mosaic as adapter
from brainflix.errors import InputError
from tests.datasets import studies

VERTICES = atlas.vertices("glasser41")
OPTIONS = studies.MOSAIC
FILE = "sub-01_BMD.hdf5"


def table(root, **options):
    return adapter.stimuli(root=root, subjects=["01"], options={**OPTIONS, **options})


def read(root, **options):
    stimuli = table(root, **options)
    options = {**OPTIONS, **options}
    return adapter.responses(root=root, subject="01", stimuli=stimuli, options=options, vertices=VERTICES)


@pytest.fixture
def copy(mosaic, tmp_path):
    return shutil.copytree(mosaic[0], tmp_path / "mosaic")


def test_every_trial_is_a_row_in_the_order_of_the_file(mosaic):
    root, written = mosaic
    responses = read(root)
    rows = list(responses.rows[["stimulus", "repeat"]].itertuples(index=False, name=None))
    assert rows == list(written)
    assert responses.rows["split"].tolist() == ["test"] * 4 + ["train"] * 5
    values = np.concatenate([block.values for block in responses.blocks])
    expected = np.stack([values[VERTICES] for values in written.values()])
    expected[~np.isfinite(expected)] = np.nan
    assert values.dtype == np.float32
    assert np.array_equal(values, expected.astype(np.float32), equal_nan=True)
    assert np.isnan(values).sum() == 2 * len(rows), "53 and 60 lie in V1"


def test_clips_are_those_of_the_study_with_its_captions(mosaic):
    root, _ = mosaic
    stimuli = table(root)
    assert dict(zip(stimuli["stimulus"], stimuli["split"], strict=True)) == {
        "0001": "train",
        "0002": "train",
        "0003": "train",
        "1001": "test",
        "1002": "test",
    }
    assert stimuli["path"][0] == str(root / "stimuli/train/0001.mp4")
    captions = adapter.captions(root=root, stimuli=stimuli)
    assert len(captions) == 25 and captions["caption"][24] == "clip 1002, 4"


def test_mosaics_own_folder_of_stimuli_has_the_original_names(copy):
    (copy / "stimuli/raw").mkdir()
    assert table(copy)["path"][0] == str(copy / "stimuli/raw/yt-b_x_12.mp4")


@pytest.mark.parametrize(
    "name",
    [
        "sub-01_BMD_crc32-0a1b2c3d.hdf5",
        "hdf5_files/single_subject/sub-01_BMD.hdf5",
        "fMRIPrepv23_2_0/task_fMRI/betas/GLMsinglev1_2/BOLDMomentsDataset/sub-01_BMD.hdf5",
    ],
)
def test_the_file_is_found_where_people_have_it(copy, name):
    target = copy / name
    target.parent.mkdir(parents=True, exist_ok=True)
    (copy / FILE).rename(target)
    ask = {"root": copy, "subject": "01", "options": OPTIONS}
    assert adapter.response_files(**ask)[0] == target and len(read(copy).rows) == 9


def test_what_the_attribute_calls_no_number_is_none(copy):
    with h5py.File(copy / FILE, "r+") as file:
        trial = file["betas"][next(iter(file["betas"]))]
        trial[53] = 7.0
    assert np.isnan(next(iter(read(copy).blocks)).values[0, 0])


def had_file(root, names):
    with h5py.File(root / "sub-01_HAD.hdf5", "w") as file:
        betas = file.create_group("betas", track_order=True)
        for stem, split in names:
            values = np.zeros(91_282)
            betas.create_dataset(f"sub-01_HAD_stimulus-{stem}_phase-{split}_rep-0", data=values)


def test_clips_of_had_lie_below_their_action_and_may_overlap(tmp_path):
    near, test = "v_Tai chi_id_a_id_b_start_10.0_label_1", "v_Tai chi_id_a_id_b_start_11.5_label_1"
    far = "v_Rock-paper-scissors_id_-x_start_1.0_label_1"
    had_file(tmp_path, [(test, "test"), (near, "train"), (far, "train")])
    options = {"study": "HAD", "train_trials": 2, "test_trials": 1}
    stimuli = table(tmp_path, **options)
    assert stimuli["split"].tolist() == ["test", "overlap", "train"]
    assert stimuli["path"].tolist()[1:] == [
        str(tmp_path / "stimuli/Tai chi" / f"{near}.mp4"),
        str(tmp_path / "stimuli/Rock-paper-scissors" / f"{far}.mp4"),
    ]
    assert adapter.captions(root=tmp_path, stimuli=stimuli) is None
    assert read(tmp_path, **options).rows["split"].tolist() == ["test", "overlap", "train"]


def rename(old, new):
    def damage(file):
        key = next(key for key in file["betas"] if old in key)
        file["betas"].move(key, key.replace(old, new))

    return damage


def shorten(file):
    key = next(iter(file["betas"]))
    del file["betas"][key]
    file["betas"][key] = np.zeros(59_412)


def replace(make):
    def damage(file):
        key = next(iter(file["betas"]))
        del file["betas"][key]
        make(file["betas"], key)

    return damage


def attribute(value):
    return lambda file: next(iter(file["betas"].values())).attrs.__setitem__("nan_indices", value)


def no_group(file):
    del file["betas"]
    file["betas"] = np.zeros(3)


DAMAGES = {
    "betas that are no group": (no_group, "expected a group betas, found betas, nan_indices_all"),
    "a trial that is a group": (replace(lambda betas, key: betas.create_group(key)), "found something else"),
    "a link to nothing": (replace(lambda b, key: b.__setitem__(key, h5py.SoftLink("/none"))), "found something else"),
    "a link to no file": (replace(lambda b, key: b.__setitem__(key, h5py.ExternalLink("no", "/"))), "something else"),
    "a vertex too far": (attribute(np.array([91_282])), "expected a readable trial with nan_indices, found index"),
    "words for vertices": (attribute("none"), "expected a readable trial with nan_indices, found invalid"),
    "another subject": (rename("sub-01", "sub-02"), "names such as sub-01_BMD_stimulus-"),
    "another study": (rename("_BMD_", "_NSD_"), "names such as sub-01_BMD_stimulus-"),
    "no repeat": (rename("_rep-0", ""), "names such as sub-01_BMD_stimulus-"),
    "a trial less": (lambda file: file["betas"].pop(next(iter(file["betas"]))), "expected 4 test trials, found 3"),
    "no betas": (lambda file: file.pop("betas"), "expected a group betas, found nan_indices_all"),
    "an unknown clip": (rename("giphy-9", "giphy-8"), "expected every clip of the trials, found no giphy-8"),
    "both splits": (rename("vine_7_phase-test", "vine_7_phase-train"), "expected 5 train trials, found 6"),
    "cortex alone": (shorten, r"floats of shape \(91282,\), found float64 \(59412,\)"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_file_that_is_not_what_it_says_is_refused_by_name(case, copy):
    damage, sentence = DAMAGES[case]
    with h5py.File(copy / FILE, "r+") as file:
        damage(file)
    with pytest.raises(InputError, match=sentence):
        list(read(copy).blocks)


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n"])
def test_something_else_is_refused_by_name(copy, content):
    (copy / FILE).write_bytes(content)
    with pytest.raises(InputError, match=r"sub-01_BMD\.hdf5: expected a subject's file of MOSAIC"):
        table(copy)


def test_a_truncated_file_is_refused_by_name(copy):
    content = (copy / FILE).read_bytes()
    (copy / FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"sub-01_BMD\.hdf5: expected .* found .*truncated"):
        table(copy)


@pytest.mark.parametrize("content", ["{}", "[]", '{"0001": {}}', '{"0001": 3}'])
def test_annotations_without_names_are_refused(copy, content):
    (copy / "derivatives/stimuli_metadata/annotations.json").write_text(content)
    with pytest.raises(InputError, match=r"annotations\.json: expected"):
        table(copy)


def test_a_clip_that_one_trains_on_and_another_is_tested_on_is_refused(copy):
    shutil.copy(copy / FILE, copy / "sub-02_BMD.hdf5")
    with h5py.File(copy / "sub-02_BMD.hdf5", "r+") as file:
        for key in list(file["betas"]):
            new = key.replace("sub-01", "sub-02").replace("vine_7_phase-test", "vine_7_phase-train")
            file["betas"].move(key, new.replace("yt-a_rep-1_phase-train", "yt-a_rep-1_phase-test"))
    with pytest.raises(InputError, match=r"sub-02_BMD\.hdf5: expected vine_7 in split test, found train"):
        adapter.stimuli(root=copy, subjects=["01", "02"], options=OPTIONS)


def test_json_of_the_annotations_needs_no_more_than_names(copy):
    path = copy / "derivatives/stimuli_metadata/annotations.json"
    entries = {clip: {"MiT_filename": entry["MiT_filename"]} for clip, entry in json.loads(path.read_text()).items()}
    path.write_text(json.dumps(entries))
    assert len(read(copy).rows) == 9
