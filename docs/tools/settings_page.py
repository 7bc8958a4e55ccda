"""The page of all settings, from the config's own schema."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pellucid.config import Config

HEADER = """# Settings

Every setting of a run, with its default. In a file they are sections of YAML; on the command line
`--set train.epochs=3` sets one, in Python `pellucid.fit(..., settings={"train.epochs": 3})`. Unknown names
are refused with the nearest known one. `pellucid inspect DATA` writes a config to start from.

```yaml
data:
  source: flowers.csv
model:
  name: mlp
train:
  epochs: 3
```
"""


def render() -> str:
    """Return the page: a table for each section of the config."""
    return "\n".join([HEADER, *_section(Config, ""), ""])


def _section(schema: type[BaseModel], prefix: str) -> Iterator[str]:
    """A table of the plain settings of a section, then a section for each nested one."""
    nested = {name: inner for name, field in schema.model_fields.items() if (inner := _schema(field))}
    plain = [(name, field) for name, field in schema.model_fields.items() if name not in nested]
    if prefix:
        yield f"## {prefix}\n\n{_summary(schema)}\n"
    yield "| setting | type | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in plain:
        key = f"{prefix}.{name}" if prefix else name
        yield f"| `{key}` | {_type(field)} | {_default(field)} | {_cell(field.description or '')} |"
    yield ""
    for name, inner in nested.items():
        key = name if get_origin(schema.model_fields[name].annotation) is not dict else f"{name}.NAME"
        yield from _section(inner, f"{prefix}.{key}" if prefix else key)


def _schema(field: FieldInfo) -> type[BaseModel] | None:
    """The schema of a field that is a section, or None."""
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _summary(schema: type[BaseModel]) -> str:
    return " ".join((schema.__doc__ or "").split())


def _type(field: FieldInfo) -> str:
    bounds = "".join(_bound(str(rule)) for rule in field.metadata)
    return " or ".join(f"`{name}`" for name in _names(field.annotation)) + bounds


def _names(kind: Any) -> list[str]:
    """The names of a type: those of its parts where it is a union, its values where it is a literal."""
    if isinstance(kind, UnionType) or get_origin(kind) is Union:
        return [name for part in get_args(kind) for name in _names(part)]
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    if kind is type(None):
        return ["None"]
    return [kind.__name__ if not get_args(kind) else str(kind).replace("typing.", "")]


def _bound(rule: str) -> str:
    """Write a bound such as `Ge(ge=0)` as "≥ 0"."""
    signs = {"Ge": "≥", "Gt": ">", "Le": "≤", "Lt": "<"}
    name, _, value = rule.rstrip(")").partition("(")
    return f" {signs[name]} {value.partition('=')[2]}" if name in signs else ""


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined and not field.default_factory:
        return "required"
    return f"`{field.default!r}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
