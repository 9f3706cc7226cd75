"""*Big Buck Bunny* (Blender Foundation, CC BY 3.0) as a movie of CC2017: clips of 2 s cut by time stamps."""

import json
import tarfile
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
import pytest
import yaml

from brainflix import artifacts
from brainflix.datasets import cc2017, video
from brainflix.datasets.truth import true_frames
from brainflix.errors import InputError
from brainflix.steps.check import check
from brainflix.steps.index import index
from tests.real.downloads import fetch

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SHA256 = "c80cb56815ece94e5e3e2d361aa40070eeb30a09d23a24c4e684d03e16deacb1"
MOVIE = "resources/bbb.mp4"
FPS, FRAMES, PIXELS = 24, 15, 128
OPTIONS = {
    "train_segments": 1, "test_segments": 1, "train_repeats": 1, "test_repeats": 1, "clips": 240,
    "normalisation": "train", "nan_share": 0.05,
}  # fmt: skip
CLIPS = ["seg1_begin-010_end-012", "seg1_begin-012_end-014", "seg1_begin-062_end-064", "seg1_begin-478_end-480"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root of CC2017 whose seg1 and test1 are the film; it runs 596.5 s, of which a study uses 480."""
    archive = fetch("moviepy==2.2.1", tmp_path_factory.mktemp("moviepy"), sha256=SHA256, source=True)
    with tarfile.open(archive) as outer:
        (inner,) = (member for member in outer if member.name.endswith("moviepy_10_minutes.zip"))
        content = outer.extractfile(inner).read()
    folder = tmp_path_factory.mktemp("cc2017")
    stimuli = folder / "video_fmri_dataset/stimuli"
    stimuli.mkdir(parents=True)
    with ZipFile(BytesIO(content)) as zipped:
        (name,) = (name for name in zipped.namelist() if name.endswith(MOVIE))
        (stimuli / "seg1.mp4").write_bytes(zipped.read(name))
    (stimuli / "test1.mp4").hardlink_to(stimuli / "seg1.mp4")
    return folder


@pytest.fixture(scope="module")
def table(root, tmp_path_factory):
    path = tmp_path_factory.mktemp("results") / "stimuli.tsv"
    index(dataset="cc2017", root=root, subjects=["1"], options=OPTIONS, out=path)
    return path


@pytest.fixture(scope="module")
def frames(table):
    """Frames of some clips, by name: uint8 (15, 128, 128, 3). Two neighbours share a pass, the others are sought."""
    passes = [CLIPS[:2], CLIPS[2:3], CLIPS[3:]]
    return {
        names[place]: clip for names in passes for place, clip in true_frames(table, names, count=FRAMES, pixels=PIXELS)
    }


def by_opencv(path, numbers):
    """Frames by their number from the beginning of the film, counted by another decoder: no seeking, no clocks."""
    capture, found = cv2.VideoCapture(str(path)), {}
    for number in range(max(numbers) + 1):
        assert capture.grab()
        if number in numbers:
            picture = cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
            found[number] = cv2.resize(picture, (PIXELS, PIXELS), interpolation=cv2.INTER_AREA)
    return found


def test_check_finds_the_movies_right_and_misses_the_scans(root, tmp_path, capsys):
    overlay = tmp_path / "overlay.yaml"
    entry = {"root": str(root), "subjects": ["1"], "evaluate": ["1"], "options": OPTIONS}
    overlay.write_text(yaml.safe_dump({"datasets": {"cc2017": entry}}))
    with pytest.raises(InputError):
        check(configfile=[overlay], only=["cc2017"], json=True, paper=ROOT / "config/paper.yaml")
    report = json.loads(capsys.readouterr().out)["datasets"]["cc2017"]
    assert report["problems"] == [] and report["found"] == {"stimuli": 2} and report["movies_known"]
    assert [Path(name).name for name in report["missing"]] == [
        "seg1_1_Atlas.dtseries.nii",
        "test1_1_Atlas.dtseries.nii",
    ]


def test_a_movie_is_240_clips_of_two_seconds(table):
    rows = artifacts.read_table(table, columns=["stimulus", "start_seconds", "stop_seconds"])
    seg1 = rows[rows["stimulus"].str.startswith("seg1")]
    assert len(seg1) == cc2017.CLIPS_PER_MOVIE
    assert (seg1["stop_seconds"] - seg1["start_seconds"] == 2).all() and seg1["stop_seconds"].max() == 480


def test_frames_are_those_that_another_decoder_counts_to(root, frames):
    """Of 48 frames of a clip, 15 spread evenly, first and last included; compared up to 64 s into the film."""
    chosen = np.linspace(0, 2 * FPS - 1, FRAMES).astype(int)
    firsts = {name: cc2017.parse_clip_name(name)[1] * 2 * FPS for name in CLIPS[:3]}
    numbers = {first + int(i) + step for first in firsts.values() for i in chosen for step in (-1, 0, 1)}
    reference = by_opencv(root / "video_fmri_dataset/stimuli/seg1.mp4", numbers)
    for name, first in firsts.items():
        for place, i in enumerate(chosen):
            ours = frames[name][place].astype(float)
            errors = [np.abs(ours - reference[first + int(i) + step]).mean() for step in (-1, 0, 1)]
            assert errors[1] < 3.0, f"frame {i} of {name}: {errors}"
            assert errors[1] <= min(errors) + 0.5, f"frame {i} of {name} is a neighbour: {errors}"


def test_clips_move_and_differ(frames):
    """The released reader of Brain Netflix returned its last frame fifteen times."""
    for name, clip in frames.items():
        assert clip.shape == (FRAMES, PIXELS, PIXELS, 3)
        changes = np.abs(np.diff(clip.astype(float), axis=0)).mean(axis=(1, 2, 3))
        assert (changes > 0.05).sum() >= FRAMES // 2, f"{name} stands still: {changes}"
    means = np.array([clip.mean(axis=(0, 1, 2)) for clip in frames.values()])
    assert len(np.unique(means.round(1), axis=0)) == len(CLIPS)


def test_nothing_is_shown_after_the_end(root):
    with pytest.raises(InputError, match="frames from 600 s to 602 s, found none"):
        video.frames(root / "video_fmri_dataset/stimuli/seg1.mp4", count=2, pixels=16, start=600, stop=602)
