"""Plain values: what JSON can hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from torch import Tensor


def not_plain(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the key (such as "best.value") and the value of everything in it that JSON cannot hold."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from not_plain(part, f"{key}.{name}" if key else str(name))
            if not isinstance(name, (str, int, float, type(None))):
                yield key, name
    elif isinstance(value, (list, tuple)):
        for number, part in enumerate(value):
            yield from not_plain(part, f"{key}[{number}]")
    elif not isinstance(value, (str, int, float, type(None))):
        yield key, value


def returns_equal(value: Any) -> bool:
    """Return whether a value is the same after JSON: a tuple, for example, becomes a list."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError, RuntimeError):
        return False


def without_tensors(value: Any) -> Any:
    """Return a nested value with every tensor as a number or a list of numbers."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: without_tensors(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(without_tensors(part) for part in value)
    return value


def in_words(value: Any) -> str:
    """Return what a value is, for a message: its type, and the shape of a tensor."""
    shape = f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
    return f"a {type(value).__name__}{shape}"
