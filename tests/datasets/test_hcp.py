"""HCP: names of both releases, windows of volumes and of seconds, runs that are short or not there."""

import gzip
import os
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from brainflix import atlas, datasets
from brainflix.datasets import hcp as adapter
from brainflix.errors import InputError
from brainflix.settings import build
from tests.datasets import raw, studies

VERTICES = atlas.vertices("glasser41")
SUBJECT = "100307"


def options(**changes):
    return {**studies.HCP, **changes}


def read(root, **changes):
    return adapter.responses(root=root, subject=SUBJECT, stimuli=None, options=options(**changes), vertices=VERTICES)


def edges(volumes, **changes):
    return build(adapter.Options, options(**changes), where="options").edges(volumes)


def name(root, run, middle="Atlas_MSMAll_hp2000_clean"):
    return root / SUBJECT / f"MNINonLinear/Results/rfMRI_{run}" / f"rfMRI_{run}_{middle}.dtseries.nii"


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
    assert responses.skipped == ()


def test_volumes_and_signal_to_noise_of_a_run_are_told(hcp):
    root, series = hcp
    for block, data in zip(read(root).blocks, series.values(), strict=True):
        wanted = data[:, VERTICES].astype(float)
        assert block.volumes == len(data)
        assert block.tsnr == pytest.approx(np.median(wanted.mean(axis=0) / wanted.std(axis=0)))


def test_a_published_run_gives_120_rows():
    assert len(edges(1200)) == 121
    means, ratio = adapter.windows(np.random.default_rng(0).random((3, 1200)), edges(1200))
    assert means.shape == (3, 120) and ratio.shape == (3,)


def test_windows_of_seconds_go_by_the_true_repetition_time(hcp):
    root, series = hcp
    responses = read(root, runs=["REST2_RL"], window_volumes=None, window_seconds=8.0)
    (block,) = responses.blocks
    scaled = stats.zscore(series["REST2_RL"][:, VERTICES].astype(float), axis=0)
    windows = np.arange(31) * 0.72 // 8  # which window each of the 31 volumes begins in
    assert np.allclose(block.values, [scaled[windows == k].mean(axis=0) for k in (0, 1)], atol=1e-5)
    assert responses.normalisation == "z per run and vertex, then means of 8 s"
    assert len(edges(1200, window_volumes=None, window_seconds=8.0)) - 1 == 108  # 864 s


@given(st.integers(0, 3000), st.floats(0.72, 60))
def test_windows_of_seconds_hold_the_volumes_that_begin_in_them(volumes, seconds):
    found = edges(volumes, window_volumes=None, window_seconds=seconds)
    assert found[0] == 0 and found[-1] <= volumes and (np.diff(found) >= 1).all()
    whole = volumes * 0.72 / seconds
    assert abs(len(found) - 1 - whole) <= 1 and len(found) - 1 <= whole + 1e-6
    starts = np.arange(volumes) * 0.72
    for k, (a, b) in enumerate(pairwise(found)):
        assert (starts[a:b] >= k * seconds - 1e-6).all() and (starts[a:b] < (k + 1) * seconds + 1e-6).all()


@pytest.mark.parametrize("window", [(None, None), (10, 8.0), (None, 0.5), (None, -1.0), (0, None)])
def test_a_window_is_volumes_or_seconds_of_at_least_one_volume(window):
    with pytest.raises(InputError, match="window_"):
        edges(1200, window_volumes=window[0], window_seconds=window[1])


def test_every_published_name_is_found_newest_first(tmp_path):
    ask = {"root": tmp_path, "subject": SUBJECT, "options": options(runs=["REST1_LR"])}
    assert adapter.response_files(**ask) == [name(tmp_path, "REST1_LR")]
    for matching, release in product(("", "MSMAll_"), ("", "_rclean_tclean")):
        middle = f"Atlas_{matching}hp2000_clean{release}"
        path = name(tmp_path, "REST1_LR", middle)
        compressed = Path(f"{path}.gz")
        path.parent.mkdir(parents=True, exist_ok=True)
        compressed.touch()
        assert adapter.response_files(**ask) == [compressed]
        path.touch()
        assert adapter.response_files(**ask) == [path]


def test_a_compressed_run_reads_the_same(hcp, tmp_path):
    root, _ = hcp
    for path in root.rglob("*.nii"):
        target = tmp_path / f"{path.relative_to(root)}.gz"
        target.parent.mkdir(parents=True)
        target.write_bytes(gzip.compress(path.read_bytes(), 1))
    for plain, compressed in zip(read(root).blocks, read(tmp_path).blocks, strict=True):
        assert np.array_equal(plain.values, compressed.values) and plain.tsnr == compressed.tsnr


