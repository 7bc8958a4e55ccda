"""Whether a model answers at every step of its input."""

from __future__ import annotations

from torch import nn

from pellucid.data.batches import Batches
from pellucid.errors import ModelError
from pellucid.nn.device import device_of
from pellucid.nn.modes import evaluating
from pellucid.tasks.prepared import Prepared
from pellucid.train.objective import Objective

REMEDY = "a model that answers at every step: lstm, gru, transformer or tcn"


def check_each_step(
    model: nn.Module, objective: Objective, prepared: Prepared, *, reads: str, each: str, also: str = ""
) -> None:
    """Refuse a model that cannot compute two rows, or does not return K values for each of T steps.

    Args:
        model: the model.
        objective: reads what it returns.
        prepared: the data.
        reads: what rows consist of, in words.
        each: what the values are, in words.
        also: what to try besides another model.

    Raises:
        ModelError: saying what was expected and what came.
    """
    inputs, targets = next(iter(Batches(prepared.rows["train"], 2)))
    device = device_of(model)
    with evaluating(model):
        try:
            outputs = objective.forward(model, (inputs.to(device), targets.to(device)))
        except Exception as error:
            raise ModelError(
                f"The model cannot read {reads} of shape {tuple(inputs.shape)}: {error}", remedy=REMEDY
            ) from error
    expected = (*targets.shape[:2], prepared.preprocess.num_outputs)  # (B, T, K)
    if tuple(outputs.shape) != expected:
        raise ModelError(
            f"Expected outputs of shape {expected}, {each}; received {tuple(outputs.shape)}.",
            remedy=f"{REMEDY}; or {also}" if also else REMEDY,
        )
