"""(X, y) that a table cannot hold, as a dataset of PyTorch: inputs by name or in a list, targets of images.

({"image": (N, 3, 8, 8), "age": (N, 1)}, y)    -> forward(image, age)
([(N, 4), (N, 2)], y)                          -> forward(first, second)
((N, 1, 8, 8), (N, 8, 8))                      -> a target for each pixel
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from pellucid.data.sources.objects import numbers, of_tensor
from pellucid.errors import BadDataError

SHARE = 0.1
"""Share of the rows for validation, and for the test, where none is said."""


class Rows(Dataset[Any]):
    """Rows of one input or several, each with its target.

    Args:
        inputs: a tensor, or several as a tuple or by name, each with N rows.
        targets: (N, ...).
    """

    def __init__(self, inputs: Any, targets: Tensor):
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> Any:
        if isinstance(self.inputs, Mapping):
            return {name: part[row] for name, part in self.inputs.items()}, self.targets[row]
        if isinstance(self.inputs, tuple):
            return (*(part[row] for part in self.inputs), self.targets[row])
        return self.inputs[row], self.targets[row]


def needs_batches(X: Any, y: Any) -> bool:
    """Whether (X, y) has several inputs, one of them of more than one number a row, or targets of images."""
    several = isinstance(X, Mapping) or _is_list_of_inputs(X, y)
    parts = list(X.values()) if isinstance(X, Mapping) else X
    if several:
        return any(len(np.shape(part)) > 1 for part in parts)
    return len(getattr(X, "shape", ())) > 3 and len(getattr(y, "shape", ())) > 2


def _is_list_of_inputs(X: Any, y: Any) -> bool:
    if not isinstance(X, (list, tuple)) or len(X) < 2 or not hasattr(y, "__len__"):
        return False
    arrays = all(hasattr(part, "shape") and len(part.shape) for part in X)
    return arrays and len(X) != len(y) and {len(part) for part in X} == {len(y)}


def rows_of(X: Any, y: Any) -> Rows:
    """Return (X, y) as rows.

    Raises:
        BadDataError: the numbers of rows differ, or values are not numbers.
    """
    several = isinstance(X, (Mapping, list, tuple))
    parts = dict(X.items() if isinstance(X, Mapping) else enumerate(X, 1)) if several else {"": X}
    called = {name: f"The input {name!r}" if several else "X" for name in parts}
    inputs = {name: _tensor(part, called[name]) for name, part in parts.items()}
    targets = _targets(y)
    for name, part in inputs.items():
        if len(part) != len(targets):
            raise BadDataError(
                f"{called[name]} has {len(part):,} rows and y {len(targets):,}: expected equal numbers."
            )
    if isinstance(X, Mapping):
        return Rows({str(name): part for name, part in inputs.items()}, targets)
    return Rows(tuple(inputs.values()) if several else inputs[""], targets)


def held_out(rows: Rows, shares: Mapping[str, float | None]) -> dict[str, Any]:
    """Return the rows by split: "train", and a random share for each other split; the same in every run."""
    order = np.random.default_rng(0).permutation(len(rows)).tolist()
    made: dict[str, Any] = {}
    for split, share in shares.items():
        count = round(len(rows) * (SHARE if share is None else share))
        if count:
            made[split], order = Subset(rows, order[:count]), order[count:]
    return {"train": Subset(rows, order), **made}


def _tensor(part: Any, name: str) -> Tensor:
    array = numbers(part, name)
    return torch.as_tensor(array if array.dtype.kind in "iu" else array.astype(np.float32))


def _targets(y: Any) -> Tensor:
    array = np.asarray(of_tensor(y))
    if array.dtype.kind not in "buif":
        raise BadDataError(
            f"y has dtype {array.dtype}: expected numbers, since there are several inputs.",
            remedy="class numbers: np.unique(y, return_inverse=True)[1]",
        )
    checked = numbers(y, "y")
    flat = (
        checked[:, 0]
        if checked.ndim == 2 and checked.shape[1] == 1 and checked.dtype.kind in "bui"
        else checked
    )
    return torch.as_tensor(flat.astype(np.int64 if flat.dtype.kind in "bui" else np.float32))
