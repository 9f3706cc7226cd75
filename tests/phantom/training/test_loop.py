from dataclasses import replace

import pytest
import torch
from torch import nn

from brainflix.phantom.training.loop import LoopSettings, schedule, train

SETTINGS = LoopSettings(
    steps=60,
    batch=16,
    optimizer="adamw",
    learning_rate=1e-2,
    warmup_steps=5,
    weight_decay=0.0,
    clip_norm=1.0,
    average_decay=0.9,
    checkpoint_every=20,
)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.LayerNorm(128), nn.Linear(128, 3))


def loss_of(model):
    """Squared error against a fixed network of the same shape."""
    torch.manual_seed(1)
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(32, 3)).requires_grad_(False)

    def loss(step: int) -> torch.Tensor:
        x = torch.randn(SETTINGS.batch, 2, 4, 4, generator=torch.Generator().manual_seed(step))
        return (model(x).float() - teacher(x).float()).square().mean()

    return loss


def same(one: nn.Module, two: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_training_lowers_the_loss(tmp_path, optimizer):
    model = network()
    loss = loss_of(model)
    before = sum(loss(10_000 + i).item() for i in range(10))
    average = train(
        model=model, loss=loss, settings=replace(SETTINGS, optimizer=optimizer), checkpoint=tmp_path / "c.pt"
    )
    assert sum(loss_of(average)(10_000 + i).item() for i in range(10)) < 0.5 * before


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path, optimizer):
    settings = replace(SETTINGS, optimizer=optimizer)
    model = network()
    whole = train(model=model, loss=loss_of(model), settings=settings, checkpoint=tmp_path / "whole.pt")

    class Killed(Exception):
        pass

    model = network()
    loss = loss_of(model)

    def until_killed(step: int) -> torch.Tensor:
        if step == 47:
            raise Killed
        return loss(step)

    with pytest.raises(Killed):
        train(model=model, loss=until_killed, settings=settings, checkpoint=tmp_path / "part.pt")
    model = network()
    resumed = train(model=model, loss=loss_of(model), settings=settings, checkpoint=tmp_path / "part.pt")
    assert same(whole, resumed)


def test_muon_moves_every_singular_direction_of_a_matrix_alike(tmp_path):
    """The first step of Muon is about orthogonal: no direction of the gradient dominates."""
    torch.manual_seed(0)
    model = nn.Linear(12, 8)
    start = model.weight.detach().clone()
    slopes = torch.diag(torch.logspace(0, -1, 8)) @ torch.linalg.qr(torch.randn(12, 8)).Q.T
    train(
        model=model,
        loss=lambda step: (model.weight * slopes).sum() + model.bias.sum(),
        settings=replace(SETTINGS, steps=1, optimizer="muon"),
        checkpoint=tmp_path / "c.pt",
    )
    moved = torch.linalg.svdvals(model.weight.detach() - start)
    assert torch.linalg.svdvals(slopes)[[0, -1]].tolist() == pytest.approx([1, 0.1], rel=1e-4)
    assert moved[0] / moved[-1] < 2.5


def test_the_learning_rate_rises_and_falls_to_zero():
    rates = [schedule(step, SETTINGS) for step in range(61)]
    assert rates[0] == pytest.approx(0.2) and rates[4] == 1 and max(rates) == 1
    assert rates[60] == pytest.approx(0) and rates[32] == pytest.approx(0.5, abs=0.03)
