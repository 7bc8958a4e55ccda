"""The kinds of column, one file each: `KIND` of every module in this folder.

A new kind is a new file here, or `register(Kind(...))` at run time; nothing else names the kinds.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil

from pellucid.data.kinds.kind import Kind
from pellucid.errors import UnknownNameError

_REGISTERED: dict[str, Kind] = {}


def find(name: str) -> Kind:
    """Return a kind by name.

    Raises:
        UnknownNameError: with the nearest names.
    """
    found = _REGISTERED.get(name) or _built_in().get(name)
    if found is not None:
        return found
    raise UnknownNameError("kind of column", name, [kind.name for kind in all_kinds()])


def all_kinds() -> list[Kind]:
    """Return every kind, in the order in which they are tried on a column."""
    return sorted((_built_in() | _REGISTERED).values(), key=lambda kind: kind.order)


def register(kind: Kind) -> Kind:
    """Add a kind that is not a file of this folder, or replace one."""
    _REGISTERED[kind.name] = kind
    return kind


def unregister(name: str) -> None:
    """Remove a registered kind."""
    _REGISTERED.pop(name, None)


@functools.cache
def _built_in() -> dict[str, Kind]:
    modules = (
        importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    )
    return {module.KIND.name: module.KIND for module in modules if hasattr(module, "KIND")}
