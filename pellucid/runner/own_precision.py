"""A module in another precision than the data: float64, bfloat16 or float16, and batches of float32."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pellucid.batch import as_batch, tensors


def as_precise_as_batches(model: nn.Module, prepared: Any) -> str:
    """Convert a module to float32 where all its weights have another type and the inputs are float32.

    Args:
        model: the user's own module, which is changed in place.
        prepared: the data.

    Returns:
        What was done, in a sentence; "" where nothing was.
    """
    kinds = {part.dtype for part in model.parameters() if part.is_floating_point()}
    if len(kinds) != 1 or torch.float32 in kinds:
        return ""
    state = torch.get_rng_state()
    try:
        batch = next(iter(prepared.training_batches()))
    finally:
        torch.set_rng_state(state)
    inputs = {part.dtype for part in tensors(as_batch(batch).inputs) if part.is_floating_point()}
    if inputs != {torch.float32}:
        return ""
    model.float()
    (kind,) = kinds
    return (
        f"The weights of the model were {str(kind).removeprefix('torch.')} and the inputs are float32: the "
        "model was converted to float32."
    )
