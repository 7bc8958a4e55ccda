"""The noun **Batch**: what one step learns from.

A batch is a pytree of tensors. Pellucid's own data gives pairs, `(inputs, targets)`; a loader of yours may
give a pair, a dict, a list of dicts or any nesting of these. `as_batch` reads the inputs and the targets out
of it, and everything that moves, measures or compiles a batch goes through this file.

    inputs, targets = as_batch(batch)          # a pair, or {"image": ..., "label": ...}
    as_batch(batch).extra["weights"]           # anything else, by name

`call_model` reads the signature of the model's `forward` to decide how inputs become arguments. This file
needs torch only; data, models and training stand on it.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from pellucid.errors import ModelError, UsageError

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


class Arguments(tuple[Any, ...]):
    """Inputs that are separate arguments of the model, whatever its signature."""


pytree.register_pytree_node(
    Arguments,
    lambda inputs: (list(inputs), None),
    lambda values, _: Arguments(values),
    serialized_type_name="pellucid.Arguments",
)


def as_batch(value: Any) -> Batch:
    """Read inputs and targets out of whatever a loader yields.

    Args:
        value: a `Batch`; a pair (inputs, targets), of which a longer tuple holds the inputs before the
            last (see `with_inputs` for others);
            a dict or dataclass with one of `TARGET_NAMES`, whose other entries are the inputs (texts, such
            as file names, are `extra`); anything else is inputs without targets.
    """
    if isinstance(value, Batch):
        return value
    if isinstance(value, Mapping):
        return _from_names(value)
    if _is_dataclass(value):
        return _from_names(_fields(value))
    if isinstance(value, PackedSequence):
        return Batch(value)  # a tuple that is one input
    if isinstance(value, (tuple, list)) and len(value) > 1:
        *inputs, targets = value
        return Batch(inputs[0] if len(inputs) == 1 else Arguments(inputs), targets)
    if isinstance(value, (tuple, list)) and len(value) == 1:
        return Batch(value[0])
    return Batch(value)


def with_inputs(batch: Any, count: int | None) -> Any:
    """Return a tuple or list as (inputs, targets), of which the first `count` entries are the inputs.

    Several inputs are separate arguments of the model; several targets are a tuple. None for `count` returns
    the batch as it is, to be read by `as_batch`.

    Raises:
        UsageError: the batch is no tuple or list, or has fewer entries.
    """
    if count is None:
        return batch
    if not isinstance(batch, (tuple, list)) or len(batch) < count:
        raise UsageError(
            f"inputs={count} expects batches that are tuples of at least {count} entries, received "
            f"{describe(batch)}.",
            remedy="leave out inputs=; in a dict, targets are found by their name: "
            + ", ".join(map(repr, TARGET_NAMES)),
        )
    inputs, targets = batch[:count], batch[count:]
    first = inputs[0] if count == 1 else Arguments(inputs)
    if not targets:
        return Batch(first)
    return first, targets[0] if len(targets) == 1 else tuple(targets)


def _from_names(value: Mapping[str, Any]) -> Batch:
    rest = dict(value)
    target = next((name for name in TARGET_NAMES if name in rest), None)
    targets = rest.pop(target) if target else None
    extra = {WEIGHTS: rest.pop(WEIGHTS)} if WEIGHTS in rest else {}
    named = next((name for name in INPUT_NAMES if name in rest), None)
    if named is not None:
        inputs = rest.pop(named)
        return Batch(inputs, targets, {**extra, **rest})
    inputs = {name: part for name, part in rest.items() if not _only_text(part)} or rest
    extra |= {name: part for name, part in rest.items() if name not in inputs}
    return Batch(next(iter(inputs.values())) if len(inputs) == 1 else inputs, targets, extra)


def _only_text(part: Any) -> bool:
    found = pytree.tree_leaves(part)
    return bool(found) and all(isinstance(leaf, str) for leaf in found)


# ---- calling a model ------------------------------------------------------------------------------------


def call_model(model: nn.Module, inputs: Any) -> Any:
    """Call a model on its inputs.

    Args:
        model: any module; the signature of its `forward` decides how the inputs are passed.
        inputs: a tensor; or several in a tuple or list, which are separate arguments where `forward` has as
            many required parameters (or takes `*args`) and else one argument; or several by name, of which
            those that `forward` has as parameters are passed, all if it takes `**kwargs`.

    Raises:
        ModelError: the names leave a required parameter of `forward` without a value.
    """
    if isinstance(inputs, Tensor):
        return model(inputs)
    if isinstance(inputs, Mapping):
        return model(**_taken(model, inputs))
    return model(*inputs) if is_spread(model, inputs) else model(inputs)


def is_spread(model: nn.Module, inputs: Any) -> bool:
    """Whether `call_model` passes the parts of a tuple or list as separate arguments."""
    if isinstance(inputs, Arguments):
        return True
    if not isinstance(inputs, (tuple, list)):
        return False
    parameters = parameters_of(model)
    return parameters.several or 1 < len(inputs) == len(parameters.required)


@dataclass(frozen=True)
class Parameters:
    """The parameters of a model's `forward`.

    Attributes:
        names: those that can be passed by name.
        required: the positional ones without a default value.
        positional: how many there are, with those that have a default value.
        several: whether it takes `*args`.
        by_name: whether it takes `**kwargs`.
    """

    names: tuple[str, ...]
    required: tuple[str, ...]
    positional: int
    several: bool
    by_name: bool


def parameters_of(model: nn.Module) -> Parameters:
    """Read the parameters of a model's `forward`, once for each class."""
    forward: Any = getattr(
        model, "_orig_mod", model
    ).forward  # torch.compile hides the signature of the module
    if hasattr(forward, "__func__"):
        return _read_parameters(forward.__func__, True)
    return _read_parameters(forward, False)


