"""Two columns of words that belong together, such as a list of misspellings and the words that were meant.

Column by column they look like categories, or like names of the rows, from which nothing can be learned; a
model that writes one from the other reads both as texts.
"""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from pellucid.data import schema
from pellucid.data.build_dataset import DataOptions, RawTables, build_dataset
from pellucid.data.compute import pc
from pellucid.data.dataset import Dataset
from pellucid.data.kinds.kind import FEW, ID_NAME
from pellucid.errors import BadDataError

WORDS = ("text", "category")
WRITTEN = (*WORDS, "number", "date")
"""Kinds of columns that can be read and written as texts."""


def read_pairs(raw: RawTables, options: DataOptions) -> Dataset:
    """Read a table of two columns as texts.

    Raises:
        BadDataError: it has other columns, both are numbers or dates, or one has only a few values.
    """
    raw = _without_source(raw)
    table = raw.splits["train"]
    found = {
        name: schema.read_column(name, table[name], options.columns.get(name), marks=raw.marks).kind
        for name in table.column_names
    }
    words = len(found) == 2 and set(found.values()) <= set(WRITTEN) and set(found.values()) & set(WORDS)
    if not words or any(ID_NAME.search(name) or _has_few(table[name]) for name in found):
        raise BadDataError(f"{raw.name}: expected two columns of words, received {found}.")
    return build_dataset(raw, replace(options, columns={**options.columns, **dict.fromkeys(found, "text")}))


def _without_source(raw: RawTables) -> RawTables:
    """Return translations of Tatoeba without their third column, which says whose they are."""
    names = raw.splits["train"].column_names
    if len(names) != 3 or not _says_cc_by(raw.splits["train"][names[2]]):
        return raw
    note = f"left out {names[2]!r}: it says where the texts are from"
    kept = {split: table.select(names[:2]) for split, table in raw.splits.items()}
    return replace(raw, splits=kept, notes=(*raw.notes, note))


def _says_cc_by(column: pa.ChunkedArray) -> bool:
    words = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return words and bool(pc.all(pc.match_substring(column, "CC-BY")).as_py())


def _has_few(column: pa.ChunkedArray) -> bool:
    return pc.count_distinct(column).as_py() <= FEW
