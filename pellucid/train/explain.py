"""Why a model or a loss fails on a batch, and what to try."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.batch import Arguments, as_batch, describe, leaves, tensors
from pellucid.errors import ModelError

EXPECTED = (RuntimeError, ValueError, TypeError, IndexError)
"""Errors that come from the shapes, dtypes and values of a batch."""


def is_explained(error: Exception) -> bool:
    """Whether an error comes from a batch, rather than from memory that is exhausted."""
    return isinstance(error, EXPECTED) and not isinstance(error, torch.OutOfMemoryError)


def explain(
    error: Exception,
    model: nn.Module,
    batch: Any,
    forward: Callable[[nn.Module, Any], Any],
    what: str = "The loss",
) -> ModelError:
    """Return the error to raise instead of one that a model, its loss or a metric raised on a batch."""
    try:
        with torch.no_grad():
            outputs = forward(model, batch)
    except Exception as failed:
        if str(failed) == str(error):
            return ModelError(
                f"The model cannot take a batch {describe(batch)}: {told(error)}",
                remedy=of_inputs(error, model, batch)
                or "batches are (inputs, targets) or dicts; the model is called as model(inputs), or with "
                "the entries of a dict by name",
            )
        return ModelError(
            f"{what} fails on a batch {describe(batch)}: {told(error)}",
            remedy="the loss of a phase is called as loss(model, batch)",
        )
    targets = as_batch(batch).targets
    return ModelError(
        f"{what} fails on outputs {describe(outputs)} and targets {describe(targets)} of a batch "
        f"{describe(batch)}: {told(error)}",
        remedy=_of_targets(model, outputs, targets, error)
        or "the loss is called as loss(outputs, targets), and that of a phase as loss(model, batch)",
    )


def told(error: BaseException) -> str:
    """Return type, message and place of an error: the last line that is not in a library."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not in_library(frame.filename)]
    place = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{place}"


def in_library(file: str) -> bool:
    return file.startswith(_LIBRARIES) or "site-packages" in file or "dist-packages" in file


_LIBRARIES = (f"{Path(__file__).parents[1]}{os.sep}", f"{sysconfig.get_paths()['stdlib']}{os.sep}", "<frozen")


def of_inputs(error: Exception, model: nn.Module, batch: Any) -> str | None:
    """Return what to try where a model fails on the inputs of a batch; None where that is not known."""
    inputs = as_batch(batch).inputs
    if any(hasattr(leaf, "getbands") for leaf in leaves(inputs)):
        return (
            "pictures as tensors, transform=torchvision.transforms.ToTensor(); or pictures and labels as two "
            "lists: pellucid.fit(model, (pictures, labels))"
        )
    if isinstance(error, IndexError) and (small := _too_small(model, inputs)):
        return small
    if "more than 1 value per channel" in str(error):
        return (
            "more training rows, another batch_size or drop_last=True in the DataLoader, or layer norm "
            "(model.options.norm=layer): BatchNorm cannot learn from one row"
        )
    whole = next((t.dtype for t in tensors(inputs) if not t.is_floating_point()), None)
    kinds = [_named(parameter.dtype) for parameter in model.parameters()]
    if whole is not None and "type" in str(error) and kinds:
        return (
            f"the inputs are {_named(whole)} and the model computes in {kinds[0]}: convert them with .float()"
        )
    return _double(model, inputs, "inputs") or _too_many_inputs(batch) or _width(error, inputs)


def _width(error: Exception, inputs: Any) -> str | None:
    """Return a remedy where a layer expects another number of inputs than rows have."""
    if "shapes cannot be multiplied" not in str(error) or not isinstance(inputs, Tensor) or inputs.ndim != 2:
        return None
    return (
        f"a first layer of {inputs.shape[1]} inputs, as rows have after encoding (a column of classes is one "
        "for each); nn.LazyLinear takes any number"
    )


def _too_small(model: nn.Module, inputs: Any) -> str | None:
    """Return a remedy where ids are larger than the embeddings of the model."""
    largest = max((int(t.max()) for t in tensors(inputs) if t.numel() and not t.is_complex()), default=-1)
    tables = [part.num_embeddings for part in model.modules() if isinstance(part, nn.Embedding)]
    if not tables or largest < min(tables):
        return None
    return (
        f"the largest id is {largest}, and nn.Embedding has {min(tables)} rows: {largest + 1} or more of them"
    )


def _too_many_inputs(batch: Any) -> str | None:
    """Return a remedy where several entries of a tuple were passed to the model."""
    if not isinstance(batch, (tuple, list)) or not isinstance(as_batch(batch).inputs, Arguments):
        return None
    inputs = len(as_batch(batch).inputs)
    return (
        f"the model was called with {inputs} inputs: of a batch of {inputs + 1}, only the last entry is the "
        "target. Where it is otherwise, say how many of the first entries are inputs: fit(..., inputs=1)"
    )


def _named(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


def _of_targets(model: nn.Module, outputs: Any, targets: Any, error: Exception) -> str | None:
    if any(isinstance(leaf, str) for leaf in leaves(targets)):
        return "class numbers instead of names as targets; pellucid.arrays(X, y) takes names"
    if isinstance(outputs, Tensor) and isinstance(targets, Tensor) and not targets.is_floating_point():
        if outputs.ndim == targets.ndim + 1 > 2 and outputs.shape[:-1] == targets.shape:
            return "outputs.transpose(1, -1): cross_entropy expects the classes on axis 1"
        if outputs.ndim == targets.ndim + 1 and targets.numel():
            return _of_classes(outputs.shape[1], int(targets.min()), int(targets.max()), error)
        if outputs.ndim == targets.ndim == 2 and targets.shape[1] == 1 < outputs.shape[1]:
            return "one class number a row: targets.squeeze(1)"
    if isinstance(outputs, Tensor) and isinstance(targets, Tensor) and "Long" in str(error):
        return "class numbers as whole numbers: targets.long()"
    return _double(model, targets, "targets")


def _of_classes(count: int, least: int, most: int, error: Exception) -> str | None:
    """Return a remedy for class indices that are out of range, or a loss that does not take them."""
    if count == 1:
        return 'one output is one number: loss="mse", or BCEWithLogitsLoss for two classes'
    if least >= 0 and most < count:
        elementwise = any(word in str(error) for word in ("same as input size", "must match the size"))
        one = "; or a last layer of 1, for binary cross-entropy" if count == 2 else ""
        return f"CrossEntropyLoss, which takes class numbers{one}" if elementwise else None
    fits = f"; or a last layer of {most + 1}" if least >= 0 else ""
    return f"the classes of {count} outputs are 0 to {count - 1}, and the targets {least} to {most}{fits}"


def _double(model: nn.Module, part: Any, name: str) -> str | None:
    """Return a remedy where float64 meets a model of another dtype."""
    kinds = {parameter.dtype for parameter in model.parameters()}
    if torch.float64 in kinds or all(tensor.dtype != torch.float64 for tensor in tensors(part)):
        return None
    return f"the {name} are float64 and the model is not: convert them with .float()"
