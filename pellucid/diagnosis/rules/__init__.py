"""All rules: those of the modules in this folder, of installed distributions, and registered ones.

Each module in this folder has `RULES`; adding a file adds its rules. A distribution names a rule, or a tuple
of rules, under the entry point group `pellucid.rules`. A file or a rule that cannot be used is left out:
`LEFT_OUT` says why, and `examine` lists it.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from pellucid.diagnosis.facts import Facts
from pellucid.diagnosis.rule import Rule
from pellucid.errors import UsageError
from pellucid.extensions import caller, explain, load_installed, origin, recall

LEFT_OUT: dict[str, str] = {}
"""Why rules are left out, by the id of a rule or the name of its file."""

_registered: list[Rule] = []
ORIGINS: dict[str, str] = {}
"""Where another process finds the registered rules, by id."""


def load() -> tuple[Rule, ...]:
    """Import every module of this folder and return its rules; what cannot be used is in `LEFT_OUT`."""
    found: list[Rule] = []
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        try:
            _extend(found, importlib.import_module(f"{__name__}.{name}").RULES)
        except Exception as error:
            LEFT_OUT[name] = explain(error)
    return tuple(found)


def all_rules() -> tuple[Rule, ...]:
    """Return our rules, those of installed distributions, and the registered ones."""
    return (*RULES, *_installed(), *_registered)


def register(*rules: Rule) -> None:
    """Add rules from a project of your own; the same ones again change nothing.

    Raises:
        UsageError: one is not a `Rule`, its id is taken, or it needs something that `Facts` does not have.
    """
    for rule in rules:
        if not any(rule is known for known in _registered):
            check(rule, all_rules())
            _registered.append(rule)
            ORIGINS[rule.id] = origin(rule, rule.check, caller())


def recall_rules(origins: Mapping[str, str]) -> None:
    """Register the rules again that another process registered; `LEFT_OUT` says why one is not found."""
    for id, where in origins.items():
        if not any(rule.id == id for rule in all_rules()) and (reason := recall(where, register)):
            LEFT_OUT[id] = f"{reason}; import the module that registers it"


def unregister(id: str) -> None:
    """Remove a registered rule."""
    ORIGINS.pop(id, None)
    _registered[:] = [rule for rule in _registered if rule.id != id]


def check(rule: Any, known: Iterable[Rule]) -> None:
    """Refuse what is not a rule that can be run with the others.

    Raises:
        UsageError: says what was expected.
    """
    if not isinstance(rule, Rule):
        raise UsageError(f"A rule must be a Rule(id, needs, check); received {rule!r:.80}.")
    if not isinstance(rule.id, str) or not rule.id:
        raise UsageError(f"A rule needs an id such as 'loss-constant'; received {rule.id!r}.")
    if any(rule.id == other.id for other in known):
        raise UsageError(f"There is already a rule {rule.id!r}.", remedy="another id")
    if problem := unknown_need(rule):
        raise UsageError(f"The rule {rule.id!r} cannot be run: {problem}.")


def unknown_need(rule: Rule) -> str:
    """Say what a rule needs that `Facts` does not have; "" if there is no such thing."""
    names = [entry.name for entry in fields(Facts)] + [n for n in vars(Facts) if n[0] != "_"]
    if isinstance(rule.needs, str):
        return f"needs is a tuple of names, such as ('curves',), received {rule.needs!r}"
    unknown = next((need for need in (*rule.needs, *rule.any_of) if need not in names), None)
    return "" if unknown is None else f"it needs {unknown!r}; known are {', '.join(dict.fromkeys(names))}"


def _extend(found: list[Rule], rules: Any) -> None:
    """Add rules; one that cannot be used is noted, and the others are added."""
    for rule in [rules] if isinstance(rules, Rule) else rules:
        try:
            check(rule, found)
        except UsageError as error:
            LEFT_OUT[f"{getattr(rule, 'id', rule)!s:.80}"] = error.message.rstrip(".")
        else:
            found.append(rule)


@functools.cache
def _installed() -> tuple[Rule, ...]:
    found = list(RULES)
    load_installed("pellucid.rules", lambda point: _extend(found, point.load()))
    return tuple(found[len(RULES) :])


RULES = load()
"""Our own rules."""
