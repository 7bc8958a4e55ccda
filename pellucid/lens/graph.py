"""What autograd recorded between the outputs of a model and its loss."""

from __future__ import annotations

from typing import Any

from torch import Tensor

RESHAPING = (
    "View",
    "Reshape",
    "UnsafeView",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Permute",
    "T",
    "Alias",
    "Clone",
)
MOST = 200
"""Operations that are followed."""


def operation(node: Any) -> str:
    """Return the operation of a node: "Softmax" of SoftmaxBackward0."""
    return node.name().partition("Backward")[0]


def last_operation(tensor: Any) -> str:
    """Return the operation that made a tensor, apart from those that only reshape; "" if there is none."""
    node = tensor.grad_fn if isinstance(tensor, Tensor) else None
    while node is not None and operation(node) in RESHAPING:
        node = next((before for before, _ in node.next_functions if before is not None), None)
    return "" if node is None else operation(node)


def operations_after(outputs: Tensor, loss: Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """Return (operation, shape of its result) of the operations between outputs and the loss, last first."""
    found: list[tuple[str, tuple[int, ...]]] = []
    waiting: list[Any] = [loss.grad_fn]
    seen: set[Any] = {outputs.grad_fn, None}
    while waiting and len(found) < MOST:
        node = waiting.pop(0)
        if node in seen:
            continue
        seen.add(node)
        shapes = [tuple(part.shape) for part in getattr(node, "_input_metadata", ())]
        found.append((operation(node), shapes[0] if shapes else ()))
        waiting += [before for before, _ in node.next_functions]
    return found
