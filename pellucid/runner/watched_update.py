"""An update that is looked at while a trainer computes it; its own arithmetic is untouched."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from pellucid.lens.look import look_at
from pellucid.lens.passes import run_pass
from pellucid.lens.work import Work, rates
from pellucid.runner.replayed import ParameterStep, PhaseStep
from pellucid.train.seed import rng_state, set_rng_state
from pellucid.train.update import Update


class WatchedUpdate:
    """Stands in for an `Update` of a trainer, and takes notes of the one that is wanted.

    The modules are looked at in a pass of a copy before the update, with the same random numbers; then the
    update runs as it does in training. So the same bits come out in every execution mode, also where a
    program is not made of modules.

    Args:
        update: the real one.
        wanted: whether the trainer is at the step to look at.
        shared: what prepares the batch for all phases, if anything does.

    Attributes:
        seen: what happened; None before. Of a phase that is repeated in a step, the last time.
        notes: what is not as in training.
    """

    def __init__(self, update: Update, wanted: Callable[[], bool], shared: WatchedPreparation | None = None):
        self.update, self.wanted, self.shared = update, wanted, shared
        self.seen: PhaseStep | None = None
        self.notes: list[str] = []
        self._losses: list[float | None] = []

    def __call__(self, batches: Sequence[Any]) -> Tensor:
        if not self.wanted():
            return self.update(batches)
        update = self.update
        work = self._work(batches[0])
        trace = look_at(work)
        before = [parameter.detach().clone() for parameter in update.parameters]
        for parameter in update.parameters:
            parameter.grad = None
        loss = update(batches)
        self._losses.append(finite(loss.item()))
        parts = self._parts(before, self._gradients(work))
        gradients = [part.gradient_norm for part in parts if part.gradient_norm is not None]
        self.seen = PhaseStep(
            update.phase.name,
            float(update.optimizer.param_groups[0]["lr"]),
            [],
            self._losses,
            _norm(part.weight_norm for part in parts),
            _norm(gradients) if gradients else None,
            _norm(part.update_norm for part in parts),
            parts,
            trace,
        )
        self._compare(trace.loss, loss.item(), len(batches))
        return loss

    def _work(self, batch: Any) -> Work:
        """What the update is about to compute, on a copy of the model: the graph of a step may be begun."""
        update = self.update
        model = _twin(update.model)
        known = rates(update.optimizer)
        pairs = list(zip(update.phase.parameters(model), update.parameters, strict=True))
        return Work(
            model,
            batch,
            None,
            f"the {update.phase.name} loss of the run",
            whole=update.mode.forward(self._loss, update.device),
            parameters=[mine for mine, _ in pairs if mine.requires_grad],
            lr={id(mine): known[id(theirs)] for mine, theirs in pairs if id(theirs) in known},
        )

    def _loss(self, model: nn.Module, batch: Any) -> Tensor:
        """The loss of the phase, on a graph of its own: the one of the update is needed by the update."""
        again = None if self.shared is None else self.shared.again(model)
        return self.update.phase.loss(model, batch if again is None else again)

    def begin_epoch(self) -> None:
        """See `Update`."""
        self.update.begin_epoch()

    def state_dict(self) -> dict[str, Any]:
        """See `Update`."""
        return self.update.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Update`."""
        self.update.load_state_dict(state)

    def _gradients(self, work: Work) -> list[Tensor | None]:
        """The gradient of each parameter as the optimizer received it, after clipping."""
        update = self.update
        if any(parameter.grad is not None for parameter in update.parameters) or work.model is update.model:
            return [parameter.grad for parameter in update.parameters]
        found = run_pass(work).gradients  # a program keeps its gradients to itself: compute them once more
        gradients = [found.get(id(p)) for p in update.phase.parameters(work.model)]
        if update.clip_grad_norm is not None:
            norms = [float(gradient.norm()) for gradient in gradients if gradient is not None]
            share = min(1.0, update.clip_grad_norm / (_norm(norms) + 1e-6))
            gradients = [None if gradient is None else gradient * share for gradient in gradients]
        return gradients

    def _parts(self, before: list[Tensor], gradients: list[Tensor | None]) -> list[ParameterStep]:
        names = {id(parameter): name for name, parameter in self.update.model.named_parameters()}
        return [
            ParameterStep(
                names[id(parameter)],
                tuple(parameter.shape),
                _size(old),
                None if gradient is None else _size(gradient),
                _size(parameter.detach() - old),
            )
            for old, parameter, gradient in zip(before, self.update.parameters, gradients, strict=True)
        ]

    def _compare(self, seen: float | None, loss: float, batches: int) -> None:
        """Note where the values of modules are not those of the update itself."""
        if batches > 1:
            self.notes.append(f"The modules are shown for the first of the {batches} batches of this update.")
        elif seen is not None and seen != loss and math.isfinite(loss):
            self.notes.append(
                "The modules were computed by the plain code, and the update by a program: their losses "
                f"differ by {abs(seen - loss):.3g}."
            )


class WatchedPreparation:
    """Stands in for `Objective.prepare_batch`, and can do again what it did at the step that is wanted."""

    def __init__(self, prepare: Callable[[nn.Module, Any], Any], wanted: Callable[[], bool]):
        self.prepare, self.wanted = prepare, wanted
        self._first: tuple[Any, dict[str, Any]] | None = None

    def __call__(self, model: nn.Module, batch: Any) -> Any:
        if self.wanted() and self._first is None:
            self._first = batch, rng_state()
        return self.prepare(model, batch)

    def again(self, model: nn.Module) -> Any:
        """Prepare the first batch of the step with the same random numbers; None where none was prepared."""
        if self._first is None:
            return None
        batch, before = self._first
        now = rng_state()
        set_rng_state(before)
        try:
            return self.prepare(model, batch)
        finally:
            set_rng_state(now)


def finite(value: float) -> float | None:
    """Return a number, or None where it is not finite."""
    return value if math.isfinite(value) else None


def _norm(norms: Any) -> float:
    return math.sqrt(sum(norm**2 for norm in norms))


def _size(tensor: Tensor) -> float:
    return float(tensor.detach().double().norm())


def _twin(model: nn.Module) -> nn.Module:
    """Return a copy of a model; the model itself where it keeps tensors of its last forward pass."""
    try:
        return copy.deepcopy(model)
    except RuntimeError:  # torch copies no tensor that is in a graph
        return model
