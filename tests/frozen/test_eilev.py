import dataclasses

import numpy as np
import pytest
import torch

from brainflix import frozen
from brainflix.frozen import blueprints
from brainflix.frozen.eilev import Eilev
from brainflix.frozen.protocols import DecodingSettings
from tests.frozen.models import WORDS, shake

SETTINGS = DecodingSettings(
    prompt="red ball", beams=1, min_length=2, max_length=7, count_prompt=False, repetition_penalty=1.0
)
IMAGE_TOKEN, QUERIES = 5, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random BLIP-2 with OPT; its tokenizer is CLIP's kind, which spells words the same way."""
    from transformers import Blip2Config, Blip2ForConditionalGeneration, OPTConfig

    folder = tmp_path_factory.mktemp("eilev")
    tokenizer = blueprints.clip_tokenizer(WORDS, tokens=60)
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id, "pad_token_id": 1}
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2}
    text = OPTConfig(
        vocab_size=len(tokenizer), hidden_size=16, ffn_dim=16, word_embed_proj_dim=16, max_position_embeddings=64,
        do_layer_norm_before=True, **ends, **sizes,
    )  # fmt: skip
    config = Blip2Config(
        vision_config={"hidden_size": 16, "intermediate_size": 16, "image_size": 28, "patch_size": 14, **sizes},
        qformer_config={"hidden_size": 16, "intermediate_size": 16, "encoder_hidden_size": 16, **sizes},
        text_config=text.to_dict(),
        num_query_tokens=QUERIES,
        image_token_index=IMAGE_TOKEN,
    )
    shake(Blip2ForConditionalGeneration(config), seed=0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def model(folder):
    return frozen.captioner(folder, precision="float32")


def clips(n, frames, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, frames, 28, 28, 3), dtype=np.uint8)


def test_the_checkpoint_says_that_it_is_blip_2(model):
    assert isinstance(model, Eilev)


def test_of_one_frame_it_says_what_blip_2_says(model):
    one = clips(1, 1)
    ours = model.describe(model.embed(one, pixel_scale="unit"), settings=SETTINGS)
    prompt = model.tokenizer(SETTINGS.prompt).input_ids
    ids = model.model.generate(
        pixel_values=torch.from_numpy(one[:, 0]).permute(0, 3, 1, 2) / 255,
        input_ids=torch.tensor([[IMAGE_TOKEN] * QUERIES + prompt]),
        min_new_tokens=2,
        max_new_tokens=7,
        do_sample=False,
        eos_token_id=model._ends(),
    )[0, QUERIES + len(prompt) :]
    assert ours == [" ".join(model.tokenizer.decode(ids, skip_special_tokens=True).split())]
    assert ours != [""]


def test_the_language_model_reads_all_frames_at_once(model):
    clip = clips(1, 3)
    read = model.embed(clip, pixel_scale="clip")
    assert read.shape == (1, QUERIES, 16)
    for frame in range(3):
        changed = clip.copy()
        changed[:, frame] = 255 - changed[:, frame]
        assert np.abs(model.embed(changed, pixel_scale="clip") - read).max() > 1e-4
    assert not np.allclose(read, np.mean([model.embed(clip[:, i : i + 1], pixel_scale="clip") for i in range(3)], 0))


def test_a_caption_does_not_depend_on_its_batch_and_counts_the_prompt_when_told_to(model):
    read = model.embed(clips(10, 2), pixel_scale="unit")
    together = model.describe(read, settings=SETTINGS)
    assert together[9:] == model.describe(read[9:], settings=SETTINGS)
    short = dataclasses.replace(SETTINGS, max_length=5, min_length=5, count_prompt=True)
    prompt = len(model.tokenizer(SETTINGS.prompt).input_ids)
    assert model.describe(read, settings=short) != together
    assert prompt == 4  # start, two words, end: one new token is left
