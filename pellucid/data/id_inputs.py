"""Token ids in an array, (N, T) whole numbers, as a model with an embedding reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pellucid.data.dataset import Column
from pellucid.data.encoder import Inputs, with_tuples
from pellucid.data.tensor_column import tensor_values
from pellucid.errors import ModelError


@dataclass(frozen=True)
class IdInputs(Inputs):
    """Ids (T,) from 0, unchanged: int64.

    Attributes:
        name: of the column.
        length: T.
        num_ids: ids there are, 0 to num_ids - 1, in the data or in the embedding of the model.
    """

    stored_as = "tensor"

    name: str
    length: int
    num_ids: int

    @classmethod
    def fit(cls, column: Column, table: pa.Table) -> IdInputs:
        """Take the number of ids from the column, which knows all splits."""
        return cls(column.name, table.schema.field(column.name).type.shape[0], column.form["num_ids"])

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length,)

    @property
    def vocab_size(self) -> int:
        return self.num_ids

    def apply(self, table: pa.Table) -> np.ndarray:
        return tensor_values(table[self.name]).astype(np.int64)

    def check_new(self, table: pa.Table) -> None:
        values = tensor_values(table[self.name])
        if values.size and not (values == np.rint(values)).all():
            raise ModelError(f"{self.name}: expected ids, which are whole numbers, as in training.")
        if values.size and (values.min() < 0 or values.max() >= self.num_ids):
            raise ModelError(
                f"{self.name}: expected ids from 0 to {self.num_ids - 1:,}, which the model knows; received "
                f"{values.min():.0f} to {values.max():.0f}."
            )

    def state(self) -> dict[str, Any]:
        return {"kind": self.stored_as, "layout": "ids", **asdict(self)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> IdInputs:
        """Restore from `state()`."""
        return cls(**{key: value for key, value in with_tuples(state).items() if key != "layout"})
