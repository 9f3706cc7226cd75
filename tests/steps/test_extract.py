"""extract: every kind of target on real movies and random models, against the models called by hand."""

import numpy as np
import pandas as pd
import pytest

from brainflix import artifacts, frozen
from brainflix.datasets import video
from brainflix.errors import InputError
from brainflix.steps.extract import TARGETS, extract
from tests.datasets import raw
from tests.frozen import models

PRECISION = {"precision": "float32"}
PICTURES = {"frames": 3, "pixels": 32, **PRECISION}
SETTINGS = {
    "latent": {**PICTURES, "posterior": "mode", "posterior_seed": 0},
    "blip": {**PICTURES, "pixel_scale": "unit"},
    "text-states": PRECISION,
    "text-embedding": PRECISION,
    "classes": {"frames": 2, "pixels": 32, **PRECISION},
}
CAPTIONS = {"a": ["red ball on stripes", "ball"], "b": ["green box"], "c": ["box resting on tiles", "a box", "tiles"]}
STIMULI = ("b", "a", "c")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        frames = np.repeat(rng.integers(0, 256, (24, 4, 4, 3), dtype=np.uint8).repeat(8, 1), 8, 2)
        raw.write_movie(root / f"{name}.mp4", frames, fps=12)
    rows = [("b", "train", "one", "", ""), ("a", "train", "two", 0.0, 1.0), ("c", "test", "two", 1.0, 2.0)]
    table = pd.DataFrame(rows, columns=["stimulus", "split", "path", "start_seconds", "stop_seconds"])
    table["path"] = [str(root / f"{name}.mp4") for name in table["path"]]
    artifacts.write_table(root / "stimuli.tsv", table)
    lines = [(s, i, text, "human") for s, texts in CAPTIONS.items() for i, text in enumerate(texts)]
    captions = pd.DataFrame(lines, columns=["stimulus", "caption_index", "caption", "source"])
    artifacts.write_table(root / "captions.tsv", captions)
    models.save_generator(root / "generator")
    models.save_blip(root / "blip")
    models.save_clip(root / "clip")
    return root


BACKBONES = {
    "latent": "generator",
    "blip": "blip",
    "text-states": "generator",
    "text-embedding": "clip",
    "classes": "efficientnet-lite0",
}


def run(study, out, kind, **changes):
    backbone = BACKBONES[kind]
    arguments = {
        "name": "bmd",
        "dataset": "bmd",
        "root": study,
        "stimuli": study / "stimuli.tsv",
        "captions": study / "captions.tsv" if kind.startswith("text") else None,
        "target_kind": kind,
        "backbone": backbone if backbone in frozen.CLASSIFIERS else str(study / backbone),
        "settings": SETTINGS[kind],
        "threads": 1,
        "out": out,
    }
    extract(**{**arguments, **changes})
    return artifacts.read(out, kind="targets")


def clips(study, *, count, pixels):
    table = artifacts.read_table(study / "stimuli.tsv", columns=["path"])
    return np.stack([frames for _, frames in video.iterate(table, count=count, pixels=pixels)])


@pytest.mark.parametrize("kind", TARGETS)
def test_a_target_has_a_row_per_stimulus_in_their_order(study, tmp_path, kind):
    target = run(study, tmp_path / "target.h5", kind)
    first = 2 if kind == "classes" else 0  # nothing learns from classes: test stimuli only
    assert target.rows["stimulus"].tolist() == list(STIMULI)[first:]
    assert target.rows["split"].tolist() == ["train", "train", "test"][first:]
    assert target.values.dtype == np.float32 and np.isfinite(target.values).all()
    assert target.axes == TARGETS[kind].axes
    assert target.about["dataset"] == "bmd" and target.about["simulated"] is False
    assert target.about["settings"] == SETTINGS[kind]


@pytest.mark.parametrize("kind", TARGETS)
def test_the_same_call_gives_the_same_bytes(study, tmp_path, kind):
    for name in ("one.h5", "two.h5"):
        run(study, tmp_path / name, kind)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_targets_of_pictures_are_what_the_models_make_of_the_frames(study, tmp_path):
    seen = clips(study, count=3, pixels=32)
    z = run(study, tmp_path / "z.h5", "latent").values
    assert z.shape == (3, 4, 3, 4, 4)
    assert np.allclose(z, frozen.generator(str(study / "generator"), precision="float32").encode(seen, seeds=None))
    b = run(study, tmp_path / "b.h5", "blip").values
    assert np.allclose(b, frozen.captioner(str(study / "blip"), precision="float32").embed(seen, pixel_scale="unit"))
    y = run(study, tmp_path / "y.h5", "classes").values
    images = clips(study, count=2, pixels=32)[2]
    assert y.shape == (1, 2, 1000)
    assert np.allclose(
        y[0], frozen.classifier("efficientnet-lite0", precision="float32").log_probabilities(images), atol=1e-4
    )


