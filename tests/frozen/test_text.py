import numpy as np
import pytest
import torch

from brainflix import frozen
from brainflix.errors import InputError
from brainflix.frozen import blueprints
from brainflix.frozen.text import ClipText, padded_tokens
from tests.frozen.models import SIZES, WORDS, save_clip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return ClipText(str(save_clip(tmp_path_factory.mktemp("clip"))), precision="float32")


def test_an_embedding_is_the_projected_state_of_the_end_token(model):
    e = model.embed(["red ball on stripes", "box"])
    assert e.shape == (2, SIZES.width) and e.dtype == np.float32
    ids = model.tokenizer(["red ball on stripes"], return_tensors="pt").input_ids
    states = model.model.text_model(ids).last_hidden_state
    assert ids[0, -1] == model.tokenizer.eos_token_id
    assert np.allclose(e[0], model.model.text_projection(states[0, -1]).numpy(), atol=1e-5)


def test_neither_padding_nor_company_changes_an_embedding(model):
    captions = ["red ball on stripes", "box", "a picture of green box on tiles"]
    together = model.embed(captions)
    for i, caption in enumerate(captions):
        assert np.allclose(model.embed([caption])[0], together[i], atol=1e-5)


def test_captions_longer_than_the_model_are_cut(model):
    ids = padded_tokens(model.tokenizer, ["red ball " * 50, "box"], length=SIZES.tokens)
    assert ids.shape == (2, SIZES.tokens)
    assert np.isfinite(model.embed(["red ball " * 50])).all()


def test_every_word_of_the_vocabulary_is_one_token_and_others_are_spelt():
    tokenizer = blueprints.clip_tokenizer(WORDS, tokens=20)
    for word in WORDS:
        assert tokenizer.tokenize(word) == [word + "</w>"]
    assert "".join(tokenizer.tokenize("zebra")) == "zebra</w>"
    assert tokenizer.tokenize("red zebra ball")[0] == "red</w>"


def test_names_that_look_like_paths_must_exist(tmp_path):
    for name in (str(tmp_path / "none"), "./none/here", "a/b/c", "~/none-such"):
        with pytest.raises(InputError, match="expected a model's folder"):
            frozen.resolve(name)
    assert frozen.resolve(str(tmp_path)) == str(tmp_path)
    assert frozen.resolve("cerspense/zeroscope_v2_576w") == "cerspense/zeroscope_v2_576w"


def test_a_shipped_name_that_does_not_exist_lists_those_that_do():
    with pytest.raises(InputError, match="a model that ships with brainflix"):
        frozen.resolve("brainflix:tiny/none")


def test_an_unknown_hub_name_is_one_sentence(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="nobody/no-such-model: expected a checkpoint of CLIPTextModelWithProjection"):
        frozen.text_encoder("nobody/no-such-model", precision="float32")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_half_precision_without_a_gpu_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected float32 where there is no GPU, found float16"):
        frozen.text_encoder(str(save_clip(tmp_path)), precision="float16")


def test_seeds_follow_names_and_not_places():
    assert frozen.clip_seeds(0, ["a", "b"]) == [frozen.clip_seeds(0, [name])[0] for name in "ab"]
    assert len({*frozen.clip_seeds(0, ["a", "b"]), *frozen.clip_seeds(1, ["a", "b"])}) == 4
