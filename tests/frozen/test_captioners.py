import dataclasses
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from brainflix import frozen
from brainflix.errors import InputError
from brainflix.frozen.captioners import Blip
from brainflix.frozen.protocols import DecodingSettings
from tests.frozen.models import SIZES, save_blip

PAPER = DecodingSettings(prompt="", beams=1, min_length=4, max_length=20, count_prompt=True, repetition_penalty=6.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_blip(tmp_path_factory.mktemp("blip")))


@pytest.fixture(scope="module")
def model(folder):
    """Words have positive scores (the penalty then forbids for sure), special tokens but the end never win."""
    model = Blip(folder, precision="float32")
    bias, end = model.model.text_decoder.cls.predictions.bias.data, model.tokenizer.sep_token_id
    stop = bias[end].clone()
    bias += 50
    bias[model.tokenizer.all_special_ids] = -1000
    bias[[model.tokenizer.convert_tokens_to_ids(t) for t in ("[DEC]", "[ENC]")]] = -1000
    bias[end] = stop + 50
    return model


@contextmanager
def end_token(model, shift):
    """Make the captioner want to stop, or not."""
    bias, end = model.model.text_decoder.cls.predictions.bias.data, model.tokenizer.sep_token_id
    bias[end] += shift
    yield
    bias[end] -= shift


def frames(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def embeddings(clips, seed=0):
    tokens = (SIZES.pixels // SIZES.patch) ** 2 + 1
    return np.random.default_rng(seed).standard_normal((clips, tokens, SIZES.width)).astype(np.float32) * 3


def with_(**changes):
    return dataclasses.replace(PAPER, **changes)


def test_an_embedding_is_the_mean_over_frames_of_the_last_hidden_states(model):
    clips = frames(2, 3, 32, 32)
    b = model.embed(clips, pixel_scale="unit")
    assert b.shape == (2, 17, SIZES.width) and b.dtype == np.float32
    pixels = torch.from_numpy(clips[1]).permute(0, 3, 1, 2) / 255
    states = model.model.vision_model(pixels, interpolate_pos_encoding=True).last_hidden_state
    assert np.allclose(b[1], states.mean(0).numpy(), atol=1e-5)


def test_another_resolution_gets_interpolated_positions_and_not_the_first_ones(model):
    """Without interpolate_pos_encoding BLIP takes the first rows of its position table, without an error."""
    clip = frames(1, 1, 24, 24)
    b = model.embed(clip, pixel_scale="unit")
    pixels = torch.from_numpy(clip[0]).permute(0, 3, 1, 2) / 255
    vision = model.model.vision_model
    right = vision(pixels, interpolate_pos_encoding=True).last_hidden_state
    assert b.shape[1] == 10
    assert np.allclose(b[0], right[0].numpy(), atol=1e-5)
    stored = vision.embeddings.position_embedding.data.clone()
    noise = torch.randn(stored[:, 10:].shape, generator=torch.Generator().manual_seed(0))
    vision.embeddings.position_embedding.data[:, 10:] += noise  # beyond the rows that would be sliced
    assert not np.allclose(model.embed(clip, pixel_scale="unit"), b, atol=1e-3)
    vision.embeddings.position_embedding.data = stored


def test_pixel_scales_are_not_interchangeable(model):
    clip = frames(1, 1, 32, 32)
    unit, clip_scale = (model.embed(clip, pixel_scale=scale) for scale in ("unit", "clip"))
    assert np.abs(unit - clip_scale).max() > 0.1
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    pixels = (torch.from_numpy(clip[0]).permute(0, 3, 1, 2) / 255 - mean) / deviation
    expected = model.model.vision_model(pixels).last_hidden_state
    assert np.allclose(clip_scale[0], expected[0].numpy(), atol=1e-4)


@pytest.mark.parametrize("shape", [(30, 30), (32, 24)])
def test_frames_that_are_no_square_of_patches_are_refused(model, shape):
    with pytest.raises(InputError, match="square of a multiple of 8 px"):
        model.embed(frames(1, 1, *shape), pixel_scale="unit")


@pytest.mark.parametrize("beams", [1, 3])
def test_captions_equal_those_of_the_whole_model_on_the_image(model, beams):
    clips = frames(3, 1, 32, 32)
    settings = with_(beams=beams)
    ours = model.describe(model.embed(clips, pixel_scale="unit"), settings=settings)
    pixels = torch.from_numpy(clips[:, 0]).permute(0, 3, 1, 2) / 255
    start = torch.tensor([[model.start, model.tokenizer.sep_token_id]] * 3)  # generate cuts the last one
    ids = model.model.generate(
        pixel_values=pixels, input_ids=start, interpolate_pos_encoding=True, num_beams=beams, do_sample=False,
        min_length=4, max_length=20, repetition_penalty=6.0,
    )  # fmt: skip
    assert ours == model.tokenizer.batch_decode(ids, skip_special_tokens=True)
    assert beams > 1 or len(set(ours)) > 1


def test_a_caption_does_not_depend_on_its_batch(model):
    b = embeddings(70)  # more than are decoded at once
    together = model.describe(b, settings=PAPER)
    assert together[65:67] == [model.describe(b[i : i + 1], settings=PAPER)[0] for i in (65, 66)]


def test_lengths_count_the_prompt_only_when_told_to(model):
    b = embeddings(8)
    prompt = "a picture of"  # three tokens and the start token
    with end_token(model, -500):
        for settings, longest in (
            (with_(prompt=prompt, max_length=6, count_prompt=True), 2),
            (with_(prompt=prompt, max_length=6, count_prompt=False), 6),
            (with_(max_length=6, count_prompt=True), 5),
        ):
            assert {len(c.split()) for c in model.describe(b, settings=settings)} == {longest}
    with end_token(model, 500):
        for settings, shortest in (
            (with_(prompt=prompt, count_prompt=True), 0),  # the prompt alone reaches the shortest length
            (with_(prompt=prompt, count_prompt=False), 4),
            (with_(count_prompt=True), 3),
        ):
            assert {len(c.split()) for c in model.describe(b, settings=settings)} == {shortest}


def test_the_penalty_forbids_words_twice_and_the_prompt_is_cut_off(model):
    b = embeddings(16)
    with end_token(model, -500):
        for caption in model.describe(b, settings=with_(repetition_penalty=1e6, max_length=8)):
            words = caption.split()
            assert len(words) == len(set(words)) == 7
        prompted = with_(prompt="a picture of", repetition_penalty=1e6, max_length=8)
        for caption in model.describe(b, settings=prompted):
            assert len(caption.split()) == 4
            assert not {"a", "picture", "of"} & set(caption.split())


def test_a_folder_of_another_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(InputError, match=r"expected a captioner \(blip or blip-2\), found model type vit"):
        frozen.captioner(str(tmp_path), precision="float32")


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path):
    save_blip(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["vision_model.post_layernorm.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"none for 1, first vision_model.post_layernorm.weight"):
        frozen.captioner(str(tmp_path), precision="float32")
