"""A kind of column as one record: how its cells are recognized, read, checked, shown and encoded."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from pellucid.data import parse
from pellucid.data.compute import pc
from pellucid.data.dataset import Column
from pellucid.data.encoder import Encoder, FitOptions, Inputs
from pellucid.data.marks import UNKNOWN, Marks

MOSTLY = 0.9
"""A column of text is read as a kind if at least this share of its cells fits."""

FEW = 20
"""Up to this many different values are a category, whatever the number of rows."""

MANY = 1000
"""More different values than this are never classes, and not listed as the values of a category."""

ID_NAME = re.compile(r"(^|[_\W])(id|idx|index|uuid|guid|key|nr|row)$|[a-z](Id|ID)$|^unnamed_\d+$", re.ASCII)
"""Names of columns that identify the row."""

LISTED = 5
"""Values and sizes that a description lists."""


@dataclass(frozen=True)
class Reading:
    """A column that was read as a kind.

    Attributes:
        values: the values, missing where a cell did not fit.
        reason: why this kind, in a few words.
        bad: (N,) True where a cell did not fit; None where all did.
        why: what is wrong with single bad cells, by row, where more is known than what was expected.
        usable: False where nothing can be learned from the column.
        kind: its name; None where the column is not usable.
        expected: what a cell should have been.
        form: how its cells are written, as JSON values: what `read` needs to read other cells the same way.
        notes: what was decided.
    """

    values: pa.ChunkedArray
    reason: str = ""
    bad: np.ndarray | None = None
    why: Mapping[int, str] = field(default_factory=dict)
    usable: bool = True
    kind: str | None = None
    expected: str = ""
    form: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Cells:
    """The cells of a column whose kind is not known yet.

    Args:
        name: of the column.
        raw: unparsed text of a file, or typed values.
        folder: where relative paths start; None: cells are not paths.
        marks: what is known of how the file writes numbers, dates and missing values.
        form: how the cells of this column were written in training; None: found out.
    """

    def __init__(
        self,
        name: str,
        raw: pa.ChunkedArray,
        folder: Path | None = None,
        marks: Marks = UNKNOWN,
        form: Mapping[str, Any] | None = None,
    ):
        self.name, self.raw, self.folder, self.marks, self.form = name, raw, folder, marks, form
        self.is_text = parse.is_text(raw.type)

    @property
    def type(self) -> pa.DataType:
        """Arrow type of the cells."""
        return self.raw.type

    @property
    def missing(self) -> Sequence[str] | None:
        """The words for a missing value, as in training or as the user said; None: the usual ones."""
        return (self.form or {}).get("missing", self.marks.missing)

    @functools.cached_property
    def cleaned(self) -> pa.ChunkedArray:
        """The cells, without white space around them and with the usual marks of a missing value missing."""
        return parse.clean(self.raw, self.missing) if self.is_text else self.raw

    @property
    def present(self) -> int:
        """Number of cells that are not missing."""
        return len(self.cleaned) - self.cleaned.null_count

    @functools.cached_property
    def first(self) -> Any:
        """The first cell that is not missing; None if all are."""
        present = self.cleaned.slice(0, 100).drop_null() if self.cleaned.null_count else self.cleaned
        present = present if len(present) else self.cleaned.drop_null()
        return present[0].as_py() if len(present) else None

    @functools.cached_property
    def sample(self) -> pa.ChunkedArray:
        """Cells from the beginning, the middle and the end, without missing ones."""
        column = self.cleaned
        part = max(2000, len(column) // 1000)
        starts = sorted({0, max(len(column) // 2 - part, 0), max(len(column) - part, 0)})
        found = pa.chunked_array(
            [chunk for start in starts for chunk in column.slice(start, part).chunks], column.type
        )
        return found.drop_null() if found.null_count < len(found) else column.drop_null().slice(0, 2000)

    @functools.cached_property
    def distinct(self) -> int:
        """Number of different values."""
        return pc.count_distinct(self.cleaned).as_py()


@dataclass(frozen=True)
class Description:
    """What `pellucid inspect` shows of a column.

    Attributes:
        distinct: number of different values; None where they are not counted.
        range: smallest and largest value, as text; () where there is no order.
        common: the most common values with their counts.
        note: anything else, such as the sizes of images.
    """

    distinct: int | None = None
    range: tuple[str, ...] = ()
    common: tuple[tuple[str, int], ...] = ()
    note: str = ""


def describe_values(column: Column, values: pa.ChunkedArray, sample: pa.ChunkedArray) -> Description:
    """Count the different values."""
    return Description(distinct=pc.count_distinct(sample).as_py())


def describe_range(column: Column, values: pa.ChunkedArray, sample: pa.ChunkedArray) -> Description:
    """Count the different values, and find the smallest and the largest."""
    distinct = pc.count_distinct(sample).as_py()
    ends = pc.min_max(values).as_py().values() if distinct else ()
    return Description(distinct, range=tuple(shortened(value) for value in ends))


def describe_common(column: Column, values: pa.ChunkedArray, sample: pa.ChunkedArray) -> Description:
    """Count the different values, and find the most common ones."""
    counts = sample.drop_null().value_counts()
    order = np.argsort(-counts.field("counts").to_numpy(), kind="stable")[:LISTED]
    common = tuple(
        (_label(column, counts[int(i)]["values"].as_py()), counts[int(i)]["counts"].as_py()) for i in order
    )
    return Description(len(counts), common=common)


def shortened(value: Any) -> str:
    """Write a value in at most 60 characters."""
    return f"{value:g}" if isinstance(value, float) else str(value)[:60]


def _label(column: Column, value: Any) -> str:
    known = isinstance(value, int) and 0 <= value < len(column.categories)
    return column.categories[value] if known else shortened(value)


@dataclass(frozen=True, kw_only=True)
class WholeInput:
    """How a single column of a kind becomes the whole input of a model, instead of a part of a table.

    Attributes:
        fit: fits the inputs on the training rows, and returns notes on what was changed.
        restore: restores them from their state.
        leads: whether a column of this Arrow type is the input and all other columns are left out; the
            second argument says whether it is the only one.
        tokens: the input is token ids; such a column is chosen if, and only if, the model reads tokens.
    """

    fit: Callable[[Column, pa.Table, FitOptions], tuple[Inputs, list[str]]]
    restore: Callable[[Mapping[str, Any]], Inputs]
    leads: Callable[[pa.DataType, bool], bool] = lambda kind, only: True
    tokens: bool = False


@dataclass(frozen=True)
class FoundFiles:
    """Rows that are files.

    Attributes:
        values: one value for each of N files.
        files: where each is.
        faults: what is wrong with those that cannot be read, by row.
    """

    values: pa.Array
    files: Sequence[Path]
    faults: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.files)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of column.

    Attributes:
        name: as in `data.columns` of a config; the name of its file.
        order: kinds are tried in this order when a column is read; the first that recognizes it is used.
        expected: what a cell should be, for messages.
        infer: reads a column that looks like this kind; None if it does not.
        read: reads any column as this kind; cells that do not fit are bad.
        fits: whether an Arrow type can hold values of this kind.
        encoder: turns a column into numbers of a table's input; None: it can only be the whole input.
        empty: the type of a column that has only missing values; None: there cannot be one.
        categories: the values in class order, where a column of this kind has a fixed set of them.
        describe: describes a column, given all its values and a sample of them, for `pellucid inspect`.
        picture: a cell as an image, or None; None for kinds that are shown as text.
        numeric: an array of numbers can stand for a column, and statistics can be computed from it.
        takes_text: text given to `predict` is a value, not the path of a file.
        repeats: a column whose values all differ is of no use.
        whole: how a column is the whole input of a model; None: only a part of a table.
        from_array: makes a column from an array given to `predict`, and the input shape of the model.
        from_path: reads a file or folder given to `predict`; None if it is of another kind.
    """

    name: str
    order: int
    expected: str
    infer: Callable[[Cells], Reading | None]
    read: Callable[[Cells], Reading]
    fits: Callable[[pa.DataType], bool]
    encoder: type[Encoder] | None = None
    empty: pa.DataType | None = None
    categories: Callable[[pa.ChunkedArray], tuple[str, ...]] = lambda values: ()
    describe: Callable[[Column, pa.ChunkedArray, pa.ChunkedArray], Description] = describe_values
    picture: Callable[[pa.Scalar], Image.Image | None] | None = None
    numeric: bool = False
    takes_text: bool = False
    repeats: bool = False
    whole: WholeInput | None = None
    from_array: Callable[[np.ndarray, tuple[int, ...]], pa.Array | pa.ChunkedArray] | None = None
    from_path: Callable[[Path], FoundFiles | None] | None = None


# ---- readings ------------------------------------------------------------------------------------


def compared(before: pa.ChunkedArray, after: pa.ChunkedArray, reason: str) -> Reading:
    """Return a reading whose bad cells are those that were present before and are missing after."""
    if after.null_count == before.null_count:
        return Reading(after, reason)
    bad = pc.and_(pc.is_null(after), pc.is_valid(before)).to_numpy()
    return Reading(after, reason, bad)


def all_bad(raw: pa.ChunkedArray) -> Reading:
    """Return a reading in which no cell fits."""
    return Reading(raw, "", pc.is_valid(raw).to_numpy())


def mostly_fits(reading: Reading, present: int) -> bool:
    """Whether nearly all of the cells that are present fit."""
    return reading.bad is None or present - int(reading.bad.sum()) >= MOSTLY * present
