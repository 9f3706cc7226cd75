"""The regressors there are, behind one function that loads any of them.

A regressor has ``predict(x) -> targets`` and ``tensors()``; its header says which kind it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from brainflix.models.ridge import Ridge


class Regressor(Protocol):
    """Features (n, p) to targets (n, t), both raw."""

    def predict(self, x: np.ndarray) -> np.ndarray: ...
    def tensors(self) -> dict[str, Any]: ...


def _ridge(tensors: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> Regressor:
    return Ridge.from_tensors(tensors, header)


def _mlp(tensors: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> Regressor:
    from brainflix.models.mlp import Mlp

    return Mlp.from_tensors(tensors, header["settings"])


LOADERS = {"ridge": _ridge, "mlp": _mlp}


def load_regressor(tensors: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> Regressor:
    """The regressor of a weights file, by ``model`` in its header."""
    return LOADERS[header["model"]](tensors, header)
