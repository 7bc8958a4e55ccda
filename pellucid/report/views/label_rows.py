"""Training rows whose labels the model contradicts, the most suspicious first.

{"kind": "label_rows", "rows": path of a Parquet file in the run folder, "suspected": number of rows}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.report import words
from pellucid.report.block import Section, Shelf, View

MOST = 24
SECTION = Section("labels", "Rows to look at")


@dataclass(frozen=True)
class LabelRow:
    """One row: its picture or its text, its label, and what the model says instead."""

    row: int
    label: str
    other: str
    margin: str
    file: str
    picture: str | None
    text: str


@dataclass(frozen=True)
class LabelRows:
    """The rows, and how many are suspected."""

    rows: tuple[LabelRow, ...]
    suspected: int


def prepare(facts: Mapping[str, Any], shelf: Shelf) -> LabelRows:
    """Read the rows, which are in their order."""
    made = tuple(
        LabelRow(
            int(row["row"]),
            str(row["label"]),
            str(row["other"]),
            words.number(row["margin"]),
            str(row.get("file") or ""),
            shelf.album.add(row.get("image")),
            str(row.get("text") or ""),
        )
        for row in shelf.rows(facts["rows"])[:MOST]
    )
    return LabelRows(made, int(facts["suspected"]))


VIEW = View("label_rows", prepare, section=SECTION)
