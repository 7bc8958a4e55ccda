"""A text, as the tokens that a model generates one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from pellucid.data import schema
from pellucid.data.dataset import Column
from pellucid.data.encoder import FitOptions, Inputs
from pellucid.data.targets.target import Target, TargetCells, TargetColumn, missing
from pellucid.data.text.ragged import Ragged
from pellucid.data.text.text_inputs import BOS, EOS, TextInputs
from pellucid.data.text.vocabulary import token_inputs
from pellucid.errors import ModelError


@dataclass(frozen=True)
class Tokens(Target):
    """A text as tokens: (N, T) int64, BOS ... EOS, padded with 0.

    Attributes:
        column: what is predicted.
        tokens: the tokenizer of the text.
    """

    name = "tokens"
    task = "translation"
    order = 10

    column: Column
    tokens: TextInputs

    @classmethod
    def read(cls, cells: TargetCells) -> TargetColumn | None:
        if cells.raw is None or cells.kind not in ("text", cls.name):
            return None
        reading = schema.read_column(cells.name, cells.raw, "text")
        column = Column(cells.name, "text", (), reading.reason)
        return TargetColumn(column, reading.values, missing(reading.values), "a text")

    @classmethod
    def fit(cls, column: Column, train: pa.Table, options: FitOptions, inputs: Inputs) -> Tokens:
        if options.text is None or not isinstance(inputs, TextInputs):
            raise ModelError(f"The target {column.name!r} is text: expected a model such as seq2seq.")
        if options.shared is not None:
            return cls(column, replace(inputs, name=column.name))
        return cls(column, token_inputs(column, train, options.text))

    @property
    def num_outputs(self) -> int:
        return 0

    def notes(self, splits: Mapping[str, pa.Table], options: FitOptions) -> list[str]:
        return self.tokens.notes(splits, options)

    def apply(self, table: pa.Table) -> Tensor:
        return torch.from_numpy(self.rows(table).padded())

    def rows(self, table: pa.Table) -> Ragged:
        """Return the texts as tokens, each between BOS and EOS."""
        self.values(table)
        return self.tokens.rows(table).framed(BOS, EOS)

    def invert(self, encoded: Tensor) -> list[str]:
        """Return the texts of token ids (N, T)."""
        return [self.tokens.decode(row) for row in encoded.cpu().numpy()]

    def state(self) -> dict[str, Any]:
        return {"kind": self.name, "column": asdict(self.column), "tokens": self.tokens.state()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Tokens:
        return cls(Column.from_state(state["column"]), TextInputs.from_state(state["tokens"]))


TARGET = Tokens
