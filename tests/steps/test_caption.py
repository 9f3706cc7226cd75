"""caption: who is asked, and that nobody is left out."""

import numpy as np
import pandas as pd
import pytest

from brainflix import artifacts, frozen
from brainflix.errors import InputError
from brainflix.frozen.protocols import BlipSettings, DecodingSettings
from brainflix.steps.caption import CaptionSettings, caption
from brainflix.steps.index import index
from tests.datasets import raw, studies

SETTINGS = CaptionSettings(
    image=BlipSettings(frames=3, pixels=16, pixel_scale="unit", precision="float32"),
    decoding=DecodingSettings(
        prompt="", beams=1, min_length=4, max_length=20, count_prompt=True, repetition_penalty=6.0
    ),
)


@pytest.fixture(scope="module")
def bmd(tmp_path_factory):
    root = tmp_path_factory.mktemp("bmd")
    studies.write_bmd(root)
    index(dataset="bmd", root=root, subjects=["01"], options=studies.BMD, out=root / "stimuli.tsv")
    return {"dataset": "bmd", "root": root, "stimuli": root / "stimuli.tsv", "threads": 1}


def read(path):
    return artifacts.read_table(path, columns=["stimulus", "caption_index", "caption", "source"])


def test_human_captions_come_first(bmd, tmp_path):
    caption(**bmd, captioner="unused", settings=SETTINGS, out=tmp_path / "captions.tsv")
    captions = read(tmp_path / "captions.tsv")
    assert captions["stimulus"].tolist() == [
        c for c in ("0001", "0002", "0003", "0004", "1001", "1002") for _ in range(5)
    ]
    assert captions["caption_index"].tolist() == list(range(5)) * 6
    assert set(captions["source"]) == {"human"}


def test_captions_handed_in_come_before_all_others(bmd, tmp_path):
    given = pd.DataFrame(
        [(c, f"a  {c}\tthing ") for c in ("1002", "1001", "0001", "0001", "0002", "0003", "0004", "9999")],
        columns=["stimulus", "caption"],
    )
    given.to_csv(tmp_path / "given.tsv", sep="\t", index=False)
    caption(**bmd, given=tmp_path / "given.tsv", out=tmp_path / "captions.tsv")
    captions = read(tmp_path / "captions.tsv")
    assert captions["stimulus"].tolist() == ["0001", "0001", "0002", "0003", "0004", "1001", "1002"]
    assert captions["caption_index"].tolist() == [0, 1, 0, 0, 0, 0, 0]
    assert captions["caption"][0] == "a 0001 thing"
    assert set(captions["source"]) == {"given"}


@pytest.mark.parametrize("lacking", ["", "   "])
def test_a_stimulus_without_a_caption_is_refused_by_name(bmd, tmp_path, lacking):
    given = pd.DataFrame({"stimulus": ["0001", "0002", "0003", "0004", "1001", "1002"], "caption": "a ball"})
    given.loc[3, "caption"] = lacking
    given.to_csv(tmp_path / "given.tsv", sep="\t", index=False)
    with pytest.raises(InputError, match=r"given\.tsv: expected captions of 6 stimuli, found none for 1, first 0004"):
        caption(**bmd, given=tmp_path / "given.tsv", out=tmp_path / "captions.tsv")
    assert not (tmp_path / "captions.tsv").exists()


def test_a_given_file_without_captions_is_refused(bmd, tmp_path):
    (tmp_path / "given.tsv").write_text("stimulus\ttext\n0001\ta ball\n")
    with pytest.raises(InputError, match=r"given\.tsv: expected columns stimulus, caption, found no caption"):
        caption(**bmd, given=tmp_path / "given.tsv", out=tmp_path / "captions.tsv")


class Grey:
    """Captions a clip by the numbers of its first and last frame."""

    def embed(self, frames, *, pixel_scale):
        assert frames.dtype == np.uint8 and frames.shape[1:] == (3, 16, 16, 3) and pixel_scale == "unit"
        return np.array([[raw.number_of(clip[0]), raw.number_of(clip[-1])] for clip in frames])

    def describe(self, embeddings, *, settings):
        assert settings.max_length == 20
        return [f"from {first} to {last}" for first, last in embeddings]


@pytest.fixture
def movies(tmp_path):
    """A CC2017-like table over one movie of 20 s, more windows than fit a batch."""
    path = raw.write_movie(tmp_path / "movie.mp4", raw.numbered(200), fps=10)
    rows = [(f"clip{k:02d}", "train", path, k, k + 1) for k in range(20)]
    table = pd.DataFrame(rows, columns=["stimulus", "split", "path", "start_seconds", "stop_seconds"])
    artifacts.write_table(tmp_path / "stimuli.tsv", table)
    return {"dataset": "cc2017", "root": tmp_path, "stimuli": tmp_path / "stimuli.tsv", "threads": 1}


def test_a_captioner_sees_every_clip_of_a_dataset_without_captions(movies, tmp_path, monkeypatch):
    monkeypatch.setattr(frozen, "captioner", lambda name, precision: Grey())
    caption(**movies, captioner="some/blip", settings=SETTINGS, out=tmp_path / "captions.tsv")
    captions = read(tmp_path / "captions.tsv")
    assert captions["caption"].tolist() == [f"from {10 * k} to {10 * k + 9}" for k in range(20)]
    assert set(captions["source"]) == {"some/blip"}


def test_nobody_to_ask_is_refused(movies, tmp_path):
    with pytest.raises(InputError, match="cc2017: expected captions given, or a captioner with settings"):
        caption(**movies, out=tmp_path / "captions.tsv")


def test_a_movie_that_does_not_decode_is_refused_by_name(movies, tmp_path, monkeypatch):
    monkeypatch.setattr(frozen, "captioner", lambda name, precision: Grey())
    (tmp_path / "movie.mp4").write_bytes(b"not a movie")
    with pytest.raises(InputError, match=r"movie\.mp4: expected a movie that decodes"):
        caption(**movies, captioner="some/blip", settings=SETTINGS, out=tmp_path / "captions.tsv")
    assert not (tmp_path / "captions.tsv").exists()
