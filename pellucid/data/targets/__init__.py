"""What a model predicts, one file each: `TARGET` of every module in this folder.

A target reads the columns to predict, encodes them as what a loss compares with, and inverts that. A new
target is a new file here, or `register(Target)` at run time; nothing else names the targets.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from pellucid.data.dataset import Dataset
from pellucid.data.targets.target import Target
from pellucid.errors import UnknownNameError

_REGISTERED: dict[str, type[Target]] = {}


def find(name: str) -> type[Target]:
    """Return a target by name.

    Raises:
        UnknownNameError: with the nearest names.
    """
    found = _REGISTERED.get(name) or _built_in().get(name)
    if found is not None:
        return found
    raise UnknownNameError("target", name, [target.name for target in all_targets()])


def of(dataset: Dataset) -> type[Target] | None:
    """Return the target of a dataset; None where nothing is predicted."""
    if dataset.encoding is not None:
        return find(dataset.encoding)
    return next((target for target in all_targets() if target.task == dataset.task), None)


def all_targets() -> list[type[Target]]:
    """Return every target, in the order in which they are tried on the columns to predict."""
    return sorted((_built_in() | _REGISTERED).values(), key=lambda target: target.order)


def restore(state: Mapping[str, Any]) -> Target:
    """Restore a fitted target from its state."""
    return find(state["kind"]).from_state(state)


def register(target: type[Target]) -> type[Target]:
    """Add a target that is not a file of this folder, or replace one."""
    _REGISTERED[target.name] = target
    return target


def unregister(name: str) -> None:
    """Remove a registered target."""
    _REGISTERED.pop(name, None)


@functools.cache
def _built_in() -> dict[str, type[Target]]:
    modules = (
        importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    )
    return {module.TARGET.name: module.TARGET for module in modules if hasattr(module, "TARGET")}
