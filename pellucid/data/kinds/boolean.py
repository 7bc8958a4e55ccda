"""True and false, in any of their spellings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pellucid.data import parse
from pellucid.data.compute import pc
from pellucid.data.dataset import Column
from pellucid.data.encoder import Encoder
from pellucid.data.kinds.kind import Cells, Kind, Reading, all_bad, compared, describe_common


def infer(cells: Cells) -> Reading | None:
    if pa.types.is_boolean(cells.type):
        return read(cells)
    if not cells.is_text or cells.distinct != 2:
        return None
    words = parse.distinct(cells.cleaned)
    if parse.booleans(words).null_count:
        return None
    seen = " and ".join(sorted(map(repr, words.to_pylist())))
    return Reading(parse.booleans(cells.cleaned), f"only {seen}")


def read(cells: Cells) -> Reading:
    raw = cells.cleaned
    if pa.types.is_boolean(raw.type):
        return Reading(raw, "true and false")
    try:
        return compared(raw, parse.booleans(parse.as_text(raw)), "true and false")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return all_bad(raw)


@dataclass(frozen=True)
class BooleanEncoder(Encoder):
    """1 for true, 0 for false, 0.5 for a missing value."""

    names: tuple[str, ...]

    @classmethod
    def fit(cls, column: Column, values: pa.ChunkedArray, normalize: bool) -> BooleanEncoder:
        return cls((column.name,))

    def apply(self, column: pa.ChunkedArray) -> np.ndarray:
        return pc.fill_null(column.cast(pa.float32()), 0.5).to_numpy()[:, None]


KIND = Kind(
    name="boolean",
    order=40,
    expected="true or false",
    infer=infer,
    read=read,
    fits=lambda kind: pa.types.is_boolean(kind) or pa.types.is_null(kind),
    encoder=BooleanEncoder,
    empty=pa.bool_(),
    describe=describe_common,
    numeric=True,
)
