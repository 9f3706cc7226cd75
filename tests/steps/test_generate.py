"""Step generate: what goes in, what comes out, and going on after a kill."""

import importlib
import shutil
from dataclasses import replace

import numpy as np
import pytest

from brainflix import artifacts, frozen
from brainflix.errors import InputError
from brainflix.steps.generate import GenerateSettings, generate, match_variance

from . import study

generate_step = importlib.import_module("brainflix.steps.generate")
SETTINGS = GenerateSettings(
    frames=study.FRAMES,
    pixels=study.PIXELS,
    scheduler="ddim",
    timestep_spacing="leading",
    steps=4,
    strength=0.8,
    guidance=1.0,
    negative_prompt="",
    latent_factor=1.0,
    batch=2,
    precision="float32",
    match_variance=False,
    still=False,
)


@pytest.fixture
def captions(toy, tmp_path):
    table = artifacts.read_table(toy / "captions.tsv", columns=["stimulus", "caption_index"])
    table = table[(table["caption_index"] == 0) & (table["stimulus"] >= "05")].iloc[:5]
    artifacts.write_table(tmp_path / "captions.tsv", table)
    return tmp_path / "captions.tsv"


def made(toy, captions, name="videos.h5", *, settings=SETTINGS, seed=0, **sources):
    out = captions.parent / name
    options = {"generator": "toy", "variant": "full", "subject": "01", "seed": seed, "threads": 1}
    checkpoints = captions.parent / "checkpoints"
    sources = {"targets": toy / "z.h5", **sources}
    generate(captions=captions, settings=settings, checkpoints=checkpoints, out=out, **options, **sources)
    assert not list(checkpoints.glob("*.gone"))
    return artifacts.read(out, kind="videos")


def test_videos_are_labelled_and_follow_the_captions_table(toy, captions, toy_models):
    videos = made(toy, captions, latents=toy / "z.h5")
    assert list(videos.rows["stimulus"]) == ["05", "06", "07", "08", "09"]
    assert videos.values.dtype == np.uint8 and videos.values.shape == (5, study.FRAMES, 32, 32, 3)
    assert {k: videos.about[k] for k in ("variant", "subject", "seed", "dataset", "simulated")} == {
        "variant": "full", "subject": "01", "seed": 0, "dataset": "toy", "simulated": True,
    }  # fmt: skip
    assert (videos.values[:, :, 0, 0] == len("clip 05 in words 0")).all()


def test_a_clip_does_not_depend_on_the_batch_it_is_in(toy, captions, toy_models):
    together = made(toy, captions, latents=toy / "z-predicted.h5")
    alone = made(toy, captions, "one.h5", latents=toy / "z-predicted.h5", settings=replace(SETTINGS, batch=1))
    np.testing.assert_array_equal(together.values, alone.values)


def test_seeds_change_the_noise_and_nothing_else_does(toy, captions, toy_models):
    videos = [made(toy, captions, f"{i}.h5", latents=toy / "z.h5", seed=s) for i, s in enumerate((0, 0, 1))]
    assert (captions.parent / "0.h5").read_bytes() == (captions.parent / "1.h5").read_bytes()
    assert not np.array_equal(videos[0].values, videos[2].values)


def test_a_killed_run_goes_on_where_it_was_and_gives_the_same_bytes(toy, captions, monkeypatch, toy_models):
    whole = made(toy, captions, "whole.h5", latents=toy / "z.h5")
    calls = []

    class Fragile(study.Generator):
        def generate(self, *, states, **rest):
            calls.append(len(states))
            if len(calls) == 2:
                raise KeyboardInterrupt
            return super().generate(states=states, **rest)

    monkeypatch.setattr(frozen, "generator", lambda name, precision: Fragile())
    with pytest.raises(KeyboardInterrupt):
        made(toy, captions, latents=toy / "z.h5")
    assert not (captions.parent / "videos.h5").exists()
    resumed = made(toy, captions, latents=toy / "z.h5")
    assert calls == [2, 2, 2, 1]  # one batch, the one that failed, and the two that were missing
    np.testing.assert_array_equal(resumed.values, whole.values)
    assert (captions.parent / "videos.h5").read_bytes() == (captions.parent / "whole.h5").read_bytes()


def test_batches_of_other_inputs_are_not_mistaken_for_ours(toy, captions, monkeypatch, toy_models):
    expected = made(toy, captions, "a.h5", latents=toy / "z.h5")
    real_write = artifacts.create
    monkeypatch.setattr(artifacts, "create", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("killed")))
    with pytest.raises(RuntimeError, match="killed"):
        made(toy, captions, latents=toy / "z-predicted.h5")
    monkeypatch.setattr(artifacts, "create", real_write)
    np.testing.assert_array_equal(made(toy, captions, latents=toy / "z.h5").values, expected.values)


