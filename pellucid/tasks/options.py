"""Options of a task, read once from `objective.options` into its dataclass.

A task with options declares a frozen dataclass, by convention `Options` in its `objective.py`; the fields say
which options there are, of which type, and what they are by default.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from pellucid.config import Config
from pellucid.errors import ConfigError, UnknownNameError, UsageError
from pellucid.train.catalogue import check_options, find_entry
from pellucid.train.losses import LOSSES

T = TypeVar("T")

LOSS_OPTIONS = "objective.loss_options"


@dataclass(frozen=True)
class NoOptions:
    """Of a task without options of its own."""


def read_options(cls: type[T], config: Config) -> T:
    """Read `objective.options` of a config.

    Args:
        cls: the dataclass of the task's options.
        config: its section `objective` is read.

    Raises:
        UnknownNameError: the task has no such option.
        ConfigError: a value is not of the type of its option; says what was expected.
    """
    return options_from(cls, config.objective.options, config.objective.name)


def read_loss_options(config: Config, default: str) -> dict[str, Any]:
    """Read `objective.loss_options` as options of the loss that a config names.

    Args:
        config: its section `objective` is read.
        default: the name of the task's usual loss, if the config names none.

    Raises:
        UnknownNameError: there is no such loss, or it has no such option.
        ConfigError: the value of an option is not of its type.
    """
    name = config.objective.loss or default
    types = find_entry("loss", name, LOSSES).types
    return check_options(f"the loss {name}", config.objective.loss_options, types, LOSS_OPTIONS)


def options_from(cls: type[T], values: Mapping[str, Any], task: str) -> T:
    """Make a dataclass of options from values by name; see `read_options`."""
    known = [entry.name for entry in fields(cls)]  # type: ignore[arg-type]
    for option in values:
        if option not in known:
            raise UnknownNameError(f"option of the objective {task!r}", option, known)
    try:
        return TypeAdapter(cls).validate_python(dict(values))
    except ValidationError as error:
        raise ConfigError("\n".join(map(_explain, error.errors()))) from None


def _explain(item: Any) -> str:
    name, value = item["loc"][0], item["input"]
    if item["type"] == "literal_error":
        expected = item["ctx"]["expected"].replace("'", "").replace(", ", " or ")
        return f"objective.options.{name}: expected {expected}, received {value!r}."
    return f"objective.options.{name}: {item['msg']}; received {value!r}."


# ---- options of predictions ----------------------------------------------------------------------


def limited(expected: str, **limits: Any) -> Any:
    """Describe a field of options, for `Annotated[int, limited("a whole number of 1 or more", ge=1)]`.

    Args:
        expected: what a value must be, in words.
        limits: those of `pydantic.Field`, such as ge, gt, le and min_length.
    """
    return Field(description=expected, **limits)


def predict_options(cls: type[T], values: Mapping[str, Any], kind: str) -> T:
    """Read the options of a prediction.

    Args:
        cls: the dataclass of the options; its fields are `limited`.
        values: the options that were given.
        kind: what the options belong to, e.g. "sampling".

    Raises:
        UnknownNameError: there is no such option.
        UsageError: a value has another type, or is out of its range; says what was expected.
    """
    known = [entry.name for entry in fields(cls)]  # type: ignore[arg-type]
    if values and not known:
        raise UsageError(f"There are no options of {kind}; received {', '.join(values)}.")
    for option in values:
        if option not in known:
            raise UnknownNameError(f"option of {kind}", option, known)
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    wrong = []
    for name, value in plain.items():
        try:
            _adapters(cls)[name].validate_python(value, strict=True)
        except ValidationError:
            wrong.append(f"{name}: expected {_expected(cls, name)}, received {value!r:.80}.")
    if wrong:
        raise UsageError("\n".join(wrong))
    return cls(**plain)


@functools.cache
def _adapters(cls: type) -> dict[str, TypeAdapter[Any]]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {entry.name: TypeAdapter(hints[entry.name]) for entry in fields(cls)}


def _expected(cls: type, name: str) -> str:
    hint = typing.get_type_hints(cls, include_extras=True)[name]
    return next(each.description for each in hint.__metadata__ if each.description)
