"""Step gallery: the right pixels at the right place, a film that plays, and the same bytes every time."""

import av
import numpy as np
import pytest

from brainflix import artifacts, figures
from brainflix.errors import InputError
from brainflix.steps.gallery import GallerySettings, _chosen, gallery

from . import study
from .test_evaluate import CLIPS, write_videos

SETTINGS = GallerySettings(clips=3, seed=0, columns=2, frames=4, tile_pixels=128, fps=4.0, repeats=2)


@pytest.fixture
def drawn(toy, tmp_path):
    def draw(name="gallery", *, settings=SETTINGS):
        variants = {"full": 30.0, "oracle": 0.0}
        for variant, noise in variants.items():
            subject = "any" if variant == "oracle" else "01"
            write_videos(tmp_path / f"{variant}.h5", variant=variant, noise=noise, subject=subject)
        out, mp4 = tmp_path / f"{name}.png", tmp_path / f"{name}.mp4"
        gallery(
            stimuli=toy / "stimuli.tsv",
            captions=toy / "captions.tsv",
            videos=[tmp_path / f"{variant}.h5" for variant in variants],
            described=[toy / "captions.tsv"] * 2,
            settings=settings,
            out=out,
            mp4=mp4,
        )
        return out, mp4

    return draw


def test_a_gallery_is_a_picture_and_a_film_that_plays(drawn):
    png, mp4 = drawn()
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with av.open(str(mp4)) as container:
        stream = container.streams.video[0]
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
    assert len(pictures) == study.FRAMES * SETTINGS.repeats
    assert pictures[0].shape[1] >= 256 and not np.array_equal(pictures[0], pictures[3])


def test_the_same_inputs_draw_the_same_bytes(drawn):
    first, again = drawn("a"), drawn("b")
    assert [f.read_bytes() for f in first] == [f.read_bytes() for f in again]


def test_too_few_shared_clips_are_said(drawn):
    with pytest.raises(InputError, match=r"expected 9 clips that all variants share, found 4"):
        drawn(settings=GallerySettings(**{**SETTINGS.__dict__, "clips": 9}))


def test_clips_are_chosen_by_seed(tmp_path):
    write_videos(tmp_path / "v.h5", variant="full", noise=0)
    made = [artifacts.read(tmp_path / "v.h5", kind="videos")]
    chosen = {tuple(_chosen(made, GallerySettings(**{**SETTINGS.__dict__, "seed": s}))) for s in range(8)}
    assert len(chosen) > 1 and all(set(c) <= set(CLIPS) for c in chosen)


def test_pasted_frames_are_the_clips_own_pixels():
    clips = [np.full((5, 8, 8, 3), value, np.uint8) for value in (10, 200)]
    tiles = [figures.Tile(clip, row, 0, "label", "a caption") for row, clip in enumerate(clips)]
    page = figures.Page("title", "footer", 40, tiles)
    picture = figures.strips(page, frames=3)
    for value in (10, 200):
        inside = (picture == value).all(axis=-1)
        assert inside.sum() >= 40 * 120
    rows = [np.flatnonzero((picture == v).all(axis=-1).sum(axis=1) >= 120).mean() for v in (10, 200)]
    assert rows[0] < rows[1]


def test_a_film_runs_as_long_as_its_longest_clip_and_has_even_sides():
    short, long = np.zeros((2, 8, 8, 3), np.uint8), np.full((5, 8, 8, 3), 90, np.uint8)
    page = figures.Page("t", "", 33, [figures.Tile(short, 0, 0, "a"), figures.Tile(long, 0, 1, "b")])
    pictures = figures.movie(page)
    assert len(pictures) == 5 and pictures.shape[1] % 2 == pictures.shape[2] % 2 == 0
