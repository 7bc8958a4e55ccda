"""A **Dataset**: named splits of typed columns, and where they came from.

A split is a `pyarrow.Table` (memory-mapped if it came from a file), so a dataset may be larger than
memory. Images are struct columns `{bytes, path}`; numeric arrays of any shape per row are fixed-shape
tensor columns. Nothing is decoded, scaled or shuffled here: that is `preprocess` and `batches`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pyarrow as pa
import xxhash

from pellucid.config import ColumnKind
from pellucid.data import hashing
from pellucid.errors import BadDataError, UnknownNameError

Task = str
"""What is predicted: classification, multilabel, regression, translation, or the task of another target."""
SPLITS = ("train", "validation", "test")
FILE_SOURCES = frozenset(("csv", "parquet", "json", "folder", "text"))
"""Kinds of source whose name is the path of a file or folder."""
UNLABELED = "unsupervised"
"""A split that some sources have in addition: more inputs, without targets."""


@dataclass(frozen=True)
class Column:
    """One typed column.

    Attributes:
        name: its name.
        kind: a file of `pellucid/data/kinds`: image, number, boolean, category, date, text, tensor.
        categories: the values of a category, in class order; a category column holds the indices of
            these as integers, or the values themselves as text.
        reason: why this kind was inferred, in a few words.
        form: how cells of text are written, such as their decimal mark or form of dates.
    """

    name: str
    kind: ColumnKind
    categories: tuple[str, ...] = ()
    reason: str = ""
    form: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Column:
        """Restore from plain JSON values."""
        form = state.get("form") or {}  # version 0.1 had none
        return cls(state["name"], state["kind"], tuple(state["categories"]), state["reason"], form)


@dataclass(frozen=True)
class Source:
    """Where the rows came from.

    Attributes:
        name: the hub name or the path.
        kind: cache, mirror, hub, bundled, folder, csv, parquet, text, arrays or toy.
        licence: as its card states it; "" if it does not.
        note: what a reader of the results must know, e.g. that a stand-in was used.
        looked: the places that were searched, in order, with the result of each.
    """

    name: str
    kind: str
    licence: str = ""
    note: str = ""
    looked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Named splits of typed columns.

    Attributes:
        name: what it is called.
        splits: "train" always; "validation" and "test" if there are any; "unsupervised" for inputs without
            targets.
        columns: the schema, shared by all splits, the target included.
        target: the column to predict, or None.
        task: classification, multilabel, regression or translation (text to text); None without a target.
        source: where it came from.
        skipped: what was skipped as unreadable, one line each.
        notes: what was changed or decided while reading, one line each (resized, converted, split ...).
        encoding: how the target is encoded, a file of `pellucid/data/targets`; None: as usual for its task.
        written: how its files of text are written, as in `data.csv`.
        read_columns: the names of all columns of the source, in its order; also of those that were left out.
        rows_of: the settings that its rows and splits were made with, where `open_data` made them.
    """

    name: str
    splits: Mapping[str, pa.Table]
    columns: tuple[Column, ...]
    target: str | None
    task: Task | None
    source: Source
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    encoding: str | None = None
    rows_of: Mapping[str, Any] | None = None
    written: Mapping[str, Any] = field(default_factory=dict)
    read_columns: tuple[str, ...] = ()

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(table):,}" for name, table in self.splits.items())
        inputs = ", ".join(f"{column.name}: {column.kind}" for column in self.inputs[:6])
        more = f" and {len(self.inputs) - 6} more" if len(self.inputs) > 6 else ""
        return f"Dataset({self.name!r}, {sizes}; {inputs}{more} -> {self.target} ({self.task}))"

    def column(self, name: str) -> Column:
        """Return a column by name.

        Raises:
            UnknownNameError: with the nearest names.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise UnknownNameError(f"column in {self.name}", name, [column.name for column in self.columns])

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The columns to learn from."""
        return tuple(column for column in self.columns if column.name != self.target)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of the logits; () if no classes are predicted."""
        return self.column(self.target).categories if self.target and self.task != "regression" else ()

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """A hash of every split's content, by split."""
        return {name: fingerprint(table) for name, table in self.splits.items()}

    def with_splits(self, splits: Mapping[str, pa.Table], *notes: str) -> Dataset:
        """Return the same dataset with other rows."""
        if not len(splits.get("train", ())):
            raise BadDataError(f"{self.name} has no training rows: expected at least 1, received 0.")
        return replace(self, splits=dict(splits), notes=(*self.notes, *notes), rows_of=None)


def fingerprint(table: pa.Table) -> str:
    """Hash the content of a table: equal rows give equal hashes, however they are stored."""
    digest = xxhash.xxh3_128()
    for name in table.column_names:
        digest.update(name.encode())
        digest.update(hashing.values(table[name]).tobytes())
    return digest.hexdigest()
