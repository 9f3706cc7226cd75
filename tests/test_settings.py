"""Settings are complete, typed, and refused in readable sentences."""

from dataclasses import dataclass
from typing import Literal

import pytest

from brainflix.errors import InputError
from brainflix.settings import build


@dataclass(frozen=True)
class Inner:
    epochs: int


@dataclass(frozen=True)
class Outer:
    rate: float
    name: Literal["a", "b"]
    inner: Inner
    sizes: tuple[int, ...]
    limit: float | None


GOOD = {"rate": 1, "name": "a", "inner": {"epochs": 2}, "sizes": [1, 2], "limit": None}


def test_a_complete_mapping_becomes_the_dataclass():
    assert build(Outer, GOOD, where="x") == Outer(1.0, "a", Inner(2), (1, 2), None)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"rate": "1e-5"}, "x.rate: expected float, found '1e-5'"),
        ({"rate": True}, "x.rate: expected float, found True"),
        ({"name": "c"}, "x.name: expected .*'a', 'b'.*, found 'c'"),
        ({"inner": {"epochs": 1.5}}, "x.inner.epochs: expected int, found 1.5"),
        ({"inner": 3}, "x.inner: expected a mapping for Inner, found 3"),
        ({"sizes": ["1"]}, "x.sizes: expected int, found '1'"),
        ({"more": 1}, "x: expected the keys .*, found unknown more"),
    ],
)
def test_anything_else_is_refused_by_its_key(change, sentence):
    with pytest.raises(InputError, match=sentence):
        build(Outer, {**GOOD, **change}, where="x")


def test_a_missing_key_is_refused_because_nothing_has_a_default():
    with pytest.raises(InputError, match="found missing limit"):
        build(Outer, {k: v for k, v in GOOD.items() if k != "limit"}, where="x")
