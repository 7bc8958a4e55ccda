"""Configs as text: YAML files, `section.key=value` on the command line, and the keys of earlier versions."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pellucid.errors import ConfigError, RunError, similar_file
from pellucid.record.files import read_text
from pellucid.record.yaml_text import load_yaml

OLD_KEYS = {
    "data.text.cut": "data.text.truncation",
    "data.text.hidden": "data.text.mask_prob",
    "judge": "objective.options.evaluator",
    "train.path": "train.execution",
}
"""Keys of earlier versions, and their current names."""


BELONGS = {
    "model.name": ("model.size", "model.options"),
    "objective.name": (
        *("objective.options", "objective.loss", "objective.loss_options"),
        *("objective.label_smoothing", "objective.class_weights", "objective.outputs"),
        "objective.threshold",
    ),
    "objective.loss": ("objective.loss_options",),
    "optimizer.name": ("optimizer.options",),
    "schedule.name": ("schedule.options",),
}
"""Settings that are of no use to another choice: they return to their defaults with it, unless set too."""

PATH_KEYS = ("data.source", "data.text.pretrained", "data.images_of", "model.weights")
"""Settings that may be the path of a file or folder."""


def relative_to(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the values of a config file; paths that exist in its own folder start there.

    Args:
        values: of a config, or of a study, whose config is in `base`.
        folder: of the file.
    """
    values = copy.deepcopy(values)
    for root in (values, values.get("base")):
        for key in PATH_KEYS:
            *sections, last = key.split(".")
            section = _section(root, sections) if isinstance(root, dict) else None
            value = section.get(last) if section is not None else None
            if section is not None and isinstance(value, str) and value and (folder / value).exists():
                section[last] = str(folder / value)
    return values


def rename_old_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a config with the keys of earlier versions renamed; see `OLD_KEYS`."""
    renamed = copy.deepcopy(dict(values))
    for old, new in OLD_KEYS.items():
        (*old_path, old_key), (*new_path, new_key) = old.split("."), new.split(".")
        before = _section(renamed, old_path)
        value = before.pop(old_key, None) if before is not None else None
        if value is not None:  # None was the default
            _section(renamed, new_path, make=True)[new_key] = value
    return renamed


def _section(values: dict[str, Any], path: Sequence[str], *, make: bool = False) -> Any:
    """Return the section at a path of names; None if it does not exist, unless `make` creates it."""
    here: Any = values
    for name in path:
        if make and isinstance(here, dict) and here.get(name) is None:
            here[name] = {}
        here = here.get(name) if isinstance(here, dict) else None
    return here if isinstance(here, dict) else None


def without_options_of_others(
    before: Mapping[str, Any], values: dict[str, Any], changes: Mapping[str, Any], usual: Mapping[str, Any]
) -> dict[str, Any]:
    """Reset the options of choices that have changed, except those that are changed themselves.

    Args:
        before: the values of a config.
        values: the same with `changes` made; they are changed in place, and returned.
        changes: new values by dotted key.
        usual: the default values.
    """
    for key, owned in BELONGS.items():
        section, name = key.split(".")
        if not isinstance(values[section], dict) or values[section].get(name) == before[section][name]:
            continue
        for path in owned:
            option = path.partition(".")[2]
            said = {k.removeprefix(f"{path}."): v for k, v in changes.items() if k.startswith(f"{path}.")}
            if path not in changes:
                values[section][option] = said or usual[section][option]
    return values


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of named sections.

    Raises:
        ConfigError: the file is missing, not YAML, or not a mapping of names.
    """
    path = Path(path)
    try:
        values = load_yaml(read_text(path))
    except FileNotFoundError as error:
        raise ConfigError(f"Cannot read the config {path}: {error.strerror}.{similar_file(path)}") from None
    except RunError as error:
        raise ConfigError(error.message) from None
    except ValueError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(
            f"{path}: expected named sections such as 'data:', received {type(values).__name__}.",
            remedy="`pellucid inspect DATA` writes a config that is ready to train",
        )
    return values


def is_reference(name: str) -> bool:
    """Return whether a name in a config is `package.module:attribute` rather than a built-in name."""
    module, colon, attribute = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")])


def parse_override(text: str) -> tuple[str, Any]:
    """Split `section.key=value`; the value is read as YAML, so `3`, `true` and `[1, 2]` are typed."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            f"--set expects section.key=value, received {text!r}.", remedy="--set train.epochs=3"
        )
    if value.startswith("%") or (len(value) == 1 and not value.isalnum() and value != "~"):
        return key.strip(), value  # a mark such as , or | means something else in YAML
    try:
        return key.strip(), _number(load_yaml(value))
    except ValueError:
        raise ConfigError(f"--set {key:.80}: {value!r:.80} is not a YAML value.") from None


def _number(value: Any) -> Any:
    """Return a number for text such as `1e-3`, which YAML 1.1 reads as text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def near(path: str | Path) -> str:
    """Return a path below the current folder as relative to it, and any other as it is."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else str(path)


BOUNDS = {
    "greater_than_equal": ("ge", "{} or more"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "{} or less"),
    "less_than": ("lt", "less than {}"),
}
"""How a limit is worded, by the type of the error: the name of the limit, and the phrase."""


def expected(item: Mapping[str, Any]) -> str:
    """Return what was expected of a value."""
    if item["type"] in BOUNDS:
        limit, phrase = BOUNDS[item["type"]]
        return f"expected {phrase.format(item.get('ctx', {}).get(limit))}"
    if item["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return "expected names and values, {name: value}"
    return item["msg"].removeprefix("Value error, ").rstrip(".").replace("Input should be", "expected")
