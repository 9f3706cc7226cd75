"""CC2017: which volume answers which clip, and how it is scaled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from brainflix import atlas
from brainflix.datasets import cc2017 as adapter
from brainflix.errors import InputError
from tests.datasets import raw, studies

VERTICES = atlas.vertices("glasser41")
PUBLISHED = {
    **studies.CC2017,
    "train_segments": 18,
    "test_segments": 5,
    "train_repeats": 2,
    "test_repeats": 10,
}


def read(root, subject="1", **options):
    options = {**studies.CC2017, **options}
    table = adapter.stimuli(root=root, subjects=[subject], options=options)
    return adapter.responses(root=root, subject=subject, stimuli=table, options=options, vertices=VERTICES)


def values_of(responses):
    return np.concatenate([block.values for block in responses.blocks])


def test_clip_k_is_volume_k_plus_1_of_245_and_k_plus_2_of_246(cc2017):
    root, series = cc2017
    responses = read(root)
    values = values_of(responses)
    assert len(values) == 3 * 240
    for i, row in responses.rows.iloc[::37].iterrows():
        movie, clip = adapter.parse_clip_name(row["stimulus"])
        volume = clip + (2 if movie == "test2" else 1)
        assert np.array_equal(values[i], series[movie][volume, VERTICES])
    assert responses.by_train_rows


def test_the_mapping_is_the_official_trimming():
    assert np.array_equal(adapter.volumes_of_clips(245, clips=range(240)), np.arange(245)[1:-4])
    assert np.array_equal(adapter.volumes_of_clips(246, clips=range(240)), np.arange(246)[2:-4])


def test_the_authors_clips_are_4302_and_1199_the_fields_4320_and_1200(tmp_path):
    for clips, expected in ((239, (4302, 1199)), (240, (4320, 1200))):
        table = adapter.stimuli(root=tmp_path, subjects=["1"], options={**PUBLISHED, "clips": clips})
        assert ((table["split"] == "train").sum(), (table["split"] == "test").sum()) == expected


def test_the_authors_clips_have_the_same_volumes(cc2017):
    root, _ = cc2017
    some, every = read(root, clips=239), read(root)
    assert some.rows["stimulus"][0] == "seg1_begin-002_end-004"
    kept = every.rows["stimulus"].isin(some.rows["stimulus"]).to_numpy()
    assert np.array_equal(values_of(some), values_of(every)[kept])


def test_the_papers_scaling_is_over_the_clips_of_a_run(cc2017):
    root, series = cc2017
    values = values_of(read(root, normalisation="paper"))
    expected = stats.zscore(series["test2"][2:242, VERTICES[1:]].astype(float), axis=0, ddof=1)
    assert np.allclose(values[480:, 1:], expected, atol=1e-5)
    assert np.isnan(values[:, 0]).all()  # vertex 53 is constant


def test_the_official_scaling_detrends_the_240_volumes(cc2017):
    root, series = cc2017
    values = values_of(read(root, normalisation="official", clips=239))
    data = series["seg1"][1:241, VERTICES[1:]].astype(float)
    time = np.arange(240)
    fitted = np.stack([np.polyval(np.polyfit(time, data[:, i], 4), time) for i in range(200)], axis=1)
    expected = stats.zscore(data[:, :200] - fitted, axis=0, ddof=1)
    assert np.allclose(values[:239, 1:201], expected[1:], atol=1e-4)


def test_the_late_run_of_subject_3_is_volume_k_plus_7(tmp_path):
    options = {**PUBLISHED, "train_segments": 1}
    table = adapter.stimuli(root=tmp_path, subjects=["3"], options=options)
    kwargs = {"root": tmp_path, "stimuli": table, "options": options, "vertices": VERTICES}
    rows = adapter.responses(subject="3", **kwargs).rows
    late = rows[rows["run"] == "test2_9"]["stimulus"].tolist()
    assert late == [adapter.clip_name("test2", clip) for clip in range(235)]
    assert (rows["run"] == "test2_8").sum() == 240
    assert (adapter.responses(subject="2", **kwargs).rows["run"] == "test2_9").sum() == 240
    data = np.random.default_rng(0).integers(900, 1100, (246, 91_282), dtype=np.int16)
    path = tmp_path / "video_fmri_dataset/subject3/fmri/test2/cifti/test2_9_Atlas.dtseries.nii"
    raw.write_series(path, data, step_seconds=2.0)
    run = adapter.Run("test2", "test", 9, path)
    block = adapter._block(run, "3", adapter.Options(**options), VERTICES)
    assert np.array_equal(block.values, data[7:242, VERTICES])


@pytest.mark.parametrize("volumes", [244, 247])
def test_any_other_number_of_volumes_is_refused(tmp_path, volumes):
    path = tmp_path / "video_fmri_dataset/subject1/fmri/seg1/cifti/seg1_1_Atlas.dtseries.nii"
    raw.write_series(path, np.zeros((volumes, 91_282), np.int16), step_seconds=2.0)
    with pytest.raises(InputError, match=f"seg1_1_Atlas.dtseries.nii: expected 245 or 246 volumes, found {volumes}"):
        values_of(read(tmp_path))


def test_another_repetition_time_is_refused(tmp_path):
    path = tmp_path / "video_fmri_dataset/subject1/fmri/seg1/cifti/seg1_1_Atlas.dtseries.nii"
    raw.write_series(path, np.zeros((245, 91_282), np.int16), step_seconds=1.0)
    with pytest.raises(InputError, match=r"seg1_1_Atlas.dtseries.nii: expected a repetition time of 2 s"):
        values_of(read(tmp_path))


@given(
    kind=st.sampled_from(["seg", "test"]),
    number=st.integers(1, 18),
    clip=st.integers(0, 239),
    padded=st.booleans(),
)
def test_clip_names_come_back_padded_or_not(kind, number, clip, padded):
    name = adapter.clip_name(f"{kind}{number}", clip)
    if not padded:
        name = f"{kind}{number}_begin-{2 * clip}_end-{2 * clip + 2}"
    assert adapter.parse_clip_name(name) == (f"{kind}{number}", clip)


@given(text=st.one_of(st.text(), st.from_regex(r"(seg|test)\d+_begin-\d+_end-\d+")))
def test_any_other_name_is_refused_or_means_itself(text):
    try:
        movie, clip = adapter.parse_clip_name(text)
    except InputError:
        return
    begin, end = text.removeprefix(f"{movie}_begin-").split("_end-")
    assert (int(begin), int(end)) == (2 * clip, 2 * clip + 2) and 0 <= clip < 240


def test_names_are_those_of_the_published_tree(tmp_path):
    files = adapter.response_files(root=tmp_path, subject="2", options=PUBLISHED)
    names = [file.relative_to(tmp_path).as_posix() for file in files]
    assert len(names) == 18 * 2 + 5 * 10
    assert names[0] == "video_fmri_dataset/subject2/fmri/seg1/cifti/seg1_1_Atlas.dtseries.nii"
    assert names[-1] == "video_fmri_dataset/subject2/fmri/test5/cifti/test5_10_Atlas.dtseries.nii"
