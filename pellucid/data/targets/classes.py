"""One class out of K, as its index."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pellucid.data import images, parse, schema
from pellucid.data.compute import pc
from pellucid.data.dataset import Column
from pellucid.data.kinds.kind import FEW, LISTED, MANY
from pellucid.data.marks import Marks
from pellucid.data.targets.target import NamedTarget, TargetCells, TargetColumn, Vector, missing
from pellucid.data.tensor_column import tensor_values
from pellucid.errors import BadDataError

CLASS_NAMES = frozenset(
    ("label", "labels", "class", "classes", "category", "species", "diagnosis", "sentiment")
)
"""Names of columns whose whole numbers are classes, even if there are many."""


@dataclass(frozen=True)
class Classes(NamedTarget):
    """One class out of K: (N,) int64 indices of the categories of the column."""

    name = "classes"
    task = "classification"
    order = 30
    stratified = "stratified by class"

    @classmethod
    def read(cls, cells: TargetCells) -> TargetColumn | None:
        raw = cells.raw
        if raw is None:
            return _one_hot(cells.name, cells.vector) if _names_one(cells) else None
        if cells.classes is not None:
            return _declared(cells.name, raw, tuple(cells.classes))
        if cells.vector is not None:
            return _one_hot(cells.name, cells.vector) if _names_one(cells) else None
        if cells.kind == "number":
            return None
        if cells.task == "regression" and cells.reading.kind == "number":
            return None
        if cells.kind in ("category", "classes"):
            return _values(cells.name, raw, "set by the user", cells.marks, asked=True)
        reading = cells.reading
        decimals = reading.kind == "number" and not parse.whole(reading.values)
        if cells.task == cls.task and cells.kind is None and not decimals:
            return _values(cells.name, raw, "set by the user", cells.marks, asked=True)
        if reading.kind in ("boolean", "category", "text"):
            return _values(cells.name, raw, reading.reason, cells.marks)
        if reading.kind == "number" and parse.whole(reading.values):
            count = pc.count_distinct(reading.values).as_py()
            if count <= FEW and parse.is_text(raw.type) and _are_codes(raw, cells.written):
                return _values(cells.name, raw, f"{count} different codes", cells.marks)
            if count <= FEW or (cells.name.lower() in CLASS_NAMES and count <= MANY):
                decimals = _decimals(raw) if cells.written else ""
                return _whole(cells.name, reading.values, f"{count} different whole numbers", decimals)
        return None

    @classmethod
    def strata(cls, column: Column, values: pa.ChunkedArray) -> np.ndarray:
        return class_codes(column, values)

    @classmethod
    def counts(cls, column: Column, values: pa.ChunkedArray) -> dict[str, int]:
        counts = np.bincount(class_codes(column, values), minlength=len(column.categories))
        return dict(zip(column.categories, counts.tolist(), strict=True))

    def apply(self, table: pa.Table) -> Tensor:
        return torch.from_numpy(class_codes(self.column, self.values(table)).copy())

    def invert(self, encoded: Tensor) -> list[str]:
        """Return the class names of indices (N,)."""
        return self.names(encoded.tolist())


def class_codes(target: Column, column: pa.ChunkedArray) -> np.ndarray:
    """Return the class of every row as an index of the categories of the target: (N,) int64.

    Raises:
        BadDataError: a value is none of the classes.
    """
    shown = column
    if parse.is_text(column.type):
        known = pa.array(target.categories, column.type)
        column = pc.coalesce(*(pc.index_in(spelt, value_set=known) for spelt in _spellings(column, target)))
    codes = pc.fill_null(column.cast(pa.int64()), -1).to_numpy()
    outside = np.flatnonzero((codes < 0) | (codes >= len(target.categories)))
    if len(outside):
        received = shown[int(outside[0])].as_py()
        some = ", ".join(target.categories[:LISTED]) + (" ..." if len(target.categories) > LISTED else "")
        raise BadDataError(
            f"The target {target.name!r} in row {outside[0] + 1:,}: expected one of {len(target.categories)} "
            f"classes ({some}), received {'nothing' if received is None else repr(received)}.",
            remedy="write it as in training, or leave such rows out",
        )
    return codes


def _spellings(cells: pa.ChunkedArray, target: Column) -> list[pa.ChunkedArray]:
    """Return the cells, and for classes that are whole numbers, the cells with and without decimals."""
    if not all(re.fullmatch(r"-?\d+(\.0+)?", name) for name in target.categories):
        return [cells]
    plain = pc.replace_substring_regex(cells, r"^\s*(-?\d+)\.0+\s*$", r"\1")
    decimals = next((name[name.index(".") :] for name in target.categories if "." in name), "")
    return [cells, pc.binary_join_element_wise(plain, decimals, "") if decimals else plain]


# ---- reading -------------------------------------------------------------------------------------


def _declared(name: str, raw: pa.ChunkedArray, classes: tuple[str, ...]) -> TargetColumn:
    """Read indices of declared class names; one out of range (often -1) means that there is no label."""
    values = raw.cast(pa.int64())
    outside = pc.or_(pc.less(values, 0), pc.greater_equal(values, len(classes)))
    values = pc.if_else(outside, pa.scalar(None, pa.int64()), values)
    return _column(Column(name, "category", classes, "declared as class labels"), values)


def _names_one(cells: TargetCells) -> bool:
    """Whether columns of 0 and 1 name one class in every row, and nobody said that they are labels."""
    vector = cells.vector
    said = cells.task not in (None, Classes.task) or cells.kind in ("number", "labels")
    return vector is not None and vector.is_one_hot and not said


def _one_hot(name: str, vector: Vector | None) -> TargetColumn:
    """Read rows of exactly one 1 as classes."""
    assert vector is not None
    codes = pa.chunked_array([pa.array(tensor_values(vector.values).argmax(axis=1))])
    reason = f"one-hot: exactly one 1 among {len(vector.names)} columns"
    note = f"{name} is one-hot, so it is read as classes; task='multilabel' predicts several labels a row"
    return TargetColumn(Column(name, "category", vector.names, reason), codes, None, "a class", note=note)


def _are_codes(raw: pa.ChunkedArray, written: bool) -> bool:
    """Whether texts are names: some begin with 0, as 01, or, outside of files of text, end as 1.0 does."""
    pattern = r"^\s*0\d+\s*$" if written else r"^\s*(0\d+|\d+\.0+)\s*$"
    return pc.any(pc.match_substring_regex(raw, pattern)).as_py() or False


def _values(
    name: str, raw: pa.ChunkedArray, reason: str, marks: Marks, *, asked: bool = False
) -> TargetColumn:
    """Read words as classes: also None, NA and null, unless the user said that they mean a missing value.

    Raises:
        BadDataError: there are so many that they are no classes, and the user did not say that they are.
    """
    if pa.types.is_boolean(raw.type):
        return _column(Column(name, "category", ("false", "true"), reason), raw.cast(pa.int64()))
    if pa.types.is_integer(raw.type) or (pa.types.is_floating(raw.type) and parse.whole(raw)):
        return _whole(name, raw, reason)
    if marks.missing is None:
        marks = replace(marks, missing=tuple(word for word in parse.MISSING if word not in parse.WORDS))
    reading = schema.read_column(name, raw, "category", marks=marks)
    values = reading.values
    found = parse.distinct(values).to_pylist()
    if not asked and len(found) > max(2, min(MANY, (len(values) - values.null_count) // 2)):
        raise BadDataError(
            f"The target column {name!r} has {len(found):,} different texts in {len(values):,} rows: "
            "expected numbers, or classes with several rows each.",
            remedy=f"--set 'data.columns={{{name}: category}}' if they are classes, or another --target",
        )
    return _column(
        Column(name, "category", tuple(sorted(found, key=images.natural)), reason, reading.form), values
    )


def _decimals(raw: pa.ChunkedArray) -> str:
    """Return what all whole numbers of a file end in, such as ".0"; "" where some end in another way."""
    ends = pc.unique(
        pc.replace_substring_regex(pc.utf8_trim_whitespace(raw).drop_null(), r"^-?\d+", "")
    ).to_pylist()
    return ends[0] if len(ends) == 1 and re.fullmatch(r"\.0+", ends[0]) else ""


def _whole(name: str, raw: pa.ChunkedArray, reason: str, decimals: str = "") -> TargetColumn:
    """Read whole numbers as classes, in their order, with the decimals that all of them are written with."""
    values = raw.cast(pa.int64())
    distinct = parse.distinct(values)
    ordered = distinct.take(pc.sort_indices(distinct))
    column = Column(name, "category", tuple(f"{value}{decimals}" for value in ordered.to_pylist()), reason)
    codes = pc.index_in(values, value_set=ordered).cast(pa.int64())
    return TargetColumn(column, codes, missing(raw), "a class")


def _column(column: Column, values: pa.ChunkedArray) -> TargetColumn:
    return TargetColumn(column, values, missing(values), "a class")


TARGET = Classes
