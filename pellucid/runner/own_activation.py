"""Notice a softmax or sigmoid at the end of a user's module, where the loss applies one itself."""

from __future__ import annotations

import torch
from torch import nn

from pellucid.batch import map_tensors
from pellucid.errors import PellucidError
from pellucid.nn.device import device_of
from pellucid.nn.modes import evaluating
from pellucid.runner.own_outputs import first_batch, returned_for
from pellucid.runner.supplied import Supplied, expects_logits
from pellucid.tasks.prepared import Prepared
from pellucid.train.graph import last_operation
from pellucid.train.objective import Objective, read_logits
from pellucid.train.output_forms import LOGIT

TOLERANCE = 1e-3
FEWEST = 8
"""Rows from which outputs between 0 and 1 are no coincidence."""


def activation_of(
    model: nn.Module, objective: Objective, prepared: object, supplied: Supplied, form: str | None = None
) -> str:
    """Return "softmax" or "sigmoid" if the outputs of a module have been through it, else "".

    Args:
        model: the user's own module.
        objective: of classification or of several labels; others need no logits.
        prepared: the data.
        supplied: the loss, where it is the user's own and may expect probabilities.
        form: what the module returns, where that is not logits for each class.
    """
    if form is not None:
        ends = last_operation(returned_for(model, first_batch(prepared)))
        return "sigmoid" if form == LOGIT and ends == "sigmoid" and supplied.loss is not None else ""
    usual = objective.name in ("classification", "multilabel") and expects_logits(supplied.loss)
    if not usual or not isinstance(prepared, Prepared):
        return ""
    batch = next(iter(prepared.training_batches()))
    device = device_of(model)
    state = torch.get_rng_state()
    try:
        with evaluating(model):
            made = objective.forward(model, map_tensors(lambda tensor: tensor.to(device), batch))
        outputs = read_logits(made).float()
    except (PellucidError, RuntimeError):
        return ""  # the checks that follow say what is wrong
    finally:
        torch.set_rng_state(state)
    if outputs.ndim != 2 or not torch.isfinite(outputs).all() or (outputs < 0).any() or (outputs > 1).any():
        return ""
    if objective.name == "classification":
        sums = outputs.sum(1)
        return "softmax" if outputs.shape[1] > 1 and ((sums - 1).abs() < TOLERANCE).all() else ""
    return "sigmoid" if len(outputs) >= FEWEST else ""


def warning(activation: str) -> str:
    """Say what is wrong, and the cure."""
    return (
        f"The outputs of the model are probabilities, and the loss expects logits: the {activation} is "
        f"applied twice, which slows learning. Leave the {activation} out of the model; predict still gives "
        "probabilities."
    )
