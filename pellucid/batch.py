"""The noun **Batch**: what one step learns from.

A batch is a pytree of tensors. Pellucid's own data gives pairs, `(inputs, targets)`; a loader of yours may
give a pair, a dict, a list of dicts or any nesting of these. `as_batch` reads the inputs and the targets out
of it, and everything that moves, measures or compiles a batch goes through this file.

    inputs, targets = as_batch(batch)          # a pair, or {"image": ..., "label": ...}
    as_batch(batch).extra["weights"]           # anything else, by name

This file needs torch only; data, models and training stand on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

INPUT_NAMES = ("inputs", "input", "x")
"""Keys of a dict batch that hold the inputs; without one of them, all but the targets are inputs, by name."""
TARGET_NAMES = ("targets", "target", "labels", "label", "y")
"""Keys of a dict batch that hold the targets, the first that is there."""
WEIGHTS = "weights"
"""The name of one weight per row, (B,)."""


@dataclass
class Batch:
    """What one step learns from.

    Attributes:
        inputs: a tensor (B, ...), or several as a tuple or by name; `call_model` passes them on.
        targets: a tensor (B, ...), or any structure; None where there are none.
        extra: anything else by name, e.g. "weights", one for each row.

    Example:
        >>> inputs, targets = Batch([0.5, 0.1], [0, 1])
    """

    inputs: Any
    targets: Any = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.inputs, self.targets))


def _flatten(batch: Batch) -> tuple[list[Any], tuple[str, ...]]:
    return [batch.inputs, batch.targets, *batch.extra.values()], tuple(batch.extra)


def _unflatten(values: Any, names: tuple[str, ...]) -> Batch:
    inputs, targets, *extra = values
    return Batch(inputs, targets, dict(zip(names, extra, strict=True)))


pytree.register_pytree_node(Batch, _flatten, _unflatten, serialized_type_name="pellucid.Batch")


def as_batch(value: Any) -> Batch:
    """Read inputs and targets out of whatever a loader yields.

    Args:
        value: a `Batch`; a pair (inputs, targets), of which a longer tuple holds the inputs before the last;
            a dict with one of `TARGET_NAMES`, whose other entries are the inputs; anything else is inputs
            without targets.
    """
    if isinstance(value, Batch):
        return value
    if isinstance(value, Mapping):
        return _from_names(value)
    if isinstance(value, (tuple, list)) and len(value) > 1:
        *inputs, targets = value
        return Batch(inputs[0] if len(inputs) == 1 else tuple(inputs), targets)
    if isinstance(value, (tuple, list)) and len(value) == 1:
        return Batch(value[0])
    return Batch(value)


def _from_names(value: Mapping[str, Any]) -> Batch:
    rest = dict(value)
    target = next((name for name in TARGET_NAMES if name in rest), None)
    targets = rest.pop(target) if target else None
    extra = {WEIGHTS: rest.pop(WEIGHTS)} if WEIGHTS in rest else {}
    named = next((name for name in INPUT_NAMES if name in rest), None)
    if named is not None:
        inputs = rest.pop(named)
        return Batch(inputs, targets, {**extra, **rest})
    return Batch(next(iter(rest.values())) if len(rest) == 1 else rest, targets, extra)


def call_model(model: nn.Module, inputs: Any) -> Any:
    """Call a model on its inputs: one tensor, several in a tuple, or several by name."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def leaves(batch: Any) -> list[Any]:
    """Return everything in a batch, tensors and values, in an order that depends on its structure only."""
    if type(batch) is tuple and all(type(part) is Tensor for part in batch):
        return list(batch)  # the usual pair, without the cost of a general walk
    return pytree.tree_leaves(batch)


def tensors(batch: Any) -> list[Tensor]:
    """Return the tensors of a batch."""
    return [leaf for leaf in leaves(batch) if isinstance(leaf, Tensor)]


def map_tensors(function: Any, batch: Any) -> Any:
    """Return a batch of the same structure with `function` applied to every tensor."""
    return pytree.tree_map_only(Tensor, function, batch)


def num_rows(batch: Any) -> int:
    """Return B, the rows of a batch: the length of its first input, or the number of inputs in a list."""
    inputs = as_batch(batch).inputs
    if isinstance(inputs, list):
        return len(inputs)
    found = tensors(inputs)
    if not found:
        return 0
    return len(found[0]) if found[0].ndim else 1


def describe(batch: Any) -> str:
    """Say what a batch holds, for messages, e.g. "(float32 (32, 784), int64 (32,))"."""
    if isinstance(batch, Tensor):
        return f"{str(batch.dtype).removeprefix('torch.')} {tuple(batch.shape)}"
    if isinstance(batch, Batch):
        return describe({"inputs": batch.inputs, "targets": batch.targets, **batch.extra})
    if isinstance(batch, Mapping):
        return "{" + ", ".join(f"{name}: {describe(value)}" for name, value in batch.items()) + "}"
    if isinstance(batch, (tuple, list)):
        shown = [describe(value) for value in batch[:4]]
        return "(" + ", ".join([*shown, *(["..."] if len(batch) > 4 else [])]) + ")"
    return type(batch).__name__


def signature(batch: Any) -> Any:
    """Return types and shapes in a form that JSON can hold; batches of one signature can share a program."""
    if isinstance(batch, Tensor):
        return [str(batch.dtype).removeprefix("torch."), *batch.shape]
    if isinstance(batch, Batch):
        return signature({"inputs": batch.inputs, "targets": batch.targets, **batch.extra})
    if isinstance(batch, Mapping):
        return {str(name): signature(value) for name, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return [signature(part) for part in batch]
    return type(batch).__name__


def only_tensors(batch: Any) -> bool:
    """Whether a batch holds nothing but tensors, so that a program can be made of it."""
    return all(isinstance(leaf, Tensor) for leaf in leaves(batch))


def rebuild(batch: Any) -> Any:
    """Return a function that makes a batch of this structure from its leaves."""
    if type(batch) is tuple and all(type(part) is Tensor for part in batch):
        return tuple
    spec = pytree.tree_structure(batch)
    return lambda values: pytree.tree_unflatten(list(values), spec)
