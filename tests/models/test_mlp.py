"""The residual MLP: published sizes, change of variables, and learning in a basis."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from brainflix.models.mlp import Mlp, MlpSettings, ResidualMlp, fit_affine
from brainflix.training import TrainingSettings

TRAINING = TrainingSettings(
    epochs=1, batch=8, accumulate=1, learning_rate=1e-3, warmup_epochs=0, weight_decay=0.0,
    betas=(0.9, 0.999), clip_norm=None, precision="float32", compile=False, blocks=None,
)  # fmt: skip
PAPER = {"hidden": 2048, "blocks": 3, "dropout": 0.3}


@pytest.mark.parametrize(
    "inputs, outputs, parameters",
    [
        (1024, 4 * 15 * 33 * 33, 148_586_300),
        (1024, 226 * 768, 370_345_472),
        (13_156, 4 * 15 * 33 * 33, 173_432_636),
        (13_156, 226 * 768, 395_191_808),
        # 1,024 x 2,048 + 2,048, three of 2,048 x 2,048 + 2,048, norms of 2 x 2,048 each, 2,049 an output
        (1024, 77 * 1024, 2_099_200 + 3 * 4_196_352 + 4 * 4_096 + 2_049 * 78_848),
    ],
)
def test_paper_size_has_the_published_parameter_counts(inputs, outputs, parameters):
    with torch.device("meta"):
        network = ResidualMlp(inputs=inputs, outputs=outputs, **PAPER)
        assert network(torch.zeros(2, inputs)).shape == (2, outputs)
    assert sum(p.numel() for p in network.parameters()) == parameters


def chosen(components: int | None, dropout: float = 0.0) -> MlpSettings:
    return MlpSettings(
        hidden=16, blocks=2, dropout=dropout, target_components=components, repeats="single", variance_folds=None,
        training=TRAINING,
    )  # fmt: skip


def small(components: int | None, dropout: float = 0.0) -> tuple[Mlp, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 6)).astype(np.float32) * 4 + 2
    y = (rng.standard_normal((12, 3)) @ rng.standard_normal((3, 40)) * 7 + 5).astype(np.float32)
    return Mlp.untrained(chosen(components, dropout), fit_affine(x, y, components), seed=3), x, y


def test_the_output_is_the_papers_stack_written_out():
    mlp, x, _ = small(None)
    network = mlp.network.eval()
    layer = lambda m, h: torch.nn.functional.gelu(m.norm(m.linear(h)))  # noqa: E731
    h = layer(network.first, torch.from_numpy(x))
    for block in network.blocks:
        h = h + layer(block, h)
    torch.testing.assert_close(network(torch.from_numpy(x)), network.output(h))


def test_targets_survive_the_change_of_variables():
    for components in (None, 3):  # the targets have rank 3
        affine = small(components)[0].affine
        y = small(components)[2]
        np.testing.assert_allclose(affine.to_targets(affine.to_network(y)), y, rtol=1e-4, atol=1e-3)


def test_components_are_orthonormal_and_those_of_an_svd():
    mlp, _, y = small(2)
    basis = mlp.affine.basis
    np.testing.assert_allclose(basis @ basis.T, np.eye(2), atol=1e-5)
    expected = np.linalg.svd(y - y.mean(0))[2][:2]
    np.testing.assert_allclose(np.abs(basis @ expected.T), np.eye(2), atol=1e-4)


def test_no_more_components_than_the_targets_have():
    assert len(small(30)[0].affine.basis) == 3


def test_centred_and_scaled_targets_have_unit_mean_square():
    mlp, _, y = small(None)
    assert np.square(mlp.affine.to_network(y)).mean() == pytest.approx(1.0, rel=1e-4)
    np.testing.assert_allclose(mlp.affine.to_network(y).mean(axis=0), 0.0, atol=1e-5)


def test_the_loss_in_a_whole_basis_is_the_loss_in_the_targets():
    direct, x, y = small(None)
    basis = small(3)[0]
    basis.network.eval(), direct.network.eval()
    in_basis = basis.loss(x, basis.affine.to_network(y)).item()
    errors = (basis.predict(x) - y) / basis.affine.target_scale
    assert in_basis == pytest.approx(float(np.square(errors).mean()), rel=1e-4)


def test_plain_gradient_descent_in_the_basis_is_gradient_descent_in_the_targets():
    # The loss is invariant under rotation of the outputs, and so are the steps of SGD.
    basis, x, y = small(3)
    direct = small(None)[0]
    rotation = torch.from_numpy(basis.affine.basis).double()
    for network in (basis.network, direct.network):
        network.double().train()
    direct.network.load_state_dict(
        {
            **basis.network.state_dict(),
            "output.weight": rotation.T @ basis.network.output.weight.data,
            "output.bias": rotation.T @ basis.network.output.bias.data,
        }
    )
    z = torch.from_numpy(basis.affine.features(x)).double()
    full = torch.from_numpy(basis.affine.to_network(y)).double() @ rotation
    for network, wanted in ((basis.network, full @ rotation.T), (direct.network, full)):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
        for _ in range(50):
            optimizer.zero_grad()
            ((network(z) - wanted).square().sum(dim=1).mean() / 40).backward()
            optimizer.step()
    difference = basis.network(z) @ rotation - direct.network(z)
    assert difference.abs().max().item() < 1e-6  # the basis itself is only float32


@pytest.mark.parametrize("components", [None, 3])
def test_a_regressor_comes_back_from_its_arrays(components):
    mlp, x, _ = small(components)
    arrays = {k: np.asarray(v) for k, v in mlp.tensors().items()}
    np.testing.assert_array_equal(Mlp.from_tensors(arrays, vars(chosen(components))).predict(x), mlp.predict(x))


def test_a_gain_stretches_predictions_around_the_mean_and_is_kept():
    mlp, x, _ = small(3)
    plain, gain = mlp.predict(x), np.linspace(0.5, 3, 40).astype(np.float32)
    mlp.affine = replace(mlp.affine, gain=gain)
    mean = mlp.affine.target_mean
    np.testing.assert_allclose(mlp.predict(x), (plain - mean) * gain + mean, rtol=1e-4, atol=1e-4)
    arrays = {k: np.asarray(v) for k, v in mlp.tensors().items()}
    np.testing.assert_array_equal(Mlp.from_tensors(arrays, vars(chosen(3))).predict(x), mlp.predict(x))


def test_prediction_does_not_drop_units_or_depend_on_the_batch():
    mlp, x, _ = small(None, dropout=0.5)
    np.testing.assert_allclose(mlp.predict(x[:3]), mlp.predict(x)[:3], rtol=1e-5)


def test_the_scale_is_the_targets_standard_deviation_with_and_without_a_basis(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 4)), (5 + 7 * rng.standard_normal((6, 5000))).astype(np.float32)
    expected = np.sqrt(np.mean((y.astype(float) - y.mean(axis=0, dtype=float)) ** 2))
    assert fit_affine(x, y, 3).target_scale == pytest.approx(expected, rel=1e-6)
    monkeypatch.setattr("brainflix.models.mlp.gram", lambda *_: pytest.fail("no basis, no products of all pairs"))
    assert fit_affine(x, y, None).target_scale == pytest.approx(expected, rel=1e-6)
    assert fit_affine(x, np.ones((6, 5), np.float32), None).target_scale == 1
