"""Look up a name in a catalogue, or import what `package.module:attribute` refers to."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

Entry = TypeVar("Entry")


def lookup(kind: str, name: str, catalogue: Mapping[str, Entry]) -> Entry:
    """Return `catalogue[name]`.

    Args:
        kind: what the name refers to, for the message; e.g. "activation".

    Raises:
        ValueError: there is no such name; the message suggests the nearest ones and lists all.
    """
    if name in catalogue:
        return catalogue[name]
    raise ValueError(
        f"There is no {kind} named {name!r}.{_suggest(name, catalogue)} "
        f"One of: {', '.join(sorted(catalogue))}."
    )


def import_attribute(kind: str, path: str) -> Any:
    """Import the object that a path such as `package.module:attribute` refers to.

    The current directory is searched as well, as `python -m` does. Importing a module runs its code.

    Args:
        kind: what the path refers to, for the message; e.g. "model".
        path: the module, a colon, and an attribute, which may have dots.

    Raises:
        ValueError: the path has another form, or there is no such module or attribute.

    Example:
        >>> import_attribute("function", "math:sqrt")(4)
        2.0
    """
    module_name, colon, attributes = path.partition(":")
    if not (module_name and colon and attributes):
        raise ValueError(f"A {kind} expects an import path, package.module:attribute, received {path!r}.")
    found = _import_module(kind, module_name)
    for name in attributes.split("."):
        if not hasattr(found, name):
            raise ValueError(
                f"There is no {kind} {path!r}: {module_name} has no {name!r}.{_suggest(name, dir(found))}"
            )
        found = getattr(found, name)
    return found


def _import_module(kind: str, name: str) -> Any:
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and lacks something that it imports
        raise ValueError(
            f"There is no {kind} in {name!r}: no module named {error.name!r} in the Python path or in "
            f"{Path.cwd()}. Try to install its package, or run in the folder that holds it."
        ) from None


def _suggest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=2, cutoff=0.5)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
