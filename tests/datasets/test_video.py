"""Decoding: which frames come out, told by frames that carry their number."""

import av
import cv2
import numpy as np
import pandas as pd
import pytest

from brainflix.datasets import video
from brainflix.errors import InputError
from tests.datasets import raw

SECONDS = ["start_seconds", "stop_seconds"]


def numbers(frames):
    return [raw.number_of(picture) for picture in frames]


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    """20 s at 10 fps: frame i is shown from i / 10 s."""
    return raw.write_movie(tmp_path_factory.mktemp("video") / "movie.mp4", raw.numbered(200), fps=10)


@pytest.mark.parametrize("fps", [15, 24, 25, 30])
def test_frames_are_truly_spread_from_the_first_to_the_last(tmp_path, fps):
    path = raw.write_movie(tmp_path / "clip.mp4", raw.numbered(60), fps=fps)
    frames = video.frames(path, count=15, pixels=24)
    assert frames.shape == (15, 24, 24, 3) and frames.dtype == np.uint8
    assert numbers(frames) == np.linspace(0, 59, 15).astype(int).tolist()


def test_a_short_clip_repeats_frames_in_place(tmp_path):
    path = raw.write_movie(tmp_path / "clip.mp4", raw.numbered(3), fps=10)
    assert numbers(video.frames(path, count=7, pixels=16)) == [0, 0, 0, 1, 1, 1, 2]


def test_windows_are_half_open_and_cut_by_time(movie):
    frames = video.frames(movie, count=20, pixels=16, start=2.0, stop=4.0)
    assert numbers(frames) == list(range(20, 40))


def test_one_pass_gives_the_same_as_window_after_window(movie):
    windows = [(2.0 * k, 2.0 * (k + 1)) for k in range(10)]
    at_once = list(video.clips(movie, windows, count=5, pixels=16))
    singly = [video.frames(movie, count=5, pixels=16, start=a, stop=b) for a, b in windows]
    assert np.array_equal(at_once, singly)


def test_overlapping_windows_and_gaps_are_served(movie):
    picked = video.clips(movie, [(1.0, 2.0), (1.5, 2.5), (11.0, 12.0)], count=3, pixels=16)
    assert [numbers(f) for f in picked] == [[10, 14, 19], [15, 19, 24], [110, 114, 119]]


def test_seconds_count_from_the_first_frame(tmp_path):
    path = raw.write_movie(tmp_path / "late.mp4", raw.numbered(40), fps=10, first_pts=35)
    assert numbers(video.frames(path, count=10, pixels=16, start=1.0, stop=2.0)) == list(range(10, 20))


def test_the_picture_is_squeezed_by_area(tmp_path):
    picture = np.zeros((1, 64, 128, 3), np.uint8)
    picture[:, :, 64:] = 255  # right half white
    path = raw.write_movie(tmp_path / "wide.mp4", picture, fps=10)
    small = video.frames(path, count=1, pixels=16)[0]
    assert small[:, :7].max() < 10 and small[:, 9:].min() > 245


def test_a_table_is_served_in_its_order_reading_each_movie_once(movie, tmp_path, monkeypatch):
    other = raw.write_movie(tmp_path / "other.mp4", raw.numbered(200)[::-1].copy(), fps=10)
    rows = [(other, np.nan, np.nan), (movie, 0, 2), (movie, 2, 4), (movie, 18, 20)]
    table = pd.DataFrame(rows, columns=["path", "start_seconds", "stop_seconds"])
    opened = []
    decode = video._decode
    monkeypatch.setattr(video, "_decode", lambda path, **kw: opened.append(path) or decode(path, **kw))
    served = list(video.iterate(table, count=2, pixels=16))
    assert [i for i, _ in served] == [0, 1, 2, 3]
    assert [numbers(f) for _, f in served] == [[199, 0], [0, 19], [20, 39], [180, 199]]
    assert opened == [other, movie]


def test_a_table_out_of_order_is_still_served_in_its_order(movie):
    table = pd.DataFrame(
        [(movie, 4, 6), (movie, 0, 2), (movie, 4, 6)], columns=["path", "start_seconds", "stop_seconds"]
    )
    served = [numbers(f) for _, f in video.iterate(table, count=1, pixels=16)]
    assert served == [[40], [0], [40]]


def test_a_window_behind_the_end_is_refused(movie):
    with pytest.raises(InputError, match=r"movie\.mp4: expected frames from 20 s to 22 s, found none"):
        video.frames(movie, count=2, pixels=16, start=20, stop=22)


def test_a_missing_movie_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.mp4: expected a movie, found nothing"):
        video.frames(tmp_path / "none.mp4", count=2, pixels=16)


@pytest.mark.parametrize("size", [0, 10, 3000])
def test_what_does_not_decode_is_refused(tmp_path, movie, size):
    path = tmp_path / "broken.mp4"
    path.write_bytes(movie.read_bytes()[:size])
    with pytest.raises(InputError, match=r"broken\.mp4: expected "):
        video.frames(path, count=2, pixels=16)


