"""What the loss, optimizer and schedule catalogues share: names and options that are checked.

An entry's options are the keyword-only parameters of its function, so they are written down once.
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
        UnknownNameError: with the nearest names.
    """
    if name not in catalogue:
        raise UnknownNameError(kind, name, catalogue)
    return catalogue[name]


def options_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the keyword-only parameters of a function with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def check_options(owner: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse options an entry does not have.

    Args:
        owner: whose options they are, e.g. "the optimizer adamw".
        given: what was given, by name.
        known: what there is, by name.

    Raises:
        ConfigError: naming what is not known and what is.
    """
    unknown = [name for name in given if name not in known]
    if unknown:
        names = ", ".join(known) or "none"
        raise ConfigError(
            f"{owner} has no option {', '.join(map(repr, unknown))}; its options: {names}.",
            remedy=str(UnknownNameError("option", unknown[0], known).message) if known else "remove it",
        )
