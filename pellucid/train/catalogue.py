"""Names and options of the loss, optimizer and schedule catalogues, with checks.

The options of an entry are the keyword-only parameters of its function, and their annotations say which
values they take.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from pellucid.errors import ConfigError, UnknownNameError

Entry = TypeVar("Entry")

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]

PLAIN = (bool, int, float, str, list, tuple, dict, NoneType)
"""The types of values that a config holds."""


def find_entry(kind: str, name: str, catalogue: Mapping[str, Entry]) -> Entry:
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


def types_of(function: Callable[..., Any], names: Iterable[str] | None = None) -> dict[str, Any]:
    """Return the annotations of parameters by name; `Any` where there is none.

    Args:
        function: a function or a class.
        names: the parameters; None: the keyword-only ones.
    """
    named = function
    while isinstance(named, partial):
        named = named.func
    try:
        hints = get_type_hints(named.__init__ if isinstance(named, type) else named, include_extras=True)
    except (NameError, TypeError, AttributeError):  # annotations that cannot be resolved here
        hints = {}
    return {name: hints.get(name, Any) for name in (options_of(function) if names is None else names)}


class HasOptions:
    """Base of an entry whose options are the keyword-only parameters of its function."""

    function: Callable[..., Any]

    @property
    def options(self) -> dict[str, Any]:
        """The options and their defaults."""
        return options_of(self.function)

    @property
    def types(self) -> dict[str, Any]:
        """The types of the options."""
        return types_of(self.function)


def check_options(
    owner: str, given: Mapping[str, Any], types: Mapping[str, Any], key: str = ""
) -> dict[str, Any]:
    """Return options as values of their types; refuse those that an entry does not have.

    Args:
        owner: the entry, e.g. "the optimizer adamw".
        given: the given options by name.
        types: the types of the known options by name.
        key: the key of the config that holds the options, for messages; "" for a call in Python.

    Raises:
        UnknownNameError: there is no such option; suggests the nearest and lists the known ones.
        ConfigError: a value is not of its type; says what was expected.
    """
    for name in given:
        if not types:
            raise ConfigError(f"{_capital(owner)} has no options, received {name!r}.", remedy="remove it")
        if name not in types:
            raise UnknownNameError(f"option of {owner}", name, types)
    return {name: _typed(owner, key, name, value, types[name]) for name, value in given.items()}


def _typed(owner: str, key: str, name: str, value: Any, hint: Any) -> Any:
    """Return a value as its type: a list of numbers as a tensor, text such as "1e-3" as a number."""
    if not isinstance(value, PLAIN):
        return value
    parts = _parts(hint)
    tensor = any(map(_is_tensor, parts))
    if tensor:
        hint = Union[tuple(list[float] if _is_tensor(part) else part for part in parts)]  # noqa: UP007
    try:
        if isinstance(value, bool) and in_words(hint) and bool not in parts:
            raise ValueError("Input should be something other than true or false")
        converted = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except (PydanticSchemaGenerationError, PydanticUserError):  # the type of another library
        return value
    except ValueError as error:
        label = f"{key}.{name}" if key else f"{owner}, option {name!r}"
        raise ConfigError(f"{label}: expected {_expected(hint, error)}, received {value!r:.80}.") from None
    if tensor and isinstance(converted, list):
        import torch  # here, so that the catalogue of schedules is read without torch

        return torch.tensor(converted)
    return converted if isinstance(converted, PLAIN) else value


def _expected(hint: Any, error: ValueError) -> str:
    if words := in_words(hint):
        return words
    if not isinstance(error, ValidationError):
        return str(error)
    messages = [item["msg"].removeprefix("Input should be ") for item in error.errors()]
    return " or ".join(dict.fromkeys(messages))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# ---- types in words ----------------------------------------------------------------------------


NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a name",
    NoneType: "null",
}
PLURALS: dict[Any, str] = {int: "whole numbers", float: "numbers", str: "names"}
BOUNDS = {"Gt": "above {}", "Ge": "of {} or more", "Lt": "below {}", "Le": "of {} or less"}


def in_words(hint: Any) -> str:
    """Return which values a type has, e.g. "a number above 0"; "" for a type that has no short name."""
    if _is_tensor(hint):
        return "a list of numbers"
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return " ".join(filter(None, [in_words(inside[0]), _bounds(inside[1:])]))
    if origin is Literal:
        return " or ".join(map(str, inside))
    if origin in (Union, UnionType):
        words = [in_words(part) for part in inside]
        return " or ".join(words) if all(words) else ""
    if origin in (list, Sequence):
        return f"a list of {PLURALS[inside[0]]}" if inside[0] in PLURALS else ""
    return NAMES.get(hint, "")


def _bounds(rules: Iterable[Any]) -> str:
    """Write the bounds of a number, e.g. "from 0 to 1"."""
    found = {
        type(rule).__name__: getattr(rule, type(rule).__name__.lower())
        for field in rules
        for rule in getattr(field, "metadata", ())
        if type(rule).__name__ in BOUNDS
    }
    if found.keys() == {"Ge", "Le"}:
        return f"from {found['Ge']:g} to {found['Le']:g}"
    return " and ".join(BOUNDS[name].format(f"{value:g}") for name, value in found.items())


def _parts(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the only type."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _is_tensor(hint: Any) -> bool:
    return getattr(hint, "__name__", "") == "Tensor" and str(getattr(hint, "__module__", "")).startswith(
        "torch"
    )
