"""All views by name, which of them fit a model, and the function that computes them."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from pellucid.errors import PellucidError, UnknownNameError, UsageError
from pellucid.lens.views.seen import Seen
from pellucid.lens.views.subject import Subject


@dataclass(frozen=True)
class View:
    """A view.

    Attributes:
        name: what it is asked for by, such as "feature-maps".
        shows: what it shows, in a few words.
        unfit: why it does not suit a subject, to follow "This model"; "" where it does.
        compute: (subject, **options) -> what is seen; the names of its options are those of its parameters.
        needs_batch: whether it computes a batch.
    """

    name: str
    shows: str
    unfit: Callable[[Subject], str]
    compute: Callable[..., Seen]
    needs_batch: bool = True

    @property
    def options(self) -> list[str]:
        """Names of its options."""
        return list(inspect.signature(self.compute).parameters)[1:]


@functools.cache
def views() -> dict[str, View]:
    """Return all views by name: the `VIEW` of every file of this folder."""
    found = []
    for part in pkgutil.iter_modules(importlib.import_module("pellucid.lens.views").__path__):
        module = importlib.import_module(f"pellucid.lens.views.{part.name}")
        found += [module.VIEW] if isinstance(getattr(module, "VIEW", None), View) else []
    return {view.name: view for view in sorted(found, key=lambda view: view.name)}


def find_view(name: str) -> View:
    """Return a view.

    Raises:
        UnknownNameError: there is none of this name.
    """
    wanted = name.replace("_", "-")
    if wanted not in views():
        raise UnknownNameError("view", name, views())
    return views()[wanted]


def unfit(view: View, subject: Subject) -> str:
    """Say why a view does not suit a subject; "" where it does."""
    if any(parameter.is_meta for parameter in subject.model.parameters()):
        return "has no values: its weights are on the device meta"
    if view.needs_batch and not subject.rows:
        return "has no batch here"
    try:
        return view.unfit(subject) or (subject.trouble() if view.needs_batch else "")
    except PellucidError as error:
        said = str(error).split("\n")[0].removeprefix(f"{subject.name} ").rstrip(".")
        return said if said.startswith("cannot ") else f"cannot be computed: {said}"


def fitting(subject: Subject) -> dict[str, str]:
    """Return for every view why it does not suit a subject; "" for those that do."""
    return {name: unfit(view, subject) for name, view in views().items()}


def _checked(view: View, option: str, value: Any) -> Any:
    """Return the value of an option as the type that it has."""
    if option not in view.options:
        raise UnknownNameError(f"option of the view {view.name}", option, view.options)
    kind = typing.get_type_hints(view.compute)[option]
    try:
        return TypeAdapter(kind).validate_python(value.item() if isinstance(value, np.generic) else value)
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        raise UsageError(
            f"{option}={value!r} of the view {view.name}: {said[0].lower()}{said[1:]}."
        ) from None


def see(subject: Subject, name: str, **options: Any) -> Seen:
    """Compute a view.

    Args:
        subject: a model and its batch.
        name: of the view; `views()` lists them.
        options: those of the view, such as layer= or row=.

    Raises:
        UnknownNameError: there is no such view, layer or option.
        UsageError: the view does not suit the model; says which do.
    """
    view = find_view(name)
    options = {option: _checked(view, option, value) for option, value in options.items()}
    why = unfit(view, subject)
    if why:
        known = [other for other, because in fitting(subject).items() if not because]
        raise UsageError(
            f"The view {view.name!r} does not suit {subject.name}: it {why}.",
            remedy=f"one of: {', '.join(known)}"
            if known
            else "pass a batch: pellucid.view(model, name, batch)",
        )
    return view.compute(subject, **options)
