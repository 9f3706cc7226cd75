"""HCP: names of both releases, windows of volumes, short runs."""

import numpy as np
import pytest
from scipy import stats

from brainflix import atlas
from brainflix.datasets import hcp as adapter
from brainflix.errors import InputError
from tests.datasets import raw, studies

VERTICES = atlas.vertices("glasser41")


def read(root, **options):
    options = {**studies.HCP, **options}
    table = adapter.stimuli(root=root, subjects=["100307"], options=options)
    return adapter.responses(root=root, subject="100307", stimuli=table, options=options, vertices=VERTICES)


def test_rows_are_means_of_ten_volumes_of_the_scaled_run(hcp):
    root, series = hcp
    responses = read(root)
    blocks = list(responses.blocks)
    assert [len(block.values) for block in blocks] == [2, 3]  # 25 and 31 volumes
    for block, data in zip(blocks, series.values(), strict=True):
        scaled = stats.zscore(data[:, VERTICES].astype(float), axis=0)
        for window, row in enumerate(block.values):
            assert np.allclose(row, scaled[10 * window : 10 * window + 10].mean(axis=0), atol=1e-5)
    assert responses.rows["run"].tolist() == ["100307/REST1_LR"] * 2 + ["100307/REST2_RL"] * 3
    assert responses.rows["repeat"].tolist() == [1, 2, 1, 2, 3]
    assert set(responses.rows["split"]) == {"rest"}


def test_a_published_run_gives_120_rows():
    assert adapter.windows(np.random.default_rng(0).random((3, 1200)), window=10).shape == (3, 120)


def test_every_published_name_is_found_newest_first(tmp_path):
    def file(name):
        folder = tmp_path / "1/MNINonLinear/Results/rfMRI_REST1_LR"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"rfMRI_REST1_LR_{name}.dtseries.nii"

    ask = {"root": tmp_path, "subject": "1", "options": {**studies.HCP, "runs": ["REST1_LR"]}}
    assert adapter.response_files(**ask) == [file("Atlas_MSMAll_hp2000_clean")]
    for name in (
        "Atlas_hp2000_clean",
        "Atlas_MSMAll_hp2000_clean",
        "Atlas_MSMAll_hp2000_clean_rclean_tclean",
    ):
        file(name).touch()
        assert adapter.response_files(**ask) == [file(name)]


def test_a_run_shorter_than_a_window_is_refused(hcp):
    root, _ = hcp
    with pytest.raises(InputError, match=r"REST1_LR_.*\.nii: expected at least 30 volumes, found 25"):
        read(root, window_volumes=30)


def test_another_repetition_time_is_refused(tmp_path):
    folder = tmp_path / "100307/MNINonLinear/Results/rfMRI_REST1_LR"
    path = folder / "rfMRI_REST1_LR_Atlas_MSMAll_hp2000_clean.dtseries.nii"
    raw.write_series(path, np.zeros((20, 91_282), np.float32), step_seconds=1.0)
    with pytest.raises(InputError, match=r"expected a repetition time of 0\.72 s, found 1\.0 s"):
        read(tmp_path, runs=["REST1_LR"])
