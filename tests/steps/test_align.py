"""What a recipe adds to alignment, part by part, on the study of test_encode."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from brainflix import artifacts
from brainflix.artifacts import Samples
from brainflix.cohort import read_cohort
from brainflix.errors import InputError
from brainflix.models.alignment_settings import AlignSettings, HeldOutSettings
from brainflix.models.mbm import load_encoder, load_model
from brainflix.models.settings import TrainingSettings
from brainflix.steps.embed import embed
from brainflix.texts import held_out, texts_of
from tests.steps.test_encode import ALIGN, TRAINING, WIDTH, Study, bytes_of, run_align, run_pretrain

HELD_OUT = HeldOutSettings(share=0.3, patience=2)
EVERYTHING = {
    "largest_scale": 100.0, "sample_captions": True, "projector_hidden": 12, "adapter_rank": 2,
    "held_out": HELD_OUT, "mbm_weight": 0.5,
}  # fmt: skip


def with_(*, epochs=3, **changes) -> AlignSettings:
    training = TrainingSettings(**{**TRAINING, "epochs": epochs})
    return AlignSettings(**{**vars(ALIGN), "training": training, **changes})


@pytest.fixture
def study(tmp_path) -> Study:
    made = Study(tmp_path)
    made.encoder = run_pretrain(made, tmp_path / "encoder.safetensors")
    for dataset in ("bmd", "cc"):
        write_each(made, dataset)
    return made


def write_each(study, dataset):
    """Two captions of every stimulus around their mean, as `extract --each` stores them."""
    means = artifacts.read(study.path(dataset, "text.h5"), kind="targets")
    rows = means.rows.loc[np.repeat(np.arange(len(means.rows)), 2)].reset_index(drop=True)
    noise = 0.1 * np.random.default_rng(0).standard_normal((len(means.rows), 9)).astype(np.float32)
    values = np.stack([means.values + noise, means.values - noise], axis=1).reshape(-1, 9)
    samples = Samples("targets", values, rows, ("width",), "a.u.", {**means.about, "each": True})
    artifacts.write(study.path(dataset, "each.h5"), samples)


def align(study, name, settings, **changes):
    given = {"settings": settings, "init": study.encoder, "out": study.path(f"{name}.safetensors")}
    if settings.sample_captions:
        given["targets"] = study.targets("each")
    return run_align(study, **{**given, **changes})


def tensors(path):
    return artifacts.load_weights(path, kind="encoder")[0]


def same(a, b) -> bool:
    a, b = tensors(a), tensors(b)
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


def rewrite(path, kind, change):
    """Give ``change`` the values and rows of a file, and write it again."""
    samples = artifacts.read(path, kind=kind)
    change(samples.values, samples.rows)
    artifacts.write(path, samples)


def everywhere(study, change):
    for dataset in ("bmd", "cc"):
        for subject in ("01", "02"):
            rewrite(study.path(dataset, f"sub-{subject}.h5"), "responses", change)
        for name in ("text", "each"):
            rewrite(study.path(dataset, f"{name}.h5"), "targets", change)


def poison(values, rows):
    values[rows["split"] == "test"] = np.nan


def test_what_is_off_leaves_no_trace_in_the_file(study):
    header = artifacts.load_weights(align(study, "a", ALIGN), kind="encoder")[1]
    assert "adapters" not in header
    stage = header["stages"][1]
    assert set(stage) == {"step", "loss", "training", "on", "seed", "text"}
    assert set(stage["loss"]) == {"temperature", "symmetric", "positives", "centre_targets"}
    assert not {name.split(".")[0] for name in tensors(study.path("a.safetensors"))} - {"encoder", "projector"}


def test_a_recipe_gives_the_same_bytes_twice_and_says_what_it_was(study):
    made = [align(study, name, with_(**EVERYTHING)) for name in ("a", "b")]
    assert len(set(bytes_of(made))) == 1
    weights, header = artifacts.load_weights(made[0], kind="encoder")
    assert {n.split(".")[0] for n in weights} == {"encoder", "decoder", "projector", "adapter", "log_scale"}
    stage = header["stages"][1]
    assert stage["held_out"] == asdict(HELD_OUT) and len(stage["held_out_scores"]) == 3
    assert header["adapters"] == [["bmd", "01"], ["bmd", "02"], ["cc", "01"], ["cc", "02"]]


def test_a_recipe_interrupted_at_every_step_ends_with_the_same_bytes(study):
    whole = align(study, "whole", with_(**EVERYTHING))
    for _ in range(60):
        try:
            part = align(study, "part", with_(**EVERYTHING), max_seconds=0.0)
        except SystemExit:
            continue
        break
    assert part.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("settings", [ALIGN, with_(**EVERYTHING)], ids=["paper", "everything"])
def test_test_rows_of_responses_and_captions_reach_nothing(study, settings):
    before = align(study, "before", settings)
    everywhere(study, poison)
    assert align(study, "after", settings).read_bytes() == before.read_bytes()


def hidden_stimuli(study):
    rows = read_cohort(study.responses, kind="responses", splits=("train",), agree=("space",))
    captions = read_cohort(study.targets("each"), kind="targets", splits=("train",), agree=("each",))
    mask = held_out(rows, texts_of(rows, captions, each=True), share=HELD_OUT.share, seed=1)
    return set(rows.rows["stimulus"][mask])


def test_held_out_stimuli_reach_no_weight(study):
    """Judged once, after the only epoch, they cannot decide anything; so whatever is left is what gradients took."""
    settings = with_(**EVERYTHING, epochs=1)
    before, hidden = align(study, "before", settings), hidden_stimuli(study)
    assert {name.split("-")[0] for name in hidden} == {"bmd", "cc"} and 8 <= len(hidden) <= 12

    def change(values, rows):
        chosen = rows["stimulus"].isin(hidden).to_numpy()
        values[chosen] = 3 - 7 * values[chosen][::-1]

    everywhere(study, change)
    after = align(study, "after", settings)
    assert same(before, after)
    scores = [artifacts.load_weights(p, kind="encoder")[1]["stages"][1]["held_out_scores"] for p in (before, after)]
    assert scores[0] != scores[1]
    everywhere(study, lambda values, rows: np.negative(values, out=values))
    assert not same(before, align(study, "other", settings))


def test_the_weights_kept_are_those_of_the_best_epoch(study):
    """An undisturbed run of the same schedule is stopped where the best epoch ended."""
    settings = with_(held_out=HeldOutSettings(share=0.3, patience=1), epochs=12)
    made = align(study, "a", settings)
    stage = artifacts.load_weights(made, kind="encoder")[1]["stages"][1]
    scores, best = stage["held_out_scores"], stage["best_epoch"]
    assert scores[best - 1] == max(scores) and len(scores) == best + 1 < 12, "a run that stops early tests this"
    step, stopped = {}, with_(held_out=HeldOutSettings(share=0.3, patience=99), epochs=12)
    for _ in range(200):
        try:
            align(study, "b", stopped, max_seconds=0.0)
        except SystemExit:
            state = torch.load(study.path("checkpoints", "b.safetensors", "last.pt"), weights_only=True)
            step[state["step"]] = {k: v.numpy() for k, v in state["model"].items()}
            continue
        break
    per_epoch = (len(step) + 1) // 12
    wanted = step[best * per_epoch]
    for name, value in tensors(made).items():
        np.testing.assert_array_equal(value, wanted[name])


def test_one_caption_each_is_the_mean_of_one(study):
    for dataset in ("bmd", "cc"):
        means = artifacts.read(study.path(dataset, "text.h5"), kind="targets")
        means.about["each"] = True
        artifacts.write(study.path(dataset, "each.h5"), means)
    assert same(align(study, "a", with_()), align(study, "b", with_(sample_captions=True)))


def test_sampled_captions_are_another_thing_than_their_mean(study):
    assert not same(align(study, "a", with_()), align(study, "b", with_(sample_captions=True)))


def test_masked_modelling_beside_the_contrast_keeps_the_decoder_and_its_loss(study):
    alone, beside = (align(study, f"w{w}", with_(mbm_weight=w, epochs=20)) for w in (0.0, 5.0))
    assert not any(name.startswith("decoder") for name in tensors(alone))
    responses = read_cohort(study.responses, kind="responses", splits=("train",)).all()
    start = tensors(study.encoder)
    decoder = {k: v for k, v in start.items() if k.startswith("decoder.")}
    losses = []
    for path in (alone, beside):
        own = tensors(path)
        parts = {k: v for k, v in {**decoder, **own}.items() if k.startswith(("encoder.", "decoder."))}
        model = load_model(parts, artifacts.load_weights(path, kind="encoder")[1])
        with torch.no_grad():
            losses.append(float(model.loss(torch.from_numpy(responses), torch.Generator().manual_seed(0))))
    assert losses[1] < losses[0]


def test_masked_modelling_needs_a_decoder_to_start_from(study):
    first = align(study, "first", ALIGN)
    with pytest.raises(InputError, match=r"first.safetensors: expected a decoder, as mbm_weight is not 0, found none"):
        align(study, "second", with_(mbm_weight=1.0), init=first)


def test_an_encoder_with_adapters_is_not_aligned_again(study):
    first = align(study, "first", with_(adapter_rank=2))
    with pytest.raises(InputError, match=r"first.safetensors: expected an encoder without adapters"):
        align(study, "second", ALIGN, init=first)


def test_embeddings_go_through_the_adapter_of_the_subject_or_the_mean_of_all(study):
    made = align(study, "a", with_(adapter_rank=2, projector_hidden=12))
    weights, header = artifacts.load_weights(made, kind="encoder")
    stranger = study.write_responses("bmd", "03")
    out = [study.path("own.h5"), study.path("stranger.h5")]
    embed(encoder=made, responses=[study.path("bmd", "sub-02.h5"), stranger], out=out, threads=1, batch=20)
    down, up = weights["adapter.down"].astype(np.float64), weights["adapter.up"].astype(np.float64)
    corrections = [down[:, s : s + 2] @ up[s : s + 2] for s in range(0, 8, 2)]
    assert all(np.abs(c).max() > 1e-4 for c in corrections), "they have learned something"
    encoder = load_encoder(weights, header)
    for path, source, correction in zip(out, ("02", "03"), (corrections[1], sum(corrections) / 4), strict=True):
        x = artifacts.read(study.path("bmd", f"sub-{source}.h5"), kind="responses").values
        with torch.no_grad():
            expected = encoder.embedding(torch.from_numpy((x + x @ correction).astype(np.float32)))
        made_of = artifacts.read(path, kind="embeddings").values
        assert made_of.shape[1] == WIDTH, "the embedding is the encoder's, not the projector's"
        np.testing.assert_allclose(made_of, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_means_where_each_caption_is_wanted_are_refused(study):
    with pytest.raises(InputError, match=r"text.h5.*expected each caption's own"):
        align(study, "a", with_(sample_captions=True), targets=study.targets("text"))


def test_a_study_too_small_to_hold_some_out_is_refused(study):
    def keep_six(values, rows):
        later = rows["stimulus"].str[-2:].astype(int) >= 6
        rows.loc[later & (rows["split"] == "train"), "split"] = "overlap"

    everywhere(study, keep_six)
    with pytest.raises(InputError, match="expected more than 6 training stimuli of bmd"):
        align(study, "a", with_(held_out=HELD_OUT))