def test_a_run_that_is_not_there_is_skipped_with_its_name(hcp):
    root, _ = hcp
    responses = read(root, runs=["REST1_LR", "REST1_RL", "REST2_RL"])
    assert responses.rows["run"].nunique() == 2
    (skipped,) = responses.skipped
    assert (skipped.run, skipped.volumes, skipped.reason) == ("100307/REST1_RL", None, "no such file")
    assert skipped.source == name(root, "REST1_RL")
    ask = {"root": root, "subject": SUBJECT, "options": options(runs=["REST1_LR", "REST1_RL"])}
    assert [path.parent.name for path in adapter.response_files(**ask)] == ["rfMRI_REST1_LR"]
    assert adapter.absent_files(**ask) == [skipped.source]


def test_a_run_shorter_than_a_window_is_skipped(hcp):
    root, _ = hcp
    responses = read(root, window_volumes=30)
    assert responses.rows["run"].tolist() == ["100307/REST2_RL"]
    (skipped,) = responses.skipped
    assert (skipped.run, skipped.volumes) == ("100307/REST1_LR", 25)
    assert skipped.reason == "25 volumes, shorter than a window of 30 volumes"


def test_a_subject_without_any_usable_run_is_refused(hcp, tmp_path):
    root, _ = hcp
    complaint = r"100307: expected a run of at least 40 volumes, found 100307/REST1_LR: 25 volumes, .*REST2_RL: 31 vol"
    with pytest.raises(InputError, match=complaint):
        read(root, window_volumes=40)
    with pytest.raises(InputError, match=r"100307: expected a run .* found 100307/REST1_LR: no such file; "):
        read(tmp_path)


def test_a_subject_without_any_run_is_missed_before_anything_runs(hcp, tmp_path):
    root, _ = hcp
    assert datasets.what_is_missing("hcp", root, [SUBJECT], options(runs=["REST1_LR", "REST1_RL"])) is None
    sentence = datasets.what_is_missing("hcp", tmp_path, [SUBJECT], options(runs=["REST1_LR", "REST1_RL"]))
    assert f"found 2 of its 2 files missing: {name(Path(), 'REST1_LR')}, " in sentence


def test_another_repetition_time_is_refused(tmp_path):
    raw.write_series(name(tmp_path, "REST1_LR"), np.zeros((20, 91_282), np.float32), step_seconds=1.0)
    with pytest.raises(InputError, match=r"expected a repetition time of 0\.72 s, found 1\.0 s"):
        read(tmp_path, runs=["REST1_LR"])


def test_links_to_nothing_and_in_circles_are_damage_not_missing_runs(hcp, tmp_path):
    root, _ = hcp
    runs = ["REST1_LR", "REST1_RL"]
    whole, broken = (name(tmp_path, run) for run in runs)
    for path, target in ((whole, name(root, "REST1_LR")), (broken, tmp_path / "nowhere.nii")):
        path.parent.mkdir(parents=True)
        path.symlink_to(target)
    assert adapter.response_files(root=tmp_path, subject=SUBJECT, options=options(runs=runs)) == [whole, broken]
    with pytest.raises(InputError, match=r"REST1_RL_.*\.nii: expected a readable CIFTI-2 file, found No such file"):
        read(tmp_path, runs=runs)
    broken.unlink()
    broken.symlink_to(broken)
    with pytest.raises(InputError, match=r"REST1_RL_.*\.nii: expected a readable CIFTI-2 file, found Too many levels"):
        read(tmp_path, runs=runs)
    (tmp_path / "100408").symlink_to(tmp_path / "100408")
    with pytest.raises(InputError, match=r"100408/.*: expected a file or none, found Too many levels of symbolic link"):
        adapter.response_files(root=tmp_path, subject="100408", options=studies.HCP)


def test_a_folder_that_may_not_be_entered_is_no_missing_run(hcp, monkeypatch):
    root, _ = hcp

    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "lstat", refuse)  # a test may run as root, whom permissions do not stop
    with pytest.raises(InputError, match=r"REST1_LR.*: expected a file or none, found Permission denied"):
        read(root)


def test_names_are_asked_for_one_by_one_and_no_folder_is_listed(hcp, monkeypatch):
    root, _ = hcp
    for listing in ("listdir", "scandir", "walk"):
        monkeypatch.setattr(os, listing, lambda *_: pytest.fail("listed a folder"))
    assert len(adapter.response_files(root=root, subject=SUBJECT, options=studies.HCP)) == 2
    assert len(read(root).rows) == 5
