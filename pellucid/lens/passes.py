"""One forward and backward pass, seen, also where it fails."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import ConfigError
from pellucid.lens.capture import Taken, Values, capture
from pellucid.lens.tensors import record
from pellucid.lens.work import LAZY, Work


@dataclass
class Pass:
    """What a pass computed, as far as it came.

    Attributes:
        taken: the calls of all modules.
        outputs: what the model returned; None where the loss calls the model, or it did not return.
        loss: a scalar in the graph; None where there is none.
        gradients: of the loss with respect to each parameter that learns, by the id of the parameter; None
            where the loss does not depend on it. {} where no backward pass was computed.
        notes: what was left out, and why.
        without_loss: why no usual loss is known; "" where there is one.
        changed: names of parameters that the pass itself changed.
        failed: the stage that raised, and its error.
    """

    taken: Taken
    outputs: Any = None
    loss: Tensor | None = None
    gradients: dict[int, Tensor | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    without_loss: str = ""
    changed: list[str] = field(default_factory=list)
    failed: tuple[str, Exception] | None = None


def run_pass(
    work: Work, *, gradients: bool = True, values: Values = record, modules: Iterable[str] | None = None
) -> Pass:
    """Compute a work once, and leave its model as it was.

    Args:
        work: what to compute.
        gradients: whether to compute the backward pass.
        values, modules: what to record, and of which modules; see `capture`.
    """
    seeing = capture(work.model, modules, inputs=True, backward=True, values=values)
    with work.undisturbed() as changed, seeing as taken:
        found = Pass(taken, changed=changed)
        stage = "forward"
        try:
            with torch.enable_grad() if gradients else torch.no_grad():
                found.outputs, loss = work.forward()
            stage = "loss"
            _check(loss)
            found.loss = loss
            stage = "backward"
            _differentiate(found, work, gradients)
        except ConfigError as error:
            found.without_loss = str(error).replace("\n", " ")
            found.notes.append(f"There is no loss and no gradient. {found.without_loss}")
        except Exception as error:
            found.failed = stage, error
    return found


def _check(loss: Any) -> None:
    if not isinstance(loss, Tensor):
        raise TypeError(f"expected a loss that is a tensor of one number, received {type(loss).__name__}")
    if loss.numel() != 1:
        raise RuntimeError(
            f"grad can be implicitly created only for scalar outputs; the loss has shape {tuple(loss.shape)}"
        )


def _differentiate(found: Pass, work: Work, gradients: bool) -> None:
    learning = [parameter for parameter in work.parameters if not isinstance(parameter, LAZY)]
    if gradients and found.loss is not None and found.loss.requires_grad and learning:
        made = torch.autograd.grad(found.loss, learning, allow_unused=True)
        found.gradients = {id(p): gradient for p, gradient in zip(learning, made, strict=True)}
    elif gradients:
        found.notes.append("There are no gradients: the loss depends on no parameter that learns.")
