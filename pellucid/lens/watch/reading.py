"""Read what a loop hands to its watch: models, optimizers, losses and batches of any kind."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.batch import tensors
from pellucid.diagnosis.loss_graph import LossGraph

INPUTS = ("input_ids", "pixel_values", "inputs_embeds", "input_values")
"""Arguments that hold the inputs of models of transformers."""


def as_optimizers(optimizer: Any) -> list[torch.optim.Optimizer]:
    """Return the optimizers of `watch`'s argument: one, several or none."""
    if optimizer is None:
        return []
    found = list(optimizer) if isinstance(optimizer, list | tuple | set) else [optimizer]
    return [one for one in found if hasattr(one, "param_groups")]


def as_module(model: Any) -> nn.Module:
    """Return one module that holds what is watched."""
    if isinstance(model, nn.Module):
        return model
    if isinstance(model, Mapping):
        return nn.ModuleDict({str(name): one for name, one in model.items()})
    return nn.ModuleList(model)


def single(loss: Any) -> Any:
    """Return a loss as one number: a tensor, a float, or the sum of several."""
    if isinstance(loss, Mapping):
        loss = list(loss.values())
    if isinstance(loss, list | tuple):
        return sum(single(one) for one in loss) if loss else None
    if isinstance(loss, Tensor) and loss.numel() != 1:
        return loss.mean()
    return loss


def tensors_of(values: Any) -> list[Tensor]:
    """Return all tensors of inputs; [] where they are in a container that cannot be read."""
    try:
        return tensors(values)
    except Exception:  # a container of somebody else's
        return []


def class_weights(loss: Any) -> tuple[float, ...]:
    """Return the weights of a loss function that is a module, such as CrossEntropyLoss(weight=)."""
    weight = getattr(loss, "weight", None)
    return tuple(weight.detach().float().flatten().tolist()) if isinstance(weight, Tensor) else ()


def own_loss(outputs: Any) -> Any:
    """Return the loss that a model of transformers returns with its outputs; None if there is none."""
    return outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)


def inputs_of(arguments: Any) -> Any:
    """Return the inputs among the arguments of a call, by the names of transformers; else all."""
    named = arguments[1] if arguments is not None else {}
    return next((named[name] for name in INPUTS if name in named), arguments)


def near(loss: Any, plain: float | None) -> bool:
    """Return whether a loss is the usual one of its kind, but for smoothing or weights."""
    return plain is not None and loss is not None and 0.7 * plain <= float(detached(loss)) <= 1.4 * plain


def detached(loss: Any) -> Any:
    """Return a loss without its graph, in memory of its own, which a replayed CUDA graph does not reuse."""
    return loss.detach().clone() if isinstance(loss, Tensor) else loss


def is_number(loss: Any) -> bool:
    """Whether a loss has a value: one on the meta device has none."""
    return not loss.is_meta if isinstance(loss, Tensor) else isinstance(loss, int | float)


def numbers(losses: list[Any]) -> list[float]:
    """Return losses as numbers; those on one device are read together."""
    if len(losses) > 1 and all(isinstance(one, Tensor) and one.ndim == 0 for one in losses):
        with contextlib.suppress(RuntimeError):  # of several devices
            return torch.stack(losses).tolist()
    return [float(single(one)) for one in losses]


def joined(before: LossGraph, now: LossGraph) -> LossGraph:
    """Join the graphs of two steps: parameters that either of them reaches are reached."""
    return replace(now, reached=before.reached | now.reached, nodes=(*before.nodes, *now.nodes))
