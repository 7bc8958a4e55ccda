"""What modules return for classes in place of logits: one logit or probability for two, or probabilities.

Each form is converted to the logits (B, K) with the same probabilities, so that everything that measures or
predicts gets logits: softmax((0, z)) = (1 - sigmoid(z), sigmoid(z)), and softmax(log p) = p. A loss of the
user's own gets what the module returned.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LOGIT, PROBABILITY, PROBABILITIES = "logit", "probability", "probabilities"


def to_logits(form: str | None, *, several: bool = False) -> Callable[[Tensor], Tensor] | None:
    """Return the function from outputs of a form to logits (B, K); None where they are logits.

    Args:
        form: one of `LOGIT`, `PROBABILITY` and `PROBABILITIES`; None: logits.
        several: whether each row has any number of the K labels, so that each probability is one of a
            sigmoid.
    """
    if form is None:
        return None
    if form == LOGIT:
        return lambda outputs: _pair(torch.zeros_like(outputs), outputs)
    if form == PROBABILITY:
        return lambda outputs: _pair(_log(1 - outputs), _log(outputs))
    return (lambda probs: _log(probs) - _log(1 - probs)) if several else _log


def _pair(first: Tensor, second: Tensor) -> Tensor:
    return torch.stack((first.flatten(), second.flatten()), 1)


def _log(probs: Tensor) -> Tensor:
    return probs.clamp(min=torch.finfo(probs.dtype).tiny).log()


def is_one(outputs: Tensor) -> bool:
    """Whether there is one number for each row."""
    return outputs.ndim == 1 or outputs.shape[1:] == (1,)
