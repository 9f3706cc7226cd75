"""Published weights in our names compute what they computed; weights of anything else are refused."""

import numpy as np
import pytest
import torch

from brainflix.errors import InputError
from brainflix.models.mbm import load_encoder, load_model, split_patches
from brainflix.models.mindvis import translate
from tests.models import mindvis

SIZES = [(30, 8), (32, 9), (29, 8)]  # vertices, and patches of 4 that theirs are filled to


def translated(weights, vertices=30, config=mindvis.CONFIG, pool="patches"):
    return translate(weights, config, vertices=vertices, pool=pool, where="theirs.pth")


def responses(vertices, rows=3):
    return np.random.default_rng(7).standard_normal((rows, vertices)).astype(np.float32)


@pytest.mark.parametrize("vertices, patches", SIZES)
def test_predictions_tokens_and_loss_are_theirs(vertices, patches):
    weights, x = mindvis.state(patches), responses(vertices)
    model, theirs = load_model(*translated(weights, vertices)).eval(), mindvis.Model(weights)
    full = mindvis.padded(x, 4)
    assert full.shape == (3, 4 * patches)
    visible, hidden = split_patches(3, patches, 0.75, torch.Generator().manual_seed(1), "cpu")
    values = torch.from_numpy(x)
    with torch.inference_mode():
        predicted, loss = model(values, visible, hidden), model.loss(values, torch.Generator().manual_seed(1))
        seen, straight = model.encoder(values, visible), model.encoder(values)
    errors = []
    for i in range(3):
        wanted = theirs.predictions(full[i], visible[i].numpy())
        np.testing.assert_allclose(predicted[i], wanted[hidden[i]], atol=1e-5)
        np.testing.assert_allclose(seen[i], theirs.tokens(full[i], visible[i].numpy()), atol=1e-5)
        np.testing.assert_allclose(straight[i], theirs.tokens(full[i], np.arange(patches)), atol=1e-5)
        errors += [np.square(wanted[j] - full[i].reshape(-1, 4)[j]).mean() for j in hidden[i]]
    assert loss.item() == pytest.approx(np.mean(errors), rel=1e-5), "what is wrapped around counts, as it did"


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_sizes_are_read_from_settings_and_weights(ratio):
    config = {**mindvis.CONFIG, "mlp_ratio": ratio}
    header = translated(mindvis.state(8, config), config=config, pool="class")[1]
    assert header == {
        "vertices": 30,
        "wrapped_patches": 8,
        "model": {
            "patch": 4, "width": 16, "depth": 2, "heads": 4, "mlp_ratio": ratio, "decoder_width": 8,
            "decoder_depth": 3, "decoder_heads": 2, "mask_ratio": 0.75, "pool": "class",
        },
    }  # fmt: skip


def test_a_length_that_others_filled_without_an_extra_patch_is_taken_as_it_is():
    weights, x = mindvis.state(8), responses(32)
    encoder = load_encoder(*translated(weights, 32))
    wanted = mindvis.Model(weights).tokens(x[0], np.arange(8))
    np.testing.assert_allclose(encoder(torch.from_numpy(x[:1]))[0].detach(), wanted, atol=1e-5)


def test_an_encoder_alone_is_an_encoder():
    weights = {k: v for k, v in mindvis.state(8).items() if not k.startswith(("decoder", "mask"))}
    tensors, header = translated(weights)
    assert all(name.startswith("encoder.") for name in tensors) and header["model"]["decoder_depth"] == 0
    load_encoder(tensors, header)


def test_the_head_for_pictures_is_left_out():
    weights = {**mindvis.state(8), "nature_img_mask_token": torch.zeros(1, 1, 8)}
    assert set(translated(weights)[0]) == set(translated(mindvis.state(8))[0])


def change(**arrays):
    return lambda weights: weights.update(arrays)


@pytest.mark.parametrize(
    "breakage, sentence",
    [
        (lambda w: w.pop("blocks.1.attn.qkv.bias"), r"expected an array blocks\.1\.attn\.qkv\.bias, found none"),
        (lambda w: w.pop("pos_embed"), "expected an array pos_embed, found none"),
        (lambda w: w.pop("mask_token"), "expected an array mask_token, found none"),
        (change(norm=3), "found also norm$"),
        (
            change(**{"patch_embed.proj.weight": torch.zeros(16, 1, 8)}),
            r"expected patch_embed\.proj\.weight of shape \(16, 1, 4\), found \(16, 1, 8\)",
        ),
        (
            change(**{"blocks.0.mlp.fc1.weight": torch.full((16, 16), torch.nan)}),
            r"expected finite values in blocks\.0\.mlp\.fc1\.weight, found NaN",
        ),
        (change(pos_embed=torch.zeros(1, 9, 16)), "expected the sines and cosines in pos_embed, found other positions"),
        (
            change(decoder_pos_embed=torch.zeros(1, 9, 8)),
            "expected the sines and cosines in decoder_pos_embed, found other positions",
        ),
        (change(**{"blocks.2.norm1.bias": torch.zeros(16)}), r"found also blocks\.2\.norm1\.bias"),
    ],
)
def test_weights_that_are_not_what_their_settings_say_are_refused(breakage, sentence):
    weights = mindvis.state(8)
    breakage(weights)
    with pytest.raises(InputError, match=r"^theirs\.pth: " + ".*" + sentence):
        translated(weights)


def test_weights_for_another_number_of_vertices_are_refused():
    sentence = r"expected positions of 8 patches of 4, for 30 vertices, found 9 \(36 values\)"
    with pytest.raises(InputError, match=sentence):
        translated(mindvis.state(9))
    with pytest.raises(InputError, match=r"expected positions of 8 or 9 patches of 4, for 32 vertices, found 7"):
        translated(mindvis.state(7), 32)


@pytest.mark.parametrize(
    "config, sentence",
    [
        ({"depth": 2}, "expected settings patch_size, .* found no patch_size, embed_dim, num_heads"),
        ({**mindvis.CONFIG, "num_heads": "4"}, r"theirs\.pth: config\.heads: expected int, found '4'"),
        ({**mindvis.CONFIG, "num_heads": 3}, "width must be a multiple of heads"),
        ({**mindvis.CONFIG, "patch_size": 8}, "expected positions of 4 patches of 8, for 30 vertices, found 8"),
    ],
)
def test_settings_that_are_no_model_or_another_one_are_refused(config, sentence):
    with pytest.raises(InputError, match=sentence):
        translated(mindvis.state(8), config=config)
