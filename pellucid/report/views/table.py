"""A table: `{"kind": "table", "columns": [...], "rows": [[...]]}`.

A cell is a value, or {"text", "link"} or {"text", "number": true}; a link is a path from the run folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pellucid.report import words
from pellucid.report.block import Shelf, View
from pellucid.report.text_tables import ROWS, Link, Table, is_number

TEMPLATE = "{% from 'parts.html' import cells %}{{ cells(body) }}"


def prepare(facts: Mapping[str, Any], shelf: Shelf) -> Table:
    """Write the cells as text."""
    columns = tuple(str(name) for name in facts["columns"])
    rows = facts["rows"]
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"not all of its rows have {len(columns)} cells")
    numeric = tuple(all(is_number(row[i]) for row in rows) for i in range(len(columns)))
    written = tuple(tuple(_cell(cell) for cell in row) for row in rows[:ROWS])
    return Table(columns, written, numeric, max(0, len(rows) - ROWS))


def _cell(value: Any) -> str | Link:
    if isinstance(value, Mapping):
        return _link(value["text"], value["link"]) if "link" in value else str(value["text"])
    if value is None:
        return words.NOTHING
    if isinstance(value, float):
        return words.number(value)
    large = isinstance(value, int) and abs(value) >= 10_000
    return words.count(value) if large else str(value)


def _link(text: Any, link: str) -> Link:
    if ":" in link or link.startswith("/"):
        raise ValueError(f"{link} is not a path from the run folder")
    return Link(str(text), link)


VIEW = View("table", prepare, TEMPLATE)
