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

MOST = 512
"""Most tokens of a target where no setting says how many, unless sources may be longer."""


@dataclass(frozen=True)
class Tokens(Target):
    """A text as tokens: (N, T) int64, BOS ... EOS, padded with 0.

    Attributes:
        column: what is predicted.
        tokens: the tokenizer of the text; its `max_seq_len` is where targets are cut.
        longest: tokens of the longest training target with its EOS; None in runs of earlier versions.
    """

    name = "tokens"
    task = "translation"
    order = 10

    column: Column
    tokens: TextInputs
    longest: int | None = None

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
            tokens = replace(inputs, name=column.name)
        else:
            tokens = token_inputs(column, train, options.text)
        found = int(tokens.column(train).lengths.max(initial=0))
        limit = options.text.max_target_len or max(options.text.max_seq_len, min(found, MOST))
        return cls(column, replace(tokens, max_seq_len=limit), min(found, limit) + 1)

    @property
    def num_outputs(self) -> int:
        return 0

    @property
    def max_len(self) -> int:
        return self.tokens.max_seq_len + 1

    def notes(self, splits: Mapping[str, pa.Table], options: FitOptions) -> list[str]:
        return self.tokens.notes(splits, replace(options, layout=True))

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
        own = {"kind": self.name, "column": asdict(self.column), "tokens": self.tokens.state()}
        return {**own, "longest": self.longest}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Tokens:
        tokens = TextInputs.from_state(state["tokens"])
        return cls(Column.from_state(state["column"]), tokens, state.get("longest"))


TARGET = Tokens
