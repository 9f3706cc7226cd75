"""The masked autoencoder: published sizes, and what the released code gets wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml

from brainflix.errors import InputError
from brainflix.models.mbm import (
    MaskedBrainModel,
    MbmSettings,
    initialise,
    load_encoder,
    sincos_positions,
    split_patches,
)
from brainflix.settings import build

PAPER = build(
    MbmSettings,
    yaml.safe_load((Path(__file__).parents[2] / "config" / "paper.yaml").read_text())["pretrain"]["model"],
    where="pretrain.model",
)
SMALL = MbmSettings(
    patch=4, width=16, depth=2, heads=4, mlp_ratio=1.0, decoder_width=8, decoder_depth=1,
    decoder_heads=2, mask_ratio=0.75, pool="patches",
)  # fmt: skip


def small(vertices: int = 30) -> MaskedBrainModel:
    model = MaskedBrainModel(SMALL, vertices=vertices)
    initialise(model, seed=1)
    return model


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_paper_size_has_the_published_parameter_counts():
    with torch.device("meta"):
        model = MaskedBrainModel(PAPER, vertices=13_156)
    assert model.encoder.patches == 823
    assert count(model.encoder) == 151_261_184
    assert count(model.decoder) == 13_158_416
    assert count(model) == 164_419_600
    frozen = model.encoder.positions.numel() + model.decoder.positions.numel()
    assert count(model) + frozen == 165_685_264


def test_paper_size_sees_205_of_823_patches_and_predicts_the_others():
    with torch.device("meta"):
        model = MaskedBrainModel(PAPER, vertices=13_156)
        visible, hidden = torch.zeros(2, 205, dtype=torch.int64), torch.zeros(2, 618, dtype=torch.int64)
        assert model(torch.zeros(2, 13_156), visible, hidden).shape == (2, 618, 16)
        assert model.encoder.embedding(torch.zeros(2, 13_156)).shape == (2, 1024)
    drawn = split_patches(2, 823, 0.75, torch.Generator().manual_seed(0), "cpu")
    assert [d.shape[1] for d in drawn] == [205, 618]


def test_mlp_ratio_four_has_the_parameters_of_vit_large():
    with torch.device("meta"):
        model = MaskedBrainModel(MbmSettings(**{**vars(PAPER), "mlp_ratio": 4.0}), vertices=13_156)
    assert (count(model.encoder), count(model.decoder)) == (302_329_856, 25_753_616)


def test_a_divisible_length_gets_no_extra_patch():
    assert MaskedBrainModel(SMALL, vertices=32).encoder.patches == 8


def test_positions_are_the_sines_then_cosines_of_the_original():
    # As in the original's numpy: get_1d_sincos_pos_embed with a row of zeros for the class token.
    omega = 1.0 / 10000 ** (np.arange(8, dtype=float) / 8.0)
    out = np.einsum("m,d->md", np.arange(5), omega)
    expected = np.concatenate([np.zeros((1, 16)), np.concatenate([np.sin(out), np.cos(out)], axis=1)])
    np.testing.assert_allclose(sincos_positions(5, 16), expected, atol=1e-7)


def test_every_patch_is_either_visible_or_hidden_and_samples_differ():
    visible, hidden = split_patches(3, 20, 0.75, torch.Generator().manual_seed(0), "cpu")
    both = torch.cat([visible, hidden], dim=1).sort(dim=1).values
    assert torch.equal(both, torch.arange(20).expand(3, -1))
    assert not torch.equal(visible[0], visible[1])


def test_all_patches_visible_gives_the_mask_free_tokens_in_their_order():
    model = small()
    x = torch.randn(2, 30, generator=torch.Generator().manual_seed(0))
    order = torch.tensor([[3, 1, 7, 0, 2, 6, 5, 4]]).expand(2, -1)
    shuffled = model.encoder(x, order)
    straight = model.encoder(x)
    torch.testing.assert_close(shuffled[:, 1:], straight[:, 1:].gather(1, order[:, :, None].expand(-1, -1, 16)))


def test_a_plain_masked_autoencoder_written_out_gives_the_same_loss():
    model, x = small(32), torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    visible, hidden = split_patches(3, 8, 0.75, torch.Generator().manual_seed(5), "cpu")
    loss = model.loss(x, torch.Generator().manual_seed(5))
    # The original's way: embed all, mask after, put mask tokens back in place, decode all in order.
    e, d = model.encoder, model.decoder
    weight = e.embed.weight[:, None, :]  # its Conv1d
    embedded = F.conv1d(x[:, None], weight, e.embed.bias, stride=4).transpose(1, 2) + e.positions[1:]
    losses = []
    for i in range(3):
        tokens = torch.cat([e.class_token[0] + e.positions[:1], embedded[i, visible[i]]])[None]
        for block in e.blocks:
            tokens = block(tokens)
        seen = d.embed(e.norm(tokens))[0]
        full = d.mask_token[0].repeat(8, 1).index_copy(0, visible[i], seen[1:]) + d.positions[1:]
        full = torch.cat([seen[:1], full])[None]
        for block in d.blocks:
            full = block(full)
        predicted = d.head(d.norm(full))[0, 1:]
        errors = (predicted - x[i].view(8, 4)).square().mean(dim=1)
        losses.append(errors[hidden[i]].mean())
    torch.testing.assert_close(loss, torch.stack(losses).mean())


def test_the_zeros_that_fill_the_last_patch_do_not_count_in_the_loss():
    model, x = small(30), torch.randn(4, 30, generator=torch.Generator().manual_seed(0))
    before = model.loss(x, torch.Generator().manual_seed(2))
    with torch.no_grad():  # outputs 2 and 3 of the last patch are padding, but real elsewhere
        model.decoder.head.bias[2:] += 100.0
    hidden = split_patches(4, 8, 0.75, torch.Generator().manual_seed(2), "cpu")[1]
    assert (hidden == 7).any()
    with torch.no_grad():
        model.real[:7, 2:] = 0.0
        after = model.loss(x, torch.Generator().manual_seed(2))
        model.decoder.head.bias[2:] -= 100.0
        torch.testing.assert_close(model.loss(x, torch.Generator().manual_seed(2)), after)
    assert torch.isfinite(before)


def test_the_embedding_is_the_mean_of_patch_tokens_or_the_class_token():
    model, x = small(), torch.randn(2, 30)
    tokens = model.encoder(x)
    torch.testing.assert_close(model.encoder.embedding(x), tokens[:, 1:].mean(dim=1))
    model.encoder.settings = MbmSettings(**{**vars(SMALL), "pool": "class"})
    torch.testing.assert_close(model.encoder.embedding(x), tokens[:, 0])


def test_attention_of_a_block_is_softmax_attention_with_all_heads():
    model = small()
    block, x = model.encoder.blocks[0], torch.randn(2, 5, 16)
    reference = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    reference.in_proj_weight.data, reference.in_proj_bias.data = block.qkv.weight.data, block.qkv.bias.data
    reference.out_proj.load_state_dict(block.attention_out.state_dict())
    torch.testing.assert_close(block._attend(x), reference(x, x, x)[0])


def test_initial_weights_depend_on_the_seed_alone():
    a, b, c = small(), small(), MaskedBrainModel(SMALL, vertices=30)
    initialise(c, seed=2)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.encoder.embed.weight, c.encoder.embed.weight)
    assert 0.015 < a.encoder.embed.weight.std().item() < 0.025
    bound = (6 / (16 + 48)) ** 0.5
    assert a.encoder.blocks[0].qkv.weight.abs().max().item() <= bound


def test_an_encoder_comes_back_from_its_arrays():
    model, x = small(), torch.randn(2, 30)
    arrays = {k: v.numpy() for k, v in model.state_dict().items()}
    encoder = load_encoder(arrays, {"model": vars(SMALL), "vertices": 30})
    torch.testing.assert_close(encoder(x), model.encoder(x))


def test_hidden_patches_are_predicted_when_responses_have_structure():
    model, generator = small(32), torch.Generator().manual_seed(0)
    mode = torch.randn(1, 32, generator=generator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        loss = model.loss(torch.randn(64, 1, generator=generator) @ mode, generator)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * mode.square().mean().item()


@pytest.mark.parametrize("wrong", [{"heads": 3}, {"mask_ratio": 1.0}, {"mask_ratio": 0.0}])
def test_impossible_sizes_are_refused_in_words(wrong):
    with pytest.raises(InputError, match="settings: "):
        MbmSettings(**{**vars(SMALL), **wrong})