@functools.lru_cache(maxsize=256)
def _read_parameters(forward: Callable[..., Any], bound: bool) -> Parameters:
    try:
        found = list(inspect.signature(forward).parameters.values())[1 if bound else 0 :]
    except (TypeError, ValueError):
        return Parameters((), (), 0, False, True)
    positional = [part for part in found if part.kind in (part.POSITIONAL_ONLY, part.POSITIONAL_OR_KEYWORD)]
    return Parameters(
        tuple(part.name for part in found if part.kind in (part.POSITIONAL_OR_KEYWORD, part.KEYWORD_ONLY)),
        tuple(part.name for part in positional if part.default is part.empty),
        len(positional),
        any(part.kind is part.VAR_POSITIONAL for part in found),
        any(part.kind is part.VAR_KEYWORD for part in found),
    )


def _taken(model: nn.Module, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs that `forward` accepts by name."""
    parameters = parameters_of(model)
    if parameters.by_name:
        return dict(inputs)
    taken = {name: part for name, part in inputs.items() if name in parameters.names}
    if not taken or not set(parameters.required) <= set(taken):
        names = ", ".join(parameters.names)
        raise ModelError(
            f"The batch has the inputs {', '.join(map(str, inputs))}, and {type(model).__name__}.forward "
            f"takes {names or 'no names'}.",
            remedy=f"name the entries of the batch like the parameters, or the only input {INPUT_NAMES[0]!r}",
        )
    return taken


# ---- tensors of a batch ---------------------------------------------------------------------------------


def to_tensors(batch: Any) -> Any:
    """Return a batch with NumPy arrays as tensors; dataclasses in it can be mapped over from then on."""
    if isinstance(batch, (tuple, list)) and all(type(part) is Tensor for part in batch):
        return batch
    while new := {type(leaf) for leaf in pytree.tree_leaves(batch) if _is_dataclass(leaf)}:
        for kind in new:
            pytree.register_pytree_node(kind, _flatten_fields, functools.partial(_from_fields, kind))
    return pytree.tree_map(_to_tensor, batch)


def _to_tensor(leaf: Any) -> Any:
    if isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype.kind in "buifc":
        return torch.as_tensor(leaf)
    return {name: to_tensors(part) for name, part in leaf.items()} if isinstance(leaf, Mapping) else leaf


def _is_dataclass(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _fields(value: Any) -> dict[str, Any]:
    return {part.name: getattr(value, part.name) for part in dataclasses.fields(value)}


def _flatten_fields(value: Any) -> tuple[list[Any], tuple[str, ...]]:
    named = _fields(value)
    return list(named.values()), tuple(named)


def _from_fields(kind: type, values: Any, names: Any) -> Any:
    made = object.__new__(kind)
    for name, value in zip(names, values, strict=True):
        object.__setattr__(made, name, value)
    return made


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
    """Return B, the rows of a batch: the length of its targets where the inputs are a tuple or list and the
    targets are tensors, else the number of inputs in a list, else the length of the first input."""
    read = as_batch(batch)
    inputs, targets = read.inputs, read.targets
    if isinstance(inputs, (tuple, list)) and not isinstance(inputs, Arguments) and targets is not None:
        lengths = {len(part) if isinstance(part, Tensor) and part.ndim else -1 for part in leaves(targets)}
        structured = isinstance(targets, (tuple, list)) and not all(isinstance(t, Tensor) for t in targets)
        if not structured and len(lengths) == 1 and -1 not in lengths:
            return lengths.pop()
        return len(inputs)
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
    if _is_dataclass(batch):
        return f"{type(batch).__name__} {describe(_fields(batch))}"
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
    if _is_dataclass(batch):
        return signature(_fields(batch))
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
