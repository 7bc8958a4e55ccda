"""An update that is looked at while a trainer computes it; its own arithmetic is untouched."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.lens.look import look_at
from pellucid.lens.passes import run_pass
from pellucid.lens.work import Work, rates
from pellucid.runner.replayed import ParameterStep, PhaseStep
from pellucid.train.update import Update


class WatchedUpdate:
    """Stands in for an `Update` of a trainer, and takes notes of the one that is wanted.

    The modules are looked at in a pass of its own before the update, with the same random numbers, after
    which model and generators are as they were; then the update runs as it does in training. So the same bits
    come out in every execution mode, also where a program is not made of modules.

    Args:
        update: the real one.
        wanted: whether the trainer is at the step to look at.

    Attributes:
        seen: what happened; None before. Of a phase that is repeated in a step, the last time.
        notes: what is not as in training.
    """

    def __init__(self, update: Update, wanted: Callable[[], bool]):
        self.update, self.wanted = update, wanted
        self.seen: PhaseStep | None = None
        self.notes: list[str] = []
        self._losses: list[float | None] = []

    def __call__(self, batches: Sequence[Any]) -> Tensor:
        if not self.wanted():
            return self.update(batches)
        update = self.update
        work = Work(
            update.model,
            batches[0],
            None,
            f"the {update.phase.name} loss of the run",
            whole=update.mode.forward(update.phase.loss, update.device),
            parameters=[parameter for parameter in update.parameters if parameter.requires_grad],
            lr=rates(update.optimizer),
        )
        trace = look_at(work)
        before = [parameter.detach().clone() for parameter in update.parameters]
        for parameter in update.parameters:
            parameter.grad = None
        loss = update(batches)
        self._losses.append(finite(loss.item()))
        gradients = self._gradients(work, before)
        parts = self._parts(before, gradients)
        self.seen = PhaseStep(
            update.phase.name,
            float(update.optimizer.param_groups[0]["lr"]),
            [],
            self._losses,
            _norm(part.weight_norm for part in parts),
            _norm(part.gradient_norm or 0.0 for part in parts) if gradients is not None else None,
            _norm(part.update_norm for part in parts),
            parts,
            trace,
        )
        self._compare(trace.loss, loss.item(), len(batches))
        return loss

    def begin_epoch(self) -> None:
        """See `Update`."""
        self.update.begin_epoch()

    def state_dict(self) -> dict[str, Any]:
        """See `Update`."""
        return self.update.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Update`."""
        self.update.load_state_dict(state)

    def _gradients(self, work: Work, before: list[Tensor]) -> dict[int, Tensor | None] | None:
        """Gradients as the optimizer received them, by the id of the parameter."""
        update = self.update
        if any(parameter.grad is not None for parameter in update.parameters):
            return {id(parameter): parameter.grad for parameter in update.parameters}
        after = [parameter.detach().clone() for parameter in update.parameters]
        _copy(update.parameters, before)  # a program keeps its gradients to itself: compute them once more
        try:
            found = run_pass(work).gradients
        finally:
            _copy(update.parameters, after)
        if update.clip_grad_norm is not None:
            norms = [float(gradient.norm()) for gradient in found.values() if gradient is not None]
            share = min(1.0, update.clip_grad_norm / (_norm(norms) + 1e-6))
            found = {key: None if gradient is None else gradient * share for key, gradient in found.items()}
        return found

    def _parts(self, before: list[Tensor], gradients: dict[int, Tensor | None] | None) -> list[ParameterStep]:
        names = {id(parameter): name for name, parameter in self.update.model.named_parameters()}
        parts = []
        for old, parameter in zip(before, self.update.parameters, strict=True):
            gradient = (gradients or {}).get(id(parameter))
            parts.append(
                ParameterStep(
                    names[id(parameter)],
                    tuple(parameter.shape),
                    _size(old),
                    None if gradient is None else _size(gradient),
                    _size(parameter.detach() - old),
                )
            )
        return parts

    def _compare(self, seen: float | None, loss: float, batches: int) -> None:
        """Note where the values of modules are not those of the update itself."""
        if batches > 1:
            self.notes.append(f"The modules are shown for the first of the {batches} batches of this update.")
        elif seen is not None and seen != loss and math.isfinite(loss):
            self.notes.append(
                "The modules were computed by the plain code, and the update by a program: their losses "
                f"differ by {abs(seen - loss):.3g}."
            )


def finite(value: float) -> float | None:
    """Return a number, or None where it is not finite."""
    return value if math.isfinite(value) else None


def _norm(norms: Any) -> float:
    return math.sqrt(sum(norm**2 for norm in norms))


def _size(tensor: Tensor) -> float:
    return float(tensor.detach().double().norm())


def _copy(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)
