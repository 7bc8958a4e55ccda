"""All kinds of blocks: those of the modules in this folder, of installed distributions, and registered ones.

Each module in this folder has `VIEW`; adding a file adds a kind. A distribution names a view under the entry
point group `pellucid.views`. `VIEWS` holds all of them by kind.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jinja2

from pellucid.errors import UsageError
from pellucid.extensions import caller, load_installed, origin, recall
from pellucid.report.block import Section, Shelf, View
from pellucid.report.plain_values import plain

ORIGINS: dict[str, str] = {}
"""Where another process finds the registered views, by kind."""
MISSING: dict[str, str] = {}
"""Why views that another process registered are not found, by kind."""


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


def register(view: View) -> View:
    """Add a view from a project of your own; the same one again changes nothing.

    Raises:
        UsageError: it is not a `View`, its kind is taken, or its section or template is wrong.
    """
    if any(view is known for known in _registered):
        return view
    _check(view)
    guarded = replace(view, prepare=_guarded(view.prepare))
    VIEWS.update(dict.fromkeys((view.kind, *view.aliases), guarded))
    _registered.append(view)
    ORIGINS[view.kind] = origin(view, view.prepare, caller())
    return view


def recall_views(origins: Mapping[str, str]) -> None:
    """Register the views again that another process registered; `MISSING` says why one is not found."""
    for kind, where in origins.items():
        if kind not in VIEWS and (reason := recall(where, register)):
            MISSING[kind] = f"{reason}; import the module that registers it"


def unregister(kind: str) -> None:
    """Remove a registered view, by its kind."""
    ORIGINS.pop(kind, None)
    for view in [view for view in _registered if view.kind == kind]:
        _registered.remove(view)
        for name in (view.kind, *view.aliases):
            VIEWS.pop(name)


def _check(view: Any) -> None:
    if not isinstance(view, View):
        raise UsageError(f"A view must be a View(kind, prepare, template); received {view!r:.80}.")
    for kind in (view.kind, *view.aliases):
        if not isinstance(kind, str) or not kind.strip():
            raise UsageError(f"A view needs the kind of its blocks, such as 'gauge'; received {kind!r}.")
        if kind in VIEWS:
            raise UsageError(f"There is already a view for blocks of kind {kind!r}.", remedy="another kind")
    if not callable(view.prepare) or not view.template:
        raise UsageError(f"The view {view.kind!r} needs a function prepare and a template.")
    _check_section(view)
    try:
        jinja2.Environment().parse(view.template)
    except jinja2.TemplateSyntaxError as error:
        raise UsageError(f"The template of the view {view.kind!r}, line {error.lineno}: {error}.") from None


def _check_section(view: View) -> None:
    if view.section is None:
        return
    if not isinstance(view.section, Section):
        raise UsageError(
            f"The section of the view {view.kind!r} must be a Section(id, title) or None; "
            f"received {view.section!r:.60}."
        )
    try:
        view.section.heading.format(split="test")
    except (KeyError, IndexError, ValueError):
        raise UsageError(
            f"The heading of the section {view.section.id!r} may contain only {{split}} in braces; "
            f"received {view.section.heading!r}."
        ) from None


def _guarded(
    prepare: Callable[[Mapping[str, Any], Shelf], Any],
) -> Callable[[Mapping[str, Any], Shelf], Any]:
    """Return a `prepare` whose errors, and values that JSON cannot hold, leave out only the block."""

    def guarded(facts: Mapping[str, Any], shelf: Shelf) -> Any:
        try:
            body = prepare(facts, shelf)
            plain(body)
        except KeyError:
            raise
        except Exception as error:
            raise ValueError(str(error) or type(error).__name__) from error
        return body

    return guarded


VIEWS = load()
"""The view of every kind of block."""

_registered: list[View] = []
load_installed("pellucid.views", lambda point: register(point.load()))
