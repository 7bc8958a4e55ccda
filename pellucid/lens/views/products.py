"""Products of two tensors, written as matmul, bmm or einsum, as products of matrices.

Shapes: left (..., M, D), right (..., D, N), out (..., M, N), with the same leading axes.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

MATMUL = frozenset(["matmul", "__matmul__", "bmm", "baddbmm"])
Arrange = Callable[[Tensor], Tensor]
"""A tensor with the axes that an operation was given -> with those of a product of matrices."""


@dataclass(frozen=True)
class Product:
    """A product of matrices.

    Attributes:
        given: the two tensors, as the operation received them.
        left, right, out: bring each of them and what the operation returned, or tensors of their shapes,
            into the form of a product of matrices.
    """

    given: tuple[Tensor, Tensor]
    left: Arrange
    right: Arrange
    out: Arrange


def product_of(name: str, args: Sequence[Any], kwargs: dict[str, Any], made: Tensor) -> Product | None:
    """Return the product that an operation of torch computed; None where it is none of batches of matrices.

    Args:
        name: of the operation.
        args, kwargs: what it received.
        made: what it returned.
    """
    if name == "einsum":
        return _of_einsum(*args)
    if name not in MATMUL:
        return None
    tensors = [part for part in (*args, *kwargs.values()) if isinstance(part, Tensor)]
    tensors = tensors[1:] if name == "baddbmm" else tensors
    if len(tensors) < 2 or min(part.ndim for part in tensors[:2]) < 3:
        return None
    lead = made.shape[:-2]

    def broadcast(part: Tensor) -> Tensor:
        return part.expand(*lead, *part.shape[-2:])

    return Product((tensors[0], tensors[1]), broadcast, broadcast, lambda part: part)


def _of_einsum(equation: Any, *operands: Any) -> Product | None:
    """Read an equation of two tensors that share an axis, of which something else than the batch is left."""
    parts = operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands
    if not isinstance(equation, str) or len(parts) != 2:
        return None
    left, right, out = _axes(equation, [part.ndim for part in parts])
    batch = [axis for axis in out if axis in left and axis in right]
    summed = [axis for axis in left if axis in right and axis not in out]
    rows = [axis for axis in left if axis not in right]
    columns = [axis for axis in right if axis not in left]
    if not batch or not summed or {*rows, *columns, *batch} != set(out):
        return None
    if any(len(set(axes)) < len(axes) for axes in (left, right, out)):
        return None
    return Product(
        (parts[0], parts[1]),
        _arrange(left, batch, rows, summed),
        _arrange(right, batch, summed, columns),
        _arrange(out, batch, rows, columns),
    )


def _axes(equation: str, sizes: Sequence[int]) -> list[str]:
    """Return the letters of the axes of both tensors and of the result; those of "..." are capitals."""
    given, arrow, out = equation.replace(" ", "").partition("->")
    named = given.split(",")
    free = [letter for letter in reversed(string.ascii_uppercase) if letter not in equation]
    widest = max(
        (n - len(part) + 3 for part, n in zip(named, sizes, strict=True) if "..." in part), default=0
    )
    dots = "".join(free[:widest])
    made = [
        part.replace("...", dots[widest - (n - len(part) + 3) :])
        for part, n in zip(named, sizes, strict=True)
    ]
    if not arrow:
        letters = given.replace("...", "").replace(",", "")
        out = "..." * ("..." in given) + "".join(sorted(x for x in set(letters) if letters.count(x) == 1))
    return [*made, out.replace("...", dots)]


def _arrange(axes: str, batch: Sequence[str], rows: Sequence[str], columns: Sequence[str]) -> Arrange:
    order = [axes.index(axis) for axis in (*batch, *rows, *columns)]

    def arranged(part: Tensor) -> Tensor:
        turned = part.permute(order)
        lead, between = len(batch), len(batch) + len(rows)
        sizes = (math.prod(turned.shape[lead:between]), math.prod(turned.shape[between:]))
        return turned.reshape(*turned.shape[:lead], *sizes)

    return arranged
