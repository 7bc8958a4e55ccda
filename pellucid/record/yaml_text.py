"""Read YAML that may come from anywhere: it cannot exhaust the stack or the memory."""

from __future__ import annotations

from typing import Any

import yaml

LARGEST = 100_000
"""Values of the largest config; a few lines of aliases of aliases unfold to billions."""

DEEPEST = 50
"""Levels of the deepest config; libyaml would exhaust the stack with thousands."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(text: str) -> Any:
    """Read YAML of bounded depth whose aliases unfold to a bounded number of values.

    Raises:
        ValueError: it is not YAML, too large or too deep, contains itself, or holds an impossible date.
    """
    try:
        return _load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except (AttributeError, LookupError, TypeError, OverflowError) as error:  # `!!int x`, `!!timestamp x`
        raise ValueError(f"a value does not fit its tag: {error}") from None


def _load(text: str) -> Any:
    _check_size(text)
    loader = LOADER(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if (size := _size(node, {})) > LARGEST:
            raise ValueError(f"its aliases unfold to {size:,} values: expected at most {LARGEST:,}")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_size(text: str) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=LOADER)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} levels deep")
        if count > 2 * LARGEST:
            raise ValueError(f"it holds more than {LARGEST:,} values")


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Return the number of values in a node, with each alias counted as what it stands for."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = LARGEST + 1  # counts as too large where it contains itself
    inner = node.value if isinstance(node, (yaml.SequenceNode, yaml.MappingNode)) else ()
    parts = [part for entry in inner for part in (entry if isinstance(entry, tuple) else (entry,))]
    known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]
