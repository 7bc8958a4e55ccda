"""All rules. Each module in this folder has `RULES`; adding a file adds its rules."""

from __future__ import annotations

import importlib
import pkgutil

from pellucid.diagnosis.rule import Rule


def load() -> tuple[Rule, ...]:
    """Import every module of this folder and return its rules.

    Raises:
        ValueError: two rules have the same id.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    rules = [rule for name in names for rule in importlib.import_module(f"{__name__}.{name}").RULES]
    ids = [rule.id for rule in rules]
    if twice := sorted({id for id in ids if ids.count(id) > 1}):
        raise ValueError(f"Rule ids must be unique; defined more than once: {', '.join(twice)}.")
    return tuple(rules)


RULES = load()
