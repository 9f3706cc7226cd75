"""The simulated CC2017 tree, file by file, against what is known of the Purdue release."""

import av
import nibabel as nib
import numpy as np
import pytest

from brainflix import artifacts, atlas
from brainflix.phantom.layouts import cc2017

VOLUMES = {"seg1": 245, "test1": 245, "test2": 246}


@pytest.fixture(scope="module")
def root(phantom_root):
    return phantom_root("cc2017")


def series(root, name, repeat):
    return root / f"video_fmri_dataset/subject1/fmri/{name}/cifti/{name}_{repeat}_Atlas.dtseries.nii"


def test_the_tree_has_films_and_one_series_per_showing(root):
    found = {str(p.relative_to(root / "video_fmri_dataset")) for p in root.rglob("*.*") if p.suffix in (".mp4", ".nii")}
    runs = [("seg1", 1), ("seg1", 2), ("test1", 1), ("test2", 1)]
    expected = {f"stimuli/{name}.mp4" for name in VOLUMES}
    assert found == expected | {f"subject1/fmri/{n}/cifti/{n}_{r}_Atlas.dtseries.nii" for n, r in runs}


def test_films_last_480_seconds_at_30_frames_a_second(root):
    for name in VOLUMES:
        with av.open(str(root / "video_fmri_dataset" / "stimuli" / f"{name}.mp4")) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.average_rate) == ("h264", 30)
            assert "simulated" in container.metadata["title"]
            assert sum(packet.size > 0 for packet in container.demux(stream)) == 14_400


@pytest.mark.parametrize(("name", "volumes"), VOLUMES.items())
def test_recordings_have_245_or_246_volumes_of_two_seconds(root, name, volumes):
    image = nib.load(series(root, name, 1))
    assert image.shape == (volumes, 91_282) and image.get_data_dtype() == np.float32
    assert image.header.get_axis(0).step == 2.0
    assert b"simulated" in image.nifti_header["descrip"].item()


@pytest.mark.parametrize(("name", "offset"), [("seg1", 1), ("test1", 1), ("test2", 2)])
def test_clips_go_with_the_published_volume(root, name, offset):
    """True tuning applied to the clip's features follows volume k + offset better than its neighbours."""
    features = artifacts.read(root / "phantom" / "features.h5", kind="features")
    clips = features.values[features.rows["stimulus"].str.startswith(f"{name}_").to_numpy()]
    assert len(clips) == 240
    truth, _ = artifacts.load_weights(root / "phantom" / "truth-sub-1.safetensors", kind="phantom-truth")
    v1 = atlas.vertices("glasser41")[atlas.roi_slices("glasser41")["V1"]][::5]
    expected = clips @ truth["tuning"][v1].astype(np.float32).T
    values = np.asanyarray(nib.load(series(root, name, 1)).dataobj)[:, v1]
    match = [
        np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(expected.T, values[lag : lag + 240].T, strict=True)])
        for lag in range(5)
    ]
    assert int(np.argmax(match)) == offset


def test_two_showings_agree_as_well_as_the_truth_says(root):
    truth, _ = artifacts.load_weights(root / "phantom" / "truth-sub-1.safetensors", kind="phantom-truth")
    index = atlas.vertices("glasser41")
    a, b = (np.asanyarray(nib.load(series(root, "seg1", r)).dataobj)[:, index] for r in (1, 2))
    a, b = ((x - x.mean(axis=0)) / x.std(axis=0) for x in (a, b))
    found, true = (a * b).mean(axis=0), truth["reliability_seg"][index]
    assert np.corrcoef(found, true)[0, 1] > 0.7
    assert np.polyfit(true, found, 1)[0] == pytest.approx(1, abs=0.2)


def test_the_lagging_recording_is_five_volumes_late():
    late, usual = cc2017.volume_stamps("test2", lag_seconds=cc2017.LAG_SECONDS), cc2017.volume_stamps("test2")
    assert cc2017.LAGGING_RUN == ("3", "test2", 9)
    assert (late[7:242] == usual[2:237]).all()


def test_recordings_end_with_the_trailing_still():
    for name, volumes, begins in (("seg1", 245, 2), ("test2", 246, 0)):
        stamps = cc2017.volume_stamps(name)
        assert len(stamps) == volumes and stamps[0] - 2 == begins and stamps[-1] == 492


def test_films_are_cut_into_shots_of_four_to_twelve_seconds():
    shots = cc2017.film(np.random.default_rng(0))
    lengths = np.array([shot.tenths for shot in shots]) / 10
    assert lengths.sum() == pytest.approx(480) and lengths.min() >= 4 and lengths.max() <= 12
