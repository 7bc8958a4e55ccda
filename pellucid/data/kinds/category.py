"""Categories: a limited number of different values, as text or as indices of declared names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pellucid.data import images, parse
from pellucid.data.compute import pc
from pellucid.data.dataset import Column
from pellucid.data.encoder import Encoder
from pellucid.data.kinds.kind import FEW, LISTED, MANY, Cells, Kind, Reading, all_bad, describe_common

TOO_LARGE = "whole numbers too large to be exact as decimals, which occur again"

LARGEST = 2**53
"""Larger whole numbers are not exact as decimals."""

CODE_LENGTH = 3
"""Digits that a code with leading zeros has at least."""

MOST_CATEGORIES = 50
"""Values that get a number of their own; all others share one."""


def infer(cells: Cells) -> Reading | None:
    if pa.types.is_integer(cells.type):
        return Reading(parse.as_text(cells.cleaned), TOO_LARGE)
    if not cells.is_text:
        return None
    if is_code(cells):
        digits = len(cells.sample[0].as_py())
        return Reading(cells.cleaned, f"{digits} digits, also with zeros in front", form={"digits": digits})
    if are_too_large(cells, parse.numbers(cells.sample)):
        return Reading(cells.cleaned, TOO_LARGE)
    if is_small(cells):
        return Reading(cells.cleaned, f"{cells.distinct} different values")
    return Reading(cells.cleaned, f"{cells.distinct:,} different short values")


def is_code(cells: Cells) -> bool:
    """Whether cells are digits of one length of which some begin with 0, such as postal codes."""
    if not cells.is_text or not (cells.first or "").isdigit():
        return False
    lengths = pc.min_max(pc.utf8_length(cells.cleaned)).as_py()
    if lengths["min"] != lengths["max"] or lengths["min"] < CODE_LENGTH:
        return False
    digits = pc.all(pc.match_substring_regex(cells.cleaned, r"^\d+$")).as_py()
    return digits and pc.any(pc.match_substring_regex(cells.cleaned, r"^0\d")).as_py()


def are_too_large(cells: Cells, numbers: pa.ChunkedArray) -> bool:
    """Whether whole numbers are too large to be exact as decimals, and occur again: they are names."""
    largest = max((abs(end) for end in pc.min_max(numbers).as_py().values() if end is not None), default=0)
    if largest <= LARGEST or cells.distinct > cells.present // 2:
        return False
    if not pa.types.is_integer(numbers.type):
        digits = cells.is_text and cells.first.lstrip("+-").isdigit()
        return digits and pc.all(pc.match_substring_regex(cells.cleaned, r"^[+-]?\d+$")).as_py()
    return True


def is_small(cells: Cells) -> bool:
    """Whether the values are so few that they are a category, however long they are."""
    return cells.distinct <= FEW and (cells.distinct < cells.present or cells.distinct <= 2)


def read(cells: Cells) -> Reading:
    try:
        texts = parse.as_text(cells.cleaned)
        if digits := (cells.form or {}).get("digits"):
            whole = pc.replace_substring_regex(texts, r"^(\d+)\.0+$", r"\1")
            texts = pc.utf8_lpad(whole, width=digits, padding="0")
        return Reading(texts)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return all_bad(cells.cleaned)


def fits(kind: pa.DataType) -> bool:
    return parse.is_text(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)


def categories(values: pa.ChunkedArray) -> tuple[str, ...]:
    """Return the values in natural order; () if there are too many to list."""
    found = parse.distinct(values).to_pylist()
    return tuple(sorted(found, key=images.natural)) if len(found) <= MANY else ()


@dataclass(frozen=True)
class CategoryEncoder(Encoder):
    """One-hot of the most common training values, with a last place for all others.

    Attributes:
        names: "column = value" for each value, and "column = other".
        values: the most common training values.
        known: the names that integers are indices of; () where cells are text.
    """

    names: tuple[str, ...]
    values: tuple[str, ...]
    known: tuple[str, ...] = ()

    @classmethod
    def fit(cls, column: Column, values: pa.ChunkedArray, normalize: bool) -> CategoryEncoder:
        known = column.categories if pa.types.is_integer(values.type) else ()
        counts = pc.drop_null(_texts(values, known)).value_counts().to_pylist()
        ranked = sorted(counts, key=lambda item: (-item["counts"], item["values"]))
        common = tuple(item["values"] for item in ranked[:MOST_CATEGORIES])
        names = (*(f"{column.name} = {value}" for value in common), f"{column.name} = other")
        return cls(names, common, known)

    def apply(self, column: pa.ChunkedArray) -> np.ndarray:
        texts = _texts(column, self.known)
        codes = pc.index_in(texts, value_set=pa.array(self.values, texts.type))
        places = pc.fill_null(codes, len(self.values)).to_numpy()
        hot = np.zeros((len(column), len(self.names)), np.float32)
        hot[np.arange(len(column)), places] = 1
        return hot

    def new_notes(self, name: str, values: pa.ChunkedArray) -> list[str]:
        texts = _texts(values, self.known).drop_null()
        common = pa.array(self.values, texts.type)
        unseen = texts.filter(pc.invert(pc.is_in(texts, value_set=common)))
        if not len(unseen) or len(self.values) == MOST_CATEGORIES:
            return super().new_notes(name, values)
        some = ", ".join(repr(value) for value in pc.unique(unseen).to_pylist()[:LISTED])
        what = "all" if len(unseen) == len(texts) else f"{len(unseen):,} of {len(texts):,}"
        return [f"{name!r}: {what} values were not in the training rows ({some}), and count as 'other'"]

    def notes(self, name: str, missing: int, rows: int) -> list[str]:
        notes = super().notes(name, missing, rows)
        if len(self.values) == MOST_CATEGORIES:
            notes.append(f"{name}: the {len(self.values)} most common values count, all others are 'other'")
        return notes


def _texts(column: pa.ChunkedArray, known: Sequence[str]) -> pa.ChunkedArray:
    """Category values as text; integers are indices of declared names."""
    if pa.types.is_integer(column.type) and known:
        inside = pc.and_(pc.greater_equal(column, 0), pc.less(column, len(known)))
        return pa.chunked_array([pa.array(known)]).take(
            pc.if_else(inside, column, pa.scalar(None, column.type))
        )
    return parse.as_text(column)


KIND = Kind(
    name="category",
    order=60,
    expected="a value",
    infer=infer,
    read=read,
    fits=fits,
    encoder=CategoryEncoder,
    empty=pa.string(),
    categories=categories,
    describe=describe_common,
    repeats=True,
)
