"""Shapes and types of arrays that annotations promise are checked while tests run."""

from pathlib import Path

import jaxtyping
import numpy as np
import pytest

from brainflix import metrics

PACKAGE = Path(__file__).parents[1] / "brainflix"


def test_every_module_that_annotates_shapes_is_checked(pytestconfig):
    files = [path for path in PACKAGE.rglob("*.py") if "from jaxtyping import" in path.read_text()]
    annotated = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in files}
    *checked, checker = pytestconfig.getoption("jaxtyping_packages").split(",")
    assert set(checked) == annotated and checker == "beartype.beartype"


def test_a_wrong_shape_is_told_from_a_right_one():
    scores = np.random.default_rng(0).random((2, 3, 5))
    partners = np.arange(2)[None]
    assert metrics.n_way(scores, scores, partners, ways=2, rule="top1").shape == (1, 2)
    with pytest.raises(jaxtyping.TypeCheckError):
        metrics.n_way(scores, scores, partners[0], ways=2, rule="top1")
