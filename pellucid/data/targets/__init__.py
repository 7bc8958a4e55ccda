"""What a model predicts, one file each: `TARGET` of every module in this folder.

A target reads the columns to predict, encodes them as what a loss compares with, and inverts that. A new
target is a new file here. A target from elsewhere is registered (`register(Target)`), installed under the
entry point group `pellucid.targets`, or named by its import path, `package.module:TARGET`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any

from pellucid.data.dataset import Dataset
from pellucid.data.targets.target import Target
from pellucid.extensions import Registry


def find(name: str) -> type[Target]:
    """Return a target by its name, or by an import path, `package.module:NAME`, which registers it.

    Raises:
        UnknownNameError: with the nearest names.
        UsageError: the path cannot be imported, or does not refer to a target.
    """
    return REGISTRY.find(name)


def of(dataset: Dataset) -> type[Target] | None:
    """Return the target of a dataset; None where nothing is predicted."""
    if dataset.encoding is not None:
        return find(dataset.encoding)
    return next((target for target in all_targets() if target.task == dataset.task), None)


def all_targets() -> list[type[Target]]:
    """Return every target, in the order in which they are tried on the columns to predict."""
    return sorted(REGISTRY.entries().values(), key=lambda target: target.order)


def restore(state: Mapping[str, Any]) -> Target:
    """Restore a fitted target from its state."""
    return find(state["kind"]).from_state(state)


def register(target: type[Target]) -> type[Target]:
    """Add a target that is not a file of this folder; the same one again changes nothing.

    Raises:
        UsageError: it is not a subclass of `Target`, or its name is taken.
    """
    return REGISTRY.register(target)


def unregister(name: str) -> None:
    """Remove a registered target."""
    REGISTRY.unregister(name)


def _built_in() -> dict[str, type[Target]]:
    modules = (
        importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    )
    return {module.TARGET.name: module.TARGET for module in modules if hasattr(module, "TARGET")}


REGISTRY: Registry[type[Target]] = Registry(
    "target",
    "pellucid.targets",
    expected="a subclass of Target that defines all of its abstract methods",
    fits=lambda value: (
        isinstance(value, type) and issubclass(value, Target) and not inspect.isabstract(value)
    ),
    built_in=_built_in,
    home=lambda target: target.__module__,
)
"""All targets, by name."""
