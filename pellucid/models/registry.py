"""Models by the name that configs use.

A model file of this package lists its builders in a dict `BUILDERS`: a new model is one new file. Code
outside of the package calls `register`, or names a builder by its import path, `package.module:attribute`.

A builder is called as `builder(input_shape, num_outputs, *, size=None, ...)` and returns a `torch.nn.Module`;
one that reads tokens takes a `vocab_size`.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable
from importlib import import_module
from typing import cast

from torch import nn

from pellucid.nn.names import import_attribute, lookup

Builder = Callable[..., nn.Module]

PACKAGE = __name__.rpartition(".")[0]
BUILDERS: dict[str, Builder] = {}
"""All builders by name: those of this package, in the order of their files, then the registered ones."""

REGISTERED_BY: dict[str, str] = {}
"""The module that registered a builder, by the name of the model; for those of others."""


def discover() -> None:
    """Register the builders of every file of this package.

    Raises:
        ValueError: two files have a builder of the same name.
    """
    for file in pkgutil.iter_modules(import_module(PACKAGE).__path__, f"{PACKAGE}."):
        if file.name != __name__:
            for name, builder in getattr(import_module(file.name), "BUILDERS", {}).items():
                register(name, builder)


def register(name: str, builder: Builder) -> None:
    """Make a model available under a name, for configs, `fit` and the estimators.

    Args:
        name: what `model.name` of a config refers to it by.
        builder: `builder(input_shape, num_outputs, **options)`; its other parameters are the options that a
            config may set.

    Raises:
        ValueError: the name belongs to another builder, or contains a colon.
    """
    if ":" in name:
        raise ValueError(f"register expects a name without a colon, received {name!r}.")
    if BUILDERS.get(name, builder) is not builder:
        raise ValueError(f"There is already a model named {name!r}. Try another name.")
    BUILDERS[name] = builder
    REGISTERED_BY[name] = sys._getframe(1).f_globals.get("__name__", "")


def find(name: str) -> Builder:
    """Return the builder of a model.

    Args:
        name: one of `BUILDERS`, or the import path of a builder or a class, `package.module:attribute`.

    Raises:
        ValueError: there is no such model; suggests the nearest names.

    Example:
        >>> find("linear")((4,), 3)
        MLP(
          (hidden): Sequential()
          (output): Linear(in_features=4, out_features=3, bias=True)
        )
    """
    if ":" not in name:
        return _named(name)
    builder = import_attribute("model", name)
    if not callable(builder):
        raise ValueError(f"A model expects a function or class, but {name!r} is a {type(builder).__name__}.")
    return cast(Builder, builder)


def _named(name: str) -> Builder:
    try:
        return lookup("model", name, BUILDERS)
    except ValueError as error:
        raise ValueError(
            f"{error} A model of your own is known by name after the module that registers it was imported, "
            "and by its import path, package.module:attribute, wherever the package is on PYTHONPATH."
        ) from None