def test_a_sampled_latent_is_seeded_by_name_and_seed(study, tmp_path):
    sampled = {**SETTINGS["latent"], "posterior": "sample"}
    z = run(study, tmp_path / "z.h5", "latent", settings=sampled).values
    model = frozen.generator(str(study / "generator"), precision="float32")
    alone = model.encode(clips(study, count=3, pixels=32)[1:2], seeds=frozen.clip_seeds(0, ["a"]))
    assert np.allclose(z[1:2], alone)
    other = run(study, tmp_path / "other.h5", "latent", settings={**sampled, "posterior_seed": 1}).values
    assert np.abs(other - z).max() > 0.01


def test_targets_of_text_are_means_over_captions_and_embeddings_are_normalised_first(study, tmp_path):
    c = run(study, tmp_path / "c.h5", "text-states").values
    generator = frozen.generator(str(study / "generator"), precision="float32")
    assert np.allclose(c[1], generator.text_states(CAPTIONS["a"]).mean(0), atol=1e-5)
    e = run(study, tmp_path / "e.h5", "text-embedding").values
    each = frozen.text_encoder(str(study / "clip"), precision="float32").embed(CAPTIONS["c"])
    assert np.allclose(e[2], (each / np.linalg.norm(each, axis=1, keepdims=True)).mean(0), atol=1e-5)
    assert np.linalg.norm(e[0]) == pytest.approx(1, abs=1e-5)  # one caption


def test_data_from_the_phantom_are_labelled(study, tmp_path):
    (tmp_path / "phantom.json").write_text("{}")
    assert run(study, tmp_path / "c.h5", "text-states", root=tmp_path).about["simulated"] is True


def test_a_stimulus_without_a_caption_is_named_and_nothing_is_written(study, tmp_path):
    table = artifacts.read_table(study / "captions.tsv", columns=["stimulus"])
    artifacts.write_table(tmp_path / "captions.tsv", table[table["stimulus"] != "c"])
    with pytest.raises(InputError, match=r"captions.tsv: expected a caption of c, found none"):
        run(study, tmp_path / "c.h5", "text-states", captions=tmp_path / "captions.tsv")
    with pytest.raises(InputError, match="expected --captions"):
        run(study, tmp_path / "c.h5", "text-states", captions=None)
    assert not (tmp_path / "c.h5").exists()


def test_a_movie_that_does_not_decode_leaves_nothing_behind(study, tmp_path):
    table = artifacts.read_table(study / "stimuli.tsv", columns=["path"])
    table.loc[2, "path"] = str(tmp_path / "broken.mp4")
    (tmp_path / "broken.mp4").write_bytes(b"not a movie" * 100)
    artifacts.write_table(tmp_path / "stimuli.tsv", table)
    with pytest.raises(InputError, match=r"broken.mp4: expected a movie that decodes"):
        run(study, tmp_path / "b.h5", "blip", stimuli=tmp_path / "stimuli.tsv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.mp4", "stimuli.tsv"]


@pytest.mark.parametrize("change", [{"pixel_scale": "other"}, {"frame": 3}])
def test_settings_of_another_kind_are_refused(study, tmp_path, change):
    with pytest.raises(InputError, match="settings"):
        run(study, tmp_path / "b.h5", "blip", settings={**SETTINGS["blip"], **change})


@pytest.mark.parametrize("kind", ["text-embedding", "text-states"])
def test_each_caption_can_have_a_row_of_its_own_whose_means_are_the_target(study, tmp_path, kind):
    mean, each = run(study, tmp_path / "mean.h5", kind), run(study, tmp_path / "each.h5", kind, each=True)
    assert each.rows["stimulus"].tolist() == ["b", "a", "a", "c", "c", "c"]
    assert each.rows["split"].tolist() == ["train"] * 3 + ["test"] * 3
    assert each.about == {**mean.about, "each": True}
    for row, stimulus in enumerate(STIMULI):
        own = each.values[(each.rows["stimulus"] == stimulus).to_numpy()]
        np.testing.assert_allclose(own.mean(axis=0), mean.values[row], atol=1e-5)
    if kind == "text-embedding":
        made = frozen.text_encoder(str(study / "clip"), precision="float32").embed(CAPTIONS["c"])
        np.testing.assert_allclose(each.values[3:], made / np.linalg.norm(made, axis=1, keepdims=True), atol=1e-5)


def test_what_is_made_from_pictures_has_no_captions_to_keep_apart(study, tmp_path):
    with pytest.raises(InputError, match="extract --each: expected a target made from text, found blip"):
        run(study, tmp_path / "b.h5", "blip", each=True)
