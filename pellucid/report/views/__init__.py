"""All kinds of blocks. Each module in this folder may have `VIEW`; adding a file adds a kind."""

from __future__ import annotations

import importlib
import pkgutil

from pellucid.report.block import View


def load() -> dict[str, View]:
    """Import every module of this folder; return its views by kind, earlier names of kinds included.

    Raises:
        ValueError: two views draw the same kind.
    """
    found: dict[str, View] = {}
    for module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        view: View = importlib.import_module(f"{__name__}.{module}").VIEW
        for kind in (view.kind, *view.aliases):
            if kind in found:
                raise ValueError(f"Blocks of kind {kind!r} are drawn by two views.")
            found[kind] = view
    return found


VIEWS = load()
