"""What may be passed as a model: a module of PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pellucid.errors import UsageError


def check_module(model: Any) -> None:
    """Refuse as a model what is neither a module nor the name of one.

    Raises:
        UsageError: saying what to pass instead.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise UsageError(
            f"The model is a scripted {model.original_name}, whose parameters cannot be trained here.",
            remedy="the module itself, before torch.jit.script",
        )
    if model is None or isinstance(model, (nn.Module, str)):
        return
    name = getattr(model, "__name__", type(model).__name__)
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise UsageError(f"The model is the class {name}: expected a module.", remedy=f"{name}(...)")
    remedy = "an nn.Module whose forward calls it" if callable(model) else "an nn.Module"
    if hasattr(model, "fit") and hasattr(model, "predict"):
        remedy = (
            "its own fit; 'linear' is a linear model, and pellucid.Classifier an estimator of scikit-learn"
        )
    raise UsageError(f"Expected a module of PyTorch or the name of a model, received {name}.", remedy=remedy)
