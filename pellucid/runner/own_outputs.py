"""Find out what a user's own module returns for classes: logits, one number for two, or probabilities."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.batch import as_batch, map_tensors
from pellucid.config import Config
from pellucid.config_text import is_reference
from pellucid.errors import ModelError
from pellucid.nn.device import device_of
from pellucid.nn.modes import evaluating
from pellucid.runner.supplied import Supplied, expects_logits, import_object
from pellucid.train.graph import last_operation
from pellucid.train.objective import forward_inputs, read_logits
from pellucid.train.output_forms import LOGIT, PROBABILITIES, PROBABILITY, is_one


def with_output_form(config: Config, model: nn.Module, prepared: Any, supplied: Supplied) -> Config:
    """Return the config with `objective.outputs` as a module returns them, unless it is set.

    One output for two classes is the probability of the second where the module ends with a sigmoid or the
    loss is of probabilities, and else its logit. K outputs are logits, unless the loss is of probabilities.

    Args:
        config: the whole config.
        model: the user's own module.
        prepared: the data.
        supplied: the loss, where it is the user's own.
    """
    task, loss = config.objective.name, _loss(config, supplied)
    if config.objective.outputs is not None or task not in ("classification", "multilabel", "custom"):
        return config
    batch = first_batch(prepared)
    batches = task == "custom"
    if batches and not ((loss is None or _is_binary(loss)) and _two_classes(as_batch(batch).targets)):
        return config
    outputs = returned_for(model, batch)
    if outputs is None or (batches and not is_one(outputs)):
        return config
    classes = 2 if batches else prepared.preprocess.num_outputs
    form = _form(outputs, classes, loss, several=task == "multilabel")
    return config.patch({"objective.outputs": form}) if form else config


def check_gradient(model: nn.Module, prepared: Any) -> None:
    """Refuse a module from whose outputs no gradient leads to its parameters.

    Raises:
        ModelError: the outputs are detached.
    """
    outputs = returned_for(model, first_batch(prepared))
    if outputs is not None and not outputs.requires_grad:
        raise ModelError(
            f"The outputs of {type(model).__name__} have no gradient, so nothing can be learned from them.",
            remedy="forward without .detach(), .item(), NumPy, argmax and torch.no_grad()",
        )


def first_batch(prepared: Any) -> Any:
    state = torch.get_rng_state()
    try:
        return next(iter(prepared.training_batches()))
    finally:
        torch.set_rng_state(state)


def returned_for(model: nn.Module, batch: Any) -> Tensor | None:
    """Return what a module returns for a batch, with its graph; None where it fails, which is said later."""
    device = device_of(model)
    state = torch.get_rng_state()
    try:
        with evaluating(model), torch.enable_grad():
            return read_logits(forward_inputs(model, map_tensors(lambda tensor: tensor.to(device), batch)))
    except Exception:
        return None
    finally:
        torch.set_rng_state(state)


def _form(outputs: Tensor, classes: int, loss: Any, *, several: bool) -> str | None:
    """Return the form of outputs; None: logits, or none that fits."""
    ends = last_operation(outputs)
    if not several and is_one(outputs):
        if classes != 2:
            return None
        sigmoid = ends == "sigmoid" and not (loss is not None and expects_logits(loss))
        return PROBABILITY if sigmoid or _of_probabilities(loss) else LOGIT
    own = loss is not None and not expects_logits(loss)
    ended = own and ends == ("sigmoid" if several else "softmax")
    return PROBABILITIES if ended or _of_probabilities(loss) else None


def _of_probabilities(loss: Any) -> bool:
    return loss is F.binary_cross_entropy or loss is nn.BCELoss or isinstance(loss, nn.BCELoss)


def _is_binary(loss: Any) -> bool:
    """Whether a loss is the cross-entropy of two classes."""
    with_logits = loss in (nn.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits)
    return with_logits or isinstance(loss, nn.BCEWithLogitsLoss) or _of_probabilities(loss)


def _two_classes(targets: Any) -> bool:
    whole = isinstance(targets, Tensor) and targets.ndim == 1 and not targets.is_floating_point()
    return whole and len(targets) > 0 and int(targets.min()) >= 0 and int(targets.max()) <= 1


def _loss(config: Config, supplied: Supplied) -> Any:
    """Return the user's own loss; None for one of the catalogue."""
    named = config.objective.loss
    if supplied.loss is None and named and is_reference(named):
        return import_object("objective.loss", named)
    return supplied.loss
