"""Masked brain modelling as published: every number of config/paper.yaml against its own derivation."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from brainflix.checkpoints import Checkpoints
from brainflix.models.mbm import MaskedBrainModel, MbmSettings, initialise, split_patches
from brainflix.settings import build
from brainflix.steps.pretrain import PretrainSettings
from brainflix.training import adamw, epoch_order, learning_rate, step_seed, train

ROOT = Path(__file__).parents[2]
PAPER = build(
    PretrainSettings, yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())["pretrain"], where="pretrain"
)
SMALL = MbmSettings(
    patch=4, width=16, depth=2, heads=4, mlp_ratio=1.0, decoder_width=8, decoder_depth=1, decoder_heads=2,
    mask_ratio=0.75, pool="patches",
)  # fmt: skip


def small(vertices=30):
    model = MaskedBrainModel(SMALL, vertices=vertices)
    initialise(model, seed=1)
    return model


def test_the_config_says_what_was_published():
    model, training = PAPER.model, PAPER.training
    assert (model.patch, model.width, model.depth, model.heads, model.mlp_ratio) == (16, 1024, 24, 16, 1.0)
    assert (model.decoder_width, model.decoder_depth, model.decoder_heads, model.mask_ratio) == (512, 8, 16, 0.75)
    assert (training.epochs, training.warmup_epochs, training.batch) == (200, 40, 300)
    assert (training.learning_rate, training.betas) == (2.5e-4, (0.9, 0.95))
    assert (training.weight_decay, training.clip_norm) == (0.05, 0.8)


def test_parameters_are_those_of_the_formula_to_the_unit():
    def linear(inputs, outputs):
        return inputs * outputs + outputs

    def block(width):  # two norms; queries, keys and values; what mixes heads; an MLP as wide as the block
        return 2 * 2 * width + linear(width, 3 * width) + 3 * linear(width, width)

    encoder = linear(16, 1024) + 1024 + 24 * block(1024) + 2 * 1024
    decoder = linear(1024, 512) + 512 + 8 * block(512) + 2 * 512 + linear(512, 16)
    assert (encoder, decoder, encoder + decoder) == (151_261_184, 13_158_416, 164_419_600)
    with torch.device("meta"):
        model = MaskedBrainModel(PAPER.model, vertices=13_156)
    for module, expected in ((model.encoder, encoder), (model.decoder, decoder)):
        assert sum(p.numel() for p in module.parameters() if p.requires_grad) == expected
    assert not {name for name, _ in model.named_parameters() if "position" in name}, "they are fixed"


def test_matrices_decay_and_vectors_do_not():
    model = small()
    decayed, spared = adamw(model, PAPER.training).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.05, 0.0)
    assert decayed["betas"] == spared["betas"] == (0.9, 0.95)
    names = {id(p): name for name, p in model.named_parameters()}
    spared = {names[id(p)] for p in spared["params"]}
    assert spared == {n for n in names.values() if n.endswith(".bias") or "norm" in n}
    # The tokens have three dimensions, and what MinD-Vis spares by is their number.
    assert {names[id(p)] for p in decayed["params"]} == set(names.values()) - spared


@pytest.mark.parametrize("epoch", [0, 0.1, 20, 39.99, 40, 41.5, 120, 199.9])
def test_the_rate_is_a_line_and_half_a_cosine(epoch):
    line, cosine = 2.5e-4 * epoch / 40, 2.5e-4 * math.cos(math.pi / 2 * (epoch - 40) / 160) ** 2
    assert learning_rate(epoch, PAPER.training) == pytest.approx(line if epoch < 40 else cosine, rel=1e-9)


def test_the_loss_is_the_squared_error_of_what_is_hidden_and_was_measured():
    model, x = small(30), torch.randn(5, 30, generator=torch.Generator().manual_seed(0))
    visible, hidden = split_patches(5, 8, 0.75, torch.Generator().manual_seed(4), "cpu")
    assert (hidden == 7).any(), "the last patch, of which two vertices were measured"
    predicted = model(x, visible, hidden)
    errors = []
    for i in range(5):
        for place, patch in enumerate(hidden[i].tolist()):
            measured = range(4 * patch, min(4 * patch + 4, 30))
            errors.append(sum((predicted[i, place, v % 4] - x[i, v]) ** 2 for v in measured) / len(measured))
    loss = sum(errors) / len(errors)
    torch.testing.assert_close(model.loss(x, torch.Generator().manual_seed(4)), loss)


ROWS, BATCH, EPOCHS, SEED = 12, 4, 3, 5
TRAINING = replace(PAPER.training, epochs=EPOCHS, batch=BATCH, warmup_epochs=1, precision="float32")


def test_steps_of_training_are_adamw_written_out(tmp_path):
    """Clipped gradients, moments with the published betas, decay beside them, the rate of the step."""
    x = torch.randn(ROWS, 30, generator=torch.Generator().manual_seed(2))
    # In float64: biases of keys have no gradient but rounding, which AdamW would blow up.
    x = x.double() * torch.linspace(0.5, 10, ROWS)[:, None]  # so that gradients are of many sizes
    model, plain = small().double(), small().double()
    train(
        name="test",
        model=model,
        loss=lambda rows, generator: model.loss(x[rows], generator),
        n_rows=ROWS,
        settings=TRAINING,
        seed=SEED,
        store=Checkpoints(tmp_path, identity={}, every_seconds=math.inf),
    )
    parameters, norms = list(plain.parameters()), []
    values = [p.detach().numpy().copy() for p in parameters]
    first, second = ([np.zeros_like(v) for v in values] for _ in range(2))
    for step in range(EPOCHS * ROWS // BATCH):
        epoch, place = divmod(step, ROWS // BATCH)
        rows = epoch_order(ROWS, SEED, epoch)[place * BATCH : (place + 1) * BATCH]
        with torch.no_grad():
            for parameter, value in zip(parameters, values, strict=True):
                parameter.copy_(torch.from_numpy(value))
        loss = plain.loss(x[rows], torch.Generator().manual_seed(step_seed(SEED, step)))
        gradients = [g.numpy() for g in torch.autograd.grad(loss, parameters)]
        norms.append(math.sqrt(sum(np.square(g).sum() for g in gradients)))
        done = step / (ROWS // BATCH)
        rate = 2.5e-4 * (done if done < 1 else math.cos(math.pi / 2 * (done - 1) / (EPOCHS - 1)) ** 2)
        for i, gradient in enumerate(gradients):
            gradient = gradient * min(1.0, 0.8 / norms[-1])
            first[i] = 0.9 * first[i] + 0.1 * gradient
            second[i] = 0.95 * second[i] + 0.05 * gradient**2
            mean, square = first[i] / (1 - 0.9 ** (step + 1)), second[i] / (1 - 0.95 ** (step + 1))
            decay = 0.05 if values[i].ndim > 1 else 0.0
            values[i] = values[i] - rate * (mean / (np.sqrt(square) + 1e-8) + decay * values[i])
    assert min(norms) > 0.8 and max(norms) > 1.5 * min(norms)
    for name, parameter, value in zip(dict(plain.named_parameters()), model.parameters(), values, strict=True):
        np.testing.assert_allclose(parameter.detach(), value, atol=1e-9, err_msg=name)
