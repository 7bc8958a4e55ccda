"""Losses and metrics of the user's own: shapes that must not broadcast, and values to learn from."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import ConfigError

ELEMENTWISE = (
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "hinge_embedding_loss",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
)
"""Losses of PyTorch that compare every output with one target."""

_MODULES = (
    nn.BCELoss,
    nn.BCEWithLogitsLoss,
    nn.HingeEmbeddingLoss,
    nn.HuberLoss,
    nn.L1Loss,
    nn.MSELoss,
    nn.PoissonNLLLoss,
    nn.SmoothL1Loss,
    nn.SoftMarginLoss,
)


def checked(loss: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return a loss of the user's own that refuses values nothing can be learned from.

    The losses of PyTorch that compare every output with one target get the outputs in the shape of the
    targets where they differ only by axes of length 1, such as (B, 1) and (B,).

    Raises (when called):
        ConfigError: it returns no tensor, more than one value, or a value without a gradient; or it lets
            outputs and targets broadcast.
    """
    elementwise, looked = is_elementwise(loss), False

    @wraps(loss)
    def call(outputs: Any, targets: Any, **options: Any) -> Tensor:
        nonlocal looked
        if elementwise:
            outputs, targets = aligned(outputs, targets)
        elif not looked and broadcasts(outputs, targets):
            looked = True
            refuse_broadcast("loss=", lambda *pair: loss(*pair, **options), outputs, targets)
        value = loss(outputs, targets, **options)
        if options.get("reduction") == "none":
            return value
        if not isinstance(value, Tensor) or value.numel() != 1:
            shown = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ConfigError(
                f"loss= must return one number as a tensor, received {shown}.",
                remedy="the mean over the rows: `.mean()`; the sum of the parts, where there are several",
            )
        if torch.is_grad_enabled() and not value.requires_grad:
            raise ConfigError(
                "loss= returned a number without a gradient, so nothing can be learned from it.",
                remedy="compute it from the outputs with tensors, without .item(), .detach() or NumPy",
            )
        return value if value.ndim == 0 else value.reshape(())

    return call


def row_losses(loss: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return (outputs, targets) -> the loss of every row, of a module of PyTorch; None for anything else."""
    own = inspect.unwrap(loss)
    if not isinstance(own, nn.Module) or getattr(own, "reduction", None) != "mean":
        return None
    rows = copy.copy(own)
    vars(rows)["reduction"] = "none"
    align = is_elementwise(own)
    return lambda outputs, targets: rows(*(aligned(outputs, targets) if align else (outputs, targets)))


def is_elementwise(loss: Any) -> bool:
    """Whether a loss is one of PyTorch's that compare every output with one target."""
    named = getattr(loss, "__module__", "") == F.__name__ and getattr(loss, "__name__", "") in ELEMENTWISE
    return named or isinstance(loss, _MODULES)


def aligned(outputs: Any, targets: Any) -> tuple[Any, Any]:
    """Return outputs in the shape of the targets, if only axes of length 1 differ, and targets as floats."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return outputs, targets
    if broadcasts(outputs, targets) or outputs.numel() == targets.numel() == 1:
        outputs = outputs.reshape(targets.shape)
    if not targets.is_floating_point() or targets.dtype == torch.float64:
        targets = targets.to(outputs.dtype if outputs.dtype == torch.float64 else torch.float32)
    return outputs, targets


def broadcasts(outputs: Any, targets: Any) -> bool:
    """Whether two tensors hold the same rows, but in shapes that arithmetic would broadcast."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor) or outputs.shape == targets.shape:
        return False
    long = [[size for size in part.shape if size != 1] for part in (outputs, targets)]
    return bool(long[0]) and long[0] == long[1]


def refuse_broadcast(name: str, function: Callable[..., Any], outputs: Tensor, targets: Tensor) -> None:
    """Refuse a function that lets outputs and targets of `broadcasts` broadcast.

    That is so if it has one value for both in the shape of the outputs and both in that of the targets, and
    another for the two as they are.

    Raises:
        ConfigError: it does.
    """
    pairs = (
        (outputs, targets),
        (outputs, targets.reshape(outputs.shape)),
        (outputs.reshape(targets.shape), targets),
    )
    values = [_mean(function, *pair) for pair in pairs]
    found, *wanted = [value for value in values if value is not None]
    if len(wanted) < 2 or not _close(*wanted) or _close(found, wanted[0]):
        return
    raise ConfigError(
        f"{name} lets outputs {tuple(outputs.shape)} and targets {tuple(targets.shape)} broadcast, so every "
        f"output is compared with every target: {found:.4g} instead of {wanted[0]:.4g}.",
        remedy="outputs.squeeze(1), or outputs.reshape(targets.shape), before they are compared",
    )


def _mean(function: Callable[..., Any], outputs: Tensor, targets: Tensor) -> float | None:
    try:
        with torch.no_grad():
            value = function(outputs, targets)
            return float(value.float().mean() if isinstance(value, Tensor) else value)
    except Exception:  # it takes other shapes, or its values cannot be read here
        return None


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-5 * max(abs(one), abs(other), 1e-6)
