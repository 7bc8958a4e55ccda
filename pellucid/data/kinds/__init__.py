"""The kinds of column, one file each: `KIND` of every module in this folder.

A new kind is a new file here. A kind from elsewhere is registered (`register(Kind(...))`), installed under
the entry point group `pellucid.kinds`, or named by its import path, `package.module:KIND`.
"""

from __future__ import annotations

import importlib
import pkgutil

from pellucid.data.kinds.kind import Kind
from pellucid.extensions import Registry


def find(name: str) -> Kind:
    """Return a kind by its name, or by an import path, `package.module:NAME`, which registers it.

    Raises:
        UnknownNameError: with the nearest names.
        UsageError: the path cannot be imported, or does not refer to a kind.
    """
    return REGISTRY.find(name)


def all_kinds() -> list[Kind]:
    """Return every kind, in the order in which they are tried on a column."""
    return sorted(REGISTRY.entries().values(), key=lambda kind: kind.order)


def register(kind: Kind) -> Kind:
    """Add a kind that is not a file of this folder; the same one again changes nothing.

    Raises:
        UsageError: it is not a `Kind`, or its name is taken.
    """
    return REGISTRY.register(kind)


def unregister(name: str) -> None:
    """Remove a registered kind."""
    REGISTRY.unregister(name)


def _built_in() -> dict[str, Kind]:
    modules = (
        importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    )
    return {module.KIND.name: module.KIND for module in modules if hasattr(module, "KIND")}


def _home(kind: Kind) -> str:
    """Return the module of the first part of a kind that is not ours."""
    parts = (kind.read, kind.infer, kind.encoder, kind.fits, kind.describe, kind.picture)
    modules = [getattr(part, "__module__", None) or "" for part in parts]
    return next((module for module in modules if module and module.partition(".")[0] != "pellucid"), "")


REGISTRY: Registry[Kind] = Registry(
    "kind of column",
    "pellucid.kinds",
    expected="a Kind, such as KIND = Kind(name=..., ...)",
    fits=lambda value: isinstance(value, Kind),
    built_in=_built_in,
    home=_home,
)
"""All kinds, by name."""
