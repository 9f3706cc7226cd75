"""Settings: frozen dataclasses without defaults, read whole from JSON, refused with a readable sentence."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from cyclopts import Parameter

from brainflix.errors import InputError

T = TypeVar("T")


def build(cls: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """Make the dataclass ``cls`` from a mapping that must have exactly its keys, of its types.

    Args:
        where: what to call the mapping in an error, e.g. ``settings``.

    Raises:
        InputError: a key is missing or unknown, or a value is of another type.
    """
    if not isinstance(values, Mapping):
        raise InputError.about(where, expected=f"a mapping for {cls.__name__}", found=repr(values))
    types_ = get_type_hints(cls)
    names = [f.name for f in fields(cls)]
    for wrong, word in ((set(names) - set(values), "missing"), (set(values) - set(names), "unknown")):
        if wrong:
            found = f"{word} {', '.join(sorted(map(str, wrong)))}"
            raise InputError.about(where, expected=f"the keys {', '.join(names)}", found=found)
    return cls(**{name: _convert(types_[name], values[name], f"{where}.{name}") for name in names})


def _convert(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, where)
    if is_dataclass(kind):
        return build(kind, value, where=where)
    if origin in (tuple, list, Sequence) and isinstance(value, (list, tuple)):
        return tuple(_convert(arguments[0], item, where) for item in value)
    if origin is not None and not isinstance(origin, type):  # Literal
        if value in arguments:
            return value
    elif kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif isinstance(kind, type) and type(value) is kind:
        return value
    elif isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        return dict(value)
    expected = getattr(kind, "__name__", None) if origin is None else str(kind)
    raise InputError.about(where, expected=str(expected), found=repr(value))


def _from_json(cls: Any, tokens: Sequence[Any]) -> Any:
    text = tokens[0].value
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError.about("settings", expected="JSON", found=f"{text!r} ({error})") from error
    return build(cls, values, where="settings") if is_dataclass(cls) else values


_JSON = Parameter(converter=_from_json, n_tokens=1, accepts_keys=False)
Settings = Annotated[T, _JSON]  # a step's argument: settings: Settings[MbmSettings]
Options = Annotated[dict[str, Any], _JSON]  # a dataset's options, validated by its adapter
