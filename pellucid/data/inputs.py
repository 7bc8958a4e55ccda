"""What a model reads: one column as a whole, or the columns of a table as one row of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from pellucid.data import kinds
from pellucid.data.dataset import Column
from pellucid.data.encoder import Encoder, FitOptions, Inputs
from pellucid.data.kinds.kind import WholeInput
from pellucid.data.layout import layout_of
from pellucid.data.series import SeriesInputs
from pellucid.errors import ModelError


@dataclass(frozen=True)
class TableInputs(Inputs):
    """Typed columns, concatenated, each encoded by the encoder of its kind."""

    stored_as = "table"

    columns: tuple[Column, ...]
    encoders: tuple[Encoder, ...]

    @classmethod
    def fit(
        cls, columns: Sequence[Column], table: pa.Table, options: FitOptions
    ) -> tuple[TableInputs, list[str]]:
        """Fit every column; notes say what was filled in or merged."""
        fitted = tuple(
            _encoder(column).fit(column, table[column.name], options.normalize) for column in columns
        )
        notes = [
            note
            for column, encoder in zip(columns, fitted, strict=True)
            for note in encoder.notes(column.name, table[column.name].null_count, len(table))
        ]
        return cls(tuple(columns), fitted), notes

    @cached_property
    def feature_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(name for encoder in self.encoders for name in encoder.names)

    @property
    def shape(self) -> tuple[int]:
        return (len(self.feature_names),)

    def apply(self, table: pa.Table) -> np.ndarray:
        made, start = np.empty((len(table), *self.shape), np.float32), 0
        for column, encoder in zip(self.columns, self.encoders, strict=True):
            end = start + len(encoder.names)
            made[:, start:end] = encoder.apply(table[column.name])
            start = end
        return made

    def new_notes(self, table: pa.Table) -> list[str]:
        pairs = zip(self.columns, self.encoders, strict=True)
        return [
            note for column, encoder in pairs for note in encoder.new_notes(column.name, table[column.name])
        ]

    def state(self) -> dict[str, Any]:
        return {"kind": self.stored_as, "encoders": [encoder.state() for encoder in self.encoders]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], columns: Sequence[Column]) -> TableInputs:
        """Restore from `state()` and the columns."""
        encoders = (
            _encoder(column).from_state(part) for column, part in zip(columns, state["encoders"], strict=True)
        )
        return cls(tuple(columns), tuple(encoders))


def _encoder(column: Column) -> type[Encoder]:
    encoder = kinds.find(column.kind).encoder
    if encoder is None:
        raise ModelError(f"Column {column.name!r}: {column.kind} cannot be one of several columns.")
    return encoder


def fit(
    columns: Sequence[Column], table: pa.Table, options: FitOptions
) -> tuple[Inputs, tuple[Column, ...], list[str]]:
    """Choose what a model reads and fit it.

    Args:
        columns: to choose from.
        table: the training rows.
        options: how to fit; with `text`, the model reads tokens.

    Returns:
        The inputs, the columns that they use, and notes on what was left out or changed.

    Raises:
        ModelError: the model reads tokens, and no column holds text.
    """
    tokens = options.text is not None
    found = whole_column(columns, table.schema, tokens=tokens)
    if found is None and any(layout_of(column) in ("series", "ids") for column in columns):
        found = whole_column(columns, table.schema)
    if found is not None:
        column, whole = found
        made, notes = whole.fit(column, table, options)
        return made, (column,), _left_out(columns, column) + notes
    if tokens:
        received = ", ".join(f"{column.name!r} ({column.kind})" for column in columns)
        raise ModelError(
            f"This model reads tokens: expected a column of text, received {received or 'no columns'}.",
            remedy="--set 'data.columns={NAME: text}', or a model for numbers such as mlp; arrays of series "
            "have the shape (N, T, C)",
        )
    made, notes = TableInputs.fit(columns, table, options)
    return made, tuple(columns), notes


def whole_column(
    columns: Sequence[Column], schema: pa.Schema, *, tokens: bool = False
) -> tuple[Column, WholeInput] | None:
    """Return the column that is the whole input, with its `WholeInput`; None where a table is the input."""
    for kind in kinds.all_kinds():
        for column in columns:
            whole = kind.whole if column.kind == kind.name else None
            if whole is None or whole.tokens != tokens:
                continue
            if whole.leads(schema.field(column.name).type, len(columns) == 1):
                return column, whole
    return None


def _left_out(columns: Sequence[Column], main: Column) -> list[str]:
    others = [column.name for column in columns if column is not main]
    return [f"learns only from {main.name!r}; left out: {', '.join(map(repr, others))}"] if others else []


def restore(state: Mapping[str, Any], columns: Sequence[Column]) -> Inputs:
    """Restore inputs from their state and the columns they use."""
    if state["kind"] == TableInputs.stored_as:
        return TableInputs.from_state(state, columns)
    if state["kind"] == SeriesInputs.stored_as:
        return SeriesInputs.from_state(state)
    whole = kinds.find(state["kind"]).whole
    if whole is None:
        raise ModelError(f"preprocess.json: {state['kind']!r} cannot be the whole input of a model.")
    return whole.restore(state)
