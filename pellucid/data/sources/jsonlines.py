"""JSON lines: an object or a text in every line, or a file that is one list of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pellucid.data.build_dataset import RawTables
from pellucid.data.dataset import Source
from pellucid.data.sources.json_records import INPUT, INSTRUCTION, flat, has_input
from pellucid.data.sources.raw_files import content, suffix_of
from pellucid.data.sources.span_records import holds_spans, tokens_and_tags
from pellucid.data.text.decoding import decode
from pellucid.errors import BadDataError, UnknownNameError

SUFFIXES = (".jsonl", ".ndjson", ".json")
TEXT_FIELDS = ("text", "content", "body", "document", "article", "story", "code", "sentence", "completion")
"""Usual names of the field that holds the text."""


def is_json_lines(path: Path) -> bool:
    """Return whether this module reads files with this name."""
    return suffix_of(path) in SUFFIXES


def read_json_lines(path: Path, *, encoding: str | None = None) -> RawTables:
    """Read a file as a table with a column for every field that holds text, numbers or lists of them.

    Raises:
        BadDataError: a line is no object; names it.
    """
    records, notes = _records(path, encoding)
    table = table_of(path, records, notes)
    name = path.name.split(".")[0] or path.name
    return RawTables(
        name,
        {"train": table},
        Source(str(path), "json"),
        locate={"train": lambda rows: [f"{path.name} record {row + 1:,}" for row in rows]},
        folder=path.parent,
        notes=tuple(notes),
    )


def table_of(path: Path, records: Sequence[Any], notes: list[str]) -> pa.Table:
    """Return records as a table with a column for every field that holds text, numbers or lists of them.

    Args:
        path: of the file, for messages.
        records: objects.
        notes: takes a line for every field that is left out.

    Raises:
        BadDataError: a record is no object, or no field is usable.
    """
    objects = {
        name
        for record in records
        if isinstance(record, dict)
        for name, value in record.items()
        if isinstance(value, dict)
    }
    if any(map(has_input, records)):
        notes.append(f"{INPUT!r} is read as the end of {INSTRUCTION!r}")
    records = tokens_and_tags([flat(record) for record in records], notes)
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise _no_object(f"{path.name} record {number:,}", record)
    columns: dict[str, pa.Array] = {}
    names = list(dict.fromkeys(name for record in records for name in record))
    mixed = {name for name in objects if any(record.get(name) is not None for record in records)}
    for name in names:
        if str(name).partition(".")[0] in mixed - {name}:
            continue
        made = None if name in mixed else _column([record.get(name) for record in records])
        if made is None:
            notes.append(f"left out {name!r}: it holds objects, or values of several types")
        else:
            columns[str(name)] = made
    if not columns:
        shown = ", ".join(map(str, names)) or "none"
        raise BadDataError(f"{path} has no field of texts or numbers: received {shown}.")
    return pa.table(columns)


def marks_spans(path: Path, encoding: str | None = None) -> bool:
    """Whether the records of a file mark spans in their texts, such as names."""
    return is_json_lines(path) and holds_spans([flat(record) for record in _records(path, encoding)[0]])


def texts(path: Path, field: str | None = None, encoding: str | None = None) -> tuple[list[str], list[str]]:
    """Return the text of every record, and notes on where it was found.

    Raises:
        UnknownNameError: there is no such field.
        BadDataError: no field holds text.
    """
    records, notes = _records(path, encoding)
    records = [flat(record, whole=True) for record in records]
    if field is None:
        field = _text_field(path, records)
        notes.append(f"text from the field {field!r} of {path.name}; another: --set data.inputs=[NAME]")
    elif not any(field in record for record in records):
        raise UnknownNameError(f"field in {path.name}", field, records[0])
    found = [record[field] for record in records if isinstance(record.get(field), str)]
    if not found:
        raise BadDataError(f"{path}: no record has a text in the field {field!r}.")
    if len(found) < len(records):
        notes.append(f"{len(records) - len(found):,} records of {path.name} have no text and were left out")
    return found, notes


def _text_field(path: Path, records: Sequence[dict[str, Any]]) -> str:
    """The field with a usual name, else the one with the most text."""
    lengths: dict[str, int] = {}
    for record in records[:1000]:
        for name, value in record.items():
            if isinstance(value, str):
                lengths[name] = lengths.get(name, 0) + len(value)
    if not lengths:
        raise BadDataError(
            f"{path} has no field that holds text: received {', '.join(records[0]) or 'none'}.",
            remedy='lines such as {"text": "..."}',
        )
    last = {name.rpartition(".")[2]: name for name in reversed(lengths)}
    usual = [last[name] for name in TEXT_FIELDS if name in last]
    return usual[0] if usual else max(lengths, key=lambda name: lengths[name])


def _records(path: Path, encoding: str | None) -> tuple[list[dict[str, Any]], list[str]]:
    text, notes = decode(content(path), path.name, encoding)
    if text.lstrip().startswith("["):
        found = _parsed(path, text, 1)
        lines = list(enumerate(found, 1)) if isinstance(found, list) else []
    else:
        lines = [(n, _parsed(path, line, n)) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    for number, record in lines:
        if not isinstance(record, dict | str):
            raise _no_object(f"{path.name} line {number:,}", record)
    if not lines:
        raise BadDataError(f"{path} is empty: expected an object in every line.")
    return [record for _, record in lines], notes


def _no_object(place: str, record: Any) -> BadDataError:
    received = json.dumps(record)[:60]
    return BadDataError(
        f"{place}: expected an object, received {received}.", remedy='lines such as {"text": "..."}'
    )


def _parsed(path: Path, text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadDataError(
            f"{path.name} line {line:,} is not JSON: {error}.",
            remedy="one whole object in every line, or one list of objects",
        ) from None


def _column(values: Sequence[Any]) -> pa.Array | None:
    """Make a column; None for objects and mixed types."""
    present = [value for value in values if value is not None]
    if any(isinstance(value, dict) for value in present):
        return None
    if any(isinstance(value, str) for value in present) and not any(isinstance(v, list) for v in present):
        return pa.array([v if v is None or isinstance(v, str) else json.dumps(v) for v in values])
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return None