def test_scrambled_pictures_are_refused(tmp_path, movie):
    data = bytearray(movie.read_bytes())
    start = data.index(b"mdat") + 4
    noise = np.random.default_rng(0).integers(0, 256, 20_000, dtype=np.uint8).tobytes()
    data[start : start + len(noise)] = noise[: len(data) - start]
    path = tmp_path / "scrambled.mp4"
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"scrambled\.mp4: expected "):
        video.frames(path, count=2, pixels=16)


def test_sound_alone_is_refused(tmp_path):
    path = tmp_path / "sound.mp4"
    raw.write_sound(path)
    with pytest.raises(InputError, match="expected a movie, found no video in it"):
        video.frames(path, count=2, pixels=16)


def _write_pictures(folder, frames, name="{}.png"):
    folder.mkdir(parents=True)
    for i, picture in enumerate(frames, start=1):
        assert cv2.imwrite(str(folder / name.format(i)), picture[..., ::-1])


@pytest.mark.parametrize("name", ["{}.png", "{:03d}.jpg", "0001_{}_60.jpeg"])
def test_a_folder_of_pictures_is_a_clip_in_the_order_of_their_numbers(tmp_path, name):
    _write_pictures(tmp_path / "0001", raw.numbered(60), name)
    (tmp_path / "0001" / "notes.txt").write_text("not a frame")
    (tmp_path / "0001" / f"._{name.format(1)}").write_bytes(b"what macOS leaves on other people's disks")
    frames = video.frames(tmp_path / "0001", count=15, pixels=24)
    assert frames.shape == (15, 24, 24, 3)
    assert numbers(frames) == np.linspace(0, 59, 15).astype(int).tolist()


def test_pictures_keep_their_colours(tmp_path):
    red = np.zeros((2, 32, 32, 3), np.uint8)
    red[..., 0] = 200
    _write_pictures(tmp_path / "red", red)
    assert (video.frames(tmp_path / "red", count=1, pixels=16)[0] == [200, 0, 0]).all()


def test_a_table_may_name_folders(tmp_path):
    for clip in ("a", "b"):
        _write_pictures(tmp_path / clip, raw.numbered(4))
    table = pd.DataFrame([(str(tmp_path / c), np.nan, np.nan) for c in "ab"], columns=["path", *SECONDS])
    assert [numbers(frames) for _, frames in video.iterate(table, count=2, pixels=16)] == [[0, 3], [0, 3]]


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "expected frames, found none"),
        ({"1.jpg": b"hello"}, r"1\.jpg: expected a picture, found 5 bytes of something else"),
        ({"1.jpg": b""}, r"1\.jpg: expected a picture, found 0 bytes"),
    ],
)
def test_a_folder_without_pictures_is_refused(tmp_path, files, complaint):
    (tmp_path / "0001").mkdir()
    for name, content in files.items():
        (tmp_path / "0001" / name).write_bytes(content)
    with pytest.raises(InputError, match=complaint):
        video.frames(tmp_path / "0001", count=2, pixels=16)


def test_a_folder_that_may_not_be_entered_is_refused(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(tmp_path), "is_dir", refuse)
    with pytest.raises(InputError, match=r"0001\.mp4: expected a clip that may be read, found Permission denied"):
        video.frames(tmp_path / "0001.mp4", count=2, pixels=16)


def test_a_window_of_a_folder_is_refused_as_pictures_have_no_times(tmp_path):
    _write_pictures(tmp_path / "0001", raw.numbered(4))
    with pytest.raises(InputError, match=r"0001: expected a movie, to cut 2 s to 4 s out of it, found a folder"):
        video.frames(tmp_path / "0001", count=2, pixels=16, start=2, stop=4)


def _write_avi(path, frames):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, options={"qscale": "1"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return bytearray(path.read_bytes())


@pytest.mark.parametrize("claimed", [0, 3, 10_000])
def test_what_the_header_claims_about_the_number_of_frames_is_not_believed(tmp_path, claimed):
    path = tmp_path / "clip.avi"
    data = _write_avi(path, raw.numbered(40))
    for place in (data.index(b"avih") + 8 + 16, data.index(b"strh") + 8 + 32):  # of the file, of the stream
        assert int.from_bytes(data[place : place + 4], "little") == 40
        data[place : place + 4] = claimed.to_bytes(4, "little")
    path.write_bytes(bytes(data))
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames != 40
    assert numbers(video.frames(path, count=5, pixels=24)) == [0, 9, 19, 29, 39]


def test_a_movie_of_no_frames_is_refused(tmp_path, movie):
    """A header that promises frames, and none behind it."""
    path = tmp_path / "empty.avi"
    data = _write_avi(path, raw.numbered(3))
    path.write_bytes(bytes(data[: data.index(b"movi") + 4]))
    with pytest.raises(InputError, match=r"empty\.avi: expected frames, found none that decodes"):
        video.frames(path, count=2, pixels=16)
