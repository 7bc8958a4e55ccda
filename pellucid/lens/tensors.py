"""A tensor in a few plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class TensorRecord:
    """Shape, dtype and statistics of a tensor, as plain values.

    Attributes:
        shape: its sizes.
        dtype: e.g. "float32".
        device: e.g. "cpu".
        mean, std, min, max: of its finite values, std with divisor n; None where there are no values, as on
            the device "meta" or in an empty tensor. Of a complex tensor they are of the absolute values.
        norm: root of the sum of squares of the finite values.
        zeros: share of exact zeros, 0..1.
        non_finite: share of infinite values and NaN, 0..1.
        zero_units: how many positions of axis 1, and of the last axis (-1), are zero in the whole tensor.
    """

    shape: tuple[int, ...]
    dtype: str
    device: str
    mean: float | None = None
    std: float | None = None
    min: float | None = None
    max: float | None = None
    norm: float | None = None
    zeros: float | None = None
    non_finite: float | None = None
    zero_units: dict[int, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, without what is not known."""
        values = {name: value for name, value in vars(self).items() if value is not None}
        del values["zero_units"]
        return {**values, "shape": list(self.shape)}


@torch.no_grad()
def record(tensor: Tensor) -> TensorRecord:
    """Return the record of a tensor.

    Example:
        >>> record(torch.tensor([[0.0, 1.0], [0.0, 3.0]])).zero_units
        {1: 1, -1: 1}
    """
    facts = (_shape(tensor), str(tensor.dtype).removeprefix("torch."), tensor.device.type)
    if tensor.is_meta or tensor.layout != torch.strided or tensor.is_quantized or not tensor.numel():
        return TensorRecord(*facts)
    values = tensor.detach()
    values = values.abs() if values.is_complex() else values
    values = values if values.dtype == torch.float64 else values.float()
    finite = values.isfinite()
    whole = bool(finite.all())
    known = values if whole else values[finite]
    if not known.numel():
        return TensorRecord(*facts, zeros=0.0, non_finite=1.0)
    return TensorRecord(
        *facts,
        mean=known.mean().item(),
        std=known.std(correction=0).item(),
        min=known.min().item(),
        max=known.max().item(),
        norm=known.norm().item(),
        zeros=(values == 0).float().mean().item(),
        non_finite=0.0 if whole else 1 - known.numel() / values.numel(),
        zero_units=_zero_units(values) if values.ndim > 1 else {},
    )


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(int(size) for size in tensor.shape)


def _zero_units(values: Tensor) -> dict[int, int]:
    zero = values == 0
    return {axis: int(zero.movedim(axis, 0).flatten(1).all(1).sum()) for axis in (1, -1)}


def records_in(value: Any) -> list[TensorRecord | None]:
    """Return the records in a structure made by `map_tensors`, in order; None where a tensor has none."""
    if value is None or isinstance(value, TensorRecord):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [found for part in value for found in records_in(part) if found is not None]
    return []