def test_a_finished_run_deletes_its_own_batches_only(toy, captions, toy_models):
    made(toy, captions, latents=toy / "z.h5")
    assert not (captions.parent / "checkpoints").exists()
    others = captions.parent / "checkpoints" / "0123456789abcdef"
    others.mkdir(parents=True)
    (others / "batch-00000.npy").touch()
    made(toy, captions, latents=toy / "z.h5")
    assert [p.name for p in (captions.parent / "checkpoints").rglob("*")] == [others.name, "batch-00000.npy"]


def test_batches_that_an_orphan_deleted_first_do_not_matter(toy, captions, monkeypatch, toy_models):
    real = generate_step._write

    def write_and_lose(out, stimuli, batches, about):
        real(out, stimuli, batches, about)
        shutil.rmtree(batches[0].parent)

    monkeypatch.setattr(generate_step, "_write", write_and_lose)
    assert len(made(toy, captions, latents=toy / "z.h5").values) == 5


def test_without_latents_the_generator_starts_from_noise(toy, captions, toy_models):
    videos = made(toy, captions, targets=toy / "y.h5")
    assert videos.values.shape == (5, study.FRAMES, 32, 32, 3)


def test_states_condition_in_place_of_captions(toy, captions, toy_models):
    videos = made(toy, captions, latents=toy / "z.h5", states=toy / "b.h5")
    assert not (videos.values[:, :, 0, 0] == len("clip 05 in words 0")).all()


def test_a_still_shows_its_first_frame_throughout(toy, captions, toy_models):
    videos = made(toy, captions, latents=toy / "z.h5", settings=replace(SETTINGS, still=True))
    np.testing.assert_array_equal(videos.values, np.repeat(videos.values[:, :1], study.FRAMES, axis=1))


def test_matched_latents_vary_like_training_latents_and_point_the_same_way(toy):
    targets = artifacts.read(toy / "z.h5", kind="targets")
    train = targets.values[targets.rows["split"] == "train"].astype(float)
    mean = train.mean(axis=0)
    shrunk = (mean + 0.2 * (targets.values[-6:] - mean)).astype(np.float32)
    stretched = match_variance(shrunk, targets)
    for channel in range(3):
        wanted = np.sqrt(np.mean((train - mean)[:, channel] ** 2))
        found = np.sqrt(np.mean((stretched - mean)[:, channel] ** 2, axis=(1, 2, 3)))
        np.testing.assert_allclose(found, wanted, rtol=1e-4)
        before, after = ((x - mean)[:, channel].ravel() for x in (shrunk[:1], stretched[:1]))
        assert np.corrcoef(before, after)[0, 1] == pytest.approx(1, abs=1e-5)


def test_matching_leaves_the_training_mean_alone(toy):
    targets = artifacts.read(toy / "z.h5", kind="targets")
    average = artifacts.read(toy / "z-mean.h5", kind="predictions").values
    np.testing.assert_allclose(match_variance(average, targets), average, atol=1e-6)


def test_a_clip_without_a_latent_is_named(toy, captions, tmp_path, toy_models):
    few = artifacts.read(toy / "z-predicted.h5", kind="predictions")
    artifacts.write(tmp_path / "few.h5", few.where(few.rows["stimulus"] != "06"))
    with pytest.raises(InputError, match=r"few.h5: expected a row for each of 5 clips, found no 06"):
        made(toy, captions, latents=tmp_path / "few.h5")


def test_a_nan_in_a_latent_is_refused(toy, captions, tmp_path, toy_models):
    bad = artifacts.read(toy / "z-predicted.h5", kind="predictions")
    bad.values[2, 0] = np.nan
    artifacts.write(tmp_path / "bad.h5", bad)
    with pytest.raises(InputError, match=r"bad.h5: expected finite values, found NaN"):
        made(toy, captions, latents=tmp_path / "bad.h5")


def test_simulated_latents_are_not_mixed_with_real_targets(toy, captions, tmp_path, toy_models):
    real = artifacts.read(toy / "z-predicted.h5", kind="predictions")
    real.about["simulated"] = False
    artifacts.write(tmp_path / "real.h5", real)
    with pytest.raises(InputError, match="disagree on 'simulated'"):
        made(toy, captions, latents=tmp_path / "real.h5")


def test_latents_made_in_another_way_than_the_targets_are_refused(toy, captions, tmp_path, toy_models):
    other = artifacts.read(toy / "z-predicted.h5", kind="predictions")
    other.about["settings"] = {**other.about["settings"], "posterior": "sample"}
    artifacts.write(tmp_path / "other.h5", other)
    with pytest.raises(InputError, match="disagree on 'settings'"):
        made(toy, captions, latents=tmp_path / "other.h5")
    made(toy, captions, latents=toy / "z.h5", states=tmp_path / "other.h5")  # states are of another making by nature
