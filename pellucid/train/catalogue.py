"""Names and options of the loss, optimizer and schedule catalogues, with checks.

The options of an entry are the keyword-only parameters of its function.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pellucid.errors import ConfigError, UnknownNameError

Entry = TypeVar("Entry")


def lookup(kind: str, name: str, catalogue: Mapping[str, Entry]) -> Entry:
    """Return `catalogue[name]`.

    Raises:
        UnknownNameError: there is no such name; suggests the nearest.
    """
    if name not in catalogue:
        raise UnknownNameError(kind, name, catalogue)
    return catalogue[name]


def options_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the keyword-only parameters of a function with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def check_options(owner: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse options that an entry does not have.

    Args:
        owner: the entry, e.g. "the optimizer adamw".
        given: the given options by name.
        known: the known options by name.

    Raises:
        ConfigError: there is an unknown option; names it, and the known ones.
    """
    unknown = [name for name in given if name not in known]
    if unknown:
        names = ", ".join(known) or "none"
        raise ConfigError(
            f"{owner} has no option {', '.join(map(repr, unknown))}; its options: {names}.",
            remedy=str(UnknownNameError("option", unknown[0], known).message) if known else "remove it",
        )
