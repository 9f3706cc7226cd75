"""The paper's residual MLP (section 4, stage 2), and a regressor around it.

A linear layer and three residual blocks of 2,048 units, each linear - batch norm - GELU - dropout,
and a linear output layer, trained with a mean squared error. One linear layer a block gives the
published sizes: 148,586,300 parameters from 1,024 features to z, 370,345,472 to b.

Features are standardised and targets centred and divided by one number, the standard deviation of
all of them, so that a learning rate means the same for z and b; a prediction undoes it. Optionally
the network predicts the leading principal components of the training targets in place of the
targets: the loss is the same but for a constant, at a small part of the cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainflix import crew
from brainflix.errors import InputError
from brainflix.models.moments import (
    Columns,
    combine,
    gram,
    mean_and_scale,
    plain_mean,
    principal_weights,
    sum_of_squares,
)
from brainflix.training import TrainingSettings


@dataclass(frozen=True)
class MlpSettings:
    """The network, and how it is trained.

    Attributes:
        hidden: units of the first layer and of the blocks.
        blocks: residual blocks.
        dropout: probability of a unit to be dropped.
        target_components: principal components of the training targets to predict; None predicts
            the targets themselves, as published.
        repeats: a row a single trial, or the averaged features of a subject's trials of a stimulus.
        variance_folds: stretch predictions as ridge's ``match_variance`` does, by those of so many networks more,
            each trained without a fold of the training stimuli; None leaves them as they are.
        training: the loop's settings.
    """

    hidden: int
    blocks: int
    dropout: float
    target_components: int | None
    repeats: Literal["single", "averaged"]
    variance_folds: int | None
    training: TrainingSettings

    def __post_init__(self) -> None:
        for name, least in (("target_components", 1), ("variance_folds", 2)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError.about(f"settings.{name}", expected=f"{least} or more, or null", found=str(value))


class Layer(nn.Module):
    """Linear, batch norm, GELU, dropout."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(F.gelu(self.norm(self.linear(x))))


class ResidualMlp(nn.Module):
    """(batch, inputs) to (batch, outputs)."""

    def __init__(self, *, inputs: int, outputs: int, hidden: int, blocks: int, dropout: float) -> None:
        super().__init__()
        self.first = Layer(inputs, hidden, dropout)
        self.blocks = nn.ModuleList(Layer(hidden, hidden, dropout) for _ in range(blocks))
        self.output = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.output(x)

    def initialise(self, seed: int) -> None:
        """PyTorch's usual weights, U(-1/sqrt(inputs), 1/sqrt(inputs)), from a seed."""
        generator = torch.Generator().manual_seed(seed)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


@dataclass(frozen=True)
class Affine:
    """The change of variables around the network: features in, targets out.

    Attributes:
        feature_mean, feature_scale: (p,).
        target_mean: (t,).
        target_scale: one number, as an array ().
        basis: (components, t) with orthonormal rows, or None.
        gain: (t,) stretches predictions around ``target_mean``, or None.
    """

    feature_mean: np.ndarray
    feature_scale: np.ndarray
    target_mean: np.ndarray
    target_scale: np.ndarray
    basis: np.ndarray | None
    gain: np.ndarray | None = None

    @property
    def outputs(self) -> int:
        """How many numbers the network predicts."""
        return len(self.target_mean) if self.basis is None else len(self.basis)

    def features(self, x: np.ndarray) -> np.ndarray:
        """Raw features (n, p) to the network's input."""
        return ((x - self.feature_mean) / self.feature_scale).astype(np.float32)

    def to_network(self, targets: np.ndarray) -> np.ndarray:
        """Raw targets (n, t) to what the network is to predict (n, outputs)."""
        scaled = (targets - self.target_mean) / self.target_scale
        return (scaled if self.basis is None else scaled @ self.basis.T).astype(np.float32)

    def to_targets(self, predicted: np.ndarray) -> np.ndarray:
        """The network's predictions (n, outputs) to raw targets (n, t)."""
        full = (predicted if self.basis is None else predicted @ self.basis) * self.target_scale
        return ((full if self.gain is None else full * self.gain) + self.target_mean).astype(np.float32)


def fit_affine(x: np.ndarray, targets: Columns, components: int | None) -> Affine:
    """Means and scales of the training features (n, p) of trials and targets (u, t) of stimuli."""
    feature_mean, feature_scale = mean_and_scale(x)
    mean = plain_mean(targets)
    products = None if components is None else gram(targets, mean)
    squares = sum_of_squares(targets, mean) if products is None else np.trace(products)
    basis = None if products is None else combine(principal_weights(products, components), targets, mean)
    return Affine(
        feature_mean=feature_mean.astype(np.float32),
        feature_scale=feature_scale.astype(np.float32),
        target_mean=mean.astype(np.float32),
        target_scale=np.float32(np.sqrt(squares / np.prod(targets.shape)) or 1.0),
        basis=basis,
    )


class Mlp:
    """A residual MLP with its change of variables: raw features to raw targets."""

    def __init__(self, network: ResidualMlp, affine: Affine) -> None:
        self.network, self.affine = network, affine

    @classmethod
    def untrained(cls, settings: MlpSettings, affine: Affine, *, seed: int) -> Mlp:
        """A new network for the features and targets of ``affine``."""
        mlp = cls(_network(affine, vars(settings)), affine)
        mlp.network.initialise(seed)
        return mlp

    def loss(self, x: np.ndarray, targets: np.ndarray) -> Tensor:
        """Mean squared error, per target in units of their variance (in a basis: less a constant)."""
        device = self.network.output.weight.device
        predicted = self.network(torch.from_numpy(self.affine.features(x)).to(device))
        wanted = torch.from_numpy(targets).to(device)
        return crew.gather((predicted - wanted).square().sum(dim=1)).mean() / len(self.affine.target_mean)

    @torch.inference_mode()
    def predict(self, x: np.ndarray) -> np.ndarray:
        """Targets (n, t) float32 of features (n, p)."""
        self.network.eval()
        device = self.network.output.weight.device
        predicted = self.network(torch.from_numpy(self.affine.features(x)).to(device))
        return self.affine.to_targets(predicted.float().cpu().numpy())

    def tensors(self) -> dict[str, Any]:
        """Arrays to keep; :meth:`from_tensors` undoes it."""
        network = {f"network.{k}": v.cpu() for k, v in self.network.state_dict().items()}
        arrays = {f"affine.{k}": v for k, v in vars(self.affine).items() if v is not None}
        return network | arrays

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Mlp:
        """The regressor that :meth:`tensors` describes, given the network's sizes."""
        arrays = {k.removeprefix("affine."): v for k, v in tensors.items() if k.startswith("affine.")}
        affine = Affine(**{"basis": None, **arrays})
        weights = {
            k.removeprefix("network."): torch.as_tensor(v) for k, v in tensors.items() if k.startswith("network.")
        }
        network = _network(affine, settings)
        network.load_state_dict(weights)
        return cls(network, affine)


def _network(affine: Affine, settings: Mapping[str, Any]) -> ResidualMlp:
    sizes = {name: settings[name] for name in ("hidden", "blocks", "dropout")}
    return ResidualMlp(inputs=len(affine.feature_mean), outputs=affine.outputs, **sizes)
