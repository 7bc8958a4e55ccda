"""Recipes: files with a docstring and a `CONFIG` or `STUDY`, found by name.

In: nothing. Out: configs, and studies of several runs, with the score they must reach and a published score
to compare with, or the reason why there is none. A recipe holds no code: what two recipes share belongs in
the library. Imports only `config` and `study`.
"""

from __future__ import annotations

import importlib
import pkgutil

from pellucid.config import Config
from pellucid.errors import UnknownNameError
from pellucid.study import Study


def names() -> list[str]:
    """Return the names of all recipes."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Config | Study:
    """Return the config or the study of a recipe.

    Raises:
        UnknownNameError: there is no such recipe; suggests the nearest name.
    """
    if name not in names():
        raise UnknownNameError("recipe", name, names())
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    recipe = module.STUDY if hasattr(module, "STUDY") else module.CONFIG
    return recipe.model_copy(deep=True)
