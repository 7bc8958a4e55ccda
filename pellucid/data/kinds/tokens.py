"""Lists of tokens: texts that were split before, into words or into the letters of a protein."""

from __future__ import annotations

import pyarrow as pa

from pellucid.data import parse
from pellucid.data.compute import pc
from pellucid.data.dataset import Column
from pellucid.data.encoder import FitOptions, Inputs
from pellucid.data.kinds.kind import Cells, Description, Kind, Reading, WholeInput, all_bad
from pellucid.data.kinds.tensor import is_list
from pellucid.data.text.token_lists import TokenLists
from pellucid.errors import ModelError


def infer(cells: Cells) -> Reading | None:
    """Never: what lists of words mean depends on the task, so a column of them is named as this kind."""
    return None


def read(cells: Cells) -> Reading:
    if not fits(cells.type):
        return all_bad(cells.raw)
    return Reading(cells.raw, "lists of tokens")


def fits(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a list of texts."""
    return is_list(kind) and parse.is_text(kind.value_type)


def _fit(column: Column, table: pa.Table, options: FitOptions) -> tuple[Inputs, list[str]]:
    if options.text is None:
        raise ModelError(f"Column {column.name!r} holds tokens: expected a model such as lstm.")
    return TokenLists.fit(column, table, options.text), []


def describe(column: Column, values: pa.ChunkedArray, sample: pa.ChunkedArray) -> Description:
    lengths = pc.list_value_length(sample)
    if not len(lengths):
        return Description()
    few, many = pc.min_max(lengths).as_py().values()
    return Description(note=f"{few:,} to {many:,} tokens a row, {pc.mean(lengths).as_py():.1f} on average")


KIND = Kind(
    name="tokens",
    order=75,
    expected="a list of tokens",
    infer=infer,
    read=read,
    fits=fits,
    describe=describe,
    whole=WholeInput(fit=_fit, restore=TokenLists.from_state, tokens=True),
)
