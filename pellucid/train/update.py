"""One update of one phase, as a textbook writes it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.train.execution import PLAIN, ExecutionMode
from pellucid.train.explain import explain, is_explained
from pellucid.train.objective import Phase, forward_inputs


class Update:
    """Zero the gradients, forward, backward, clip, step.

    Args:
        model: in training mode.
        phase: its loss and the parameters it moves.
        optimizer: over these parameters.
        mode: precision and layout of the computation.
        device: where it runs.
        clip_grad_norm: largest norm of the gradient; None: not clipped.
        accept: sees the loss while the gradients are there, and may refuse the step by returning False.
        freeze_rest: whether the model has parameters of other phases, which must not collect gradients.

    Attributes:
        gradients_needed: whether a callback looks at the gradients, or a schedule changes the momentum, so
            that the step is not a part of a program.
        outputs: those of the last update, detached, one entry a batch; None where nobody asked with
            `keep_outputs`.
    """

    gradients_needed = False
    outputs: list[Tensor] | None = None

    def __init__(
        self,
        model: nn.Module,
        phase: Phase,
        optimizer: torch.optim.Optimizer,
        mode: ExecutionMode,
        device: torch.device,
        *,
        clip_grad_norm: float | None = None,
        accept: Callable[[Tensor], bool] = lambda loss: True,
        freeze_rest: bool = False,
    ):
        self.model, self.phase, self.optimizer = model, phase, optimizer
        self.mode, self.device, self.freeze_rest = mode, device, freeze_rest
        self.clip_grad_norm, self.accept = clip_grad_norm, accept
        self.parameters = list(phase.parameters(model))

    def __call__(self, batches: Sequence[Any]) -> Tensor:
        """Move the weights by the mean gradient over the batches; return the mean loss, detached.

        With `gradient_accumulation_steps` every batch has the same weight, also one with fewer rows.
        """
        self.optimizer.zero_grad(set_to_none=True)
        if self.outputs is not None:
            self.outputs = []
        with self.rest_frozen():
            losses = [self.backward(batch, len(batches)) for batch in batches]
        loss = losses[0] if len(losses) == 1 else torch.stack(losses).mean()
        if self.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip_grad_norm)
        if self.accept(loss):
            self.optimizer.step()
        return loss

    def backward(self, batch: Any, count: int) -> Tensor:
        """Add 1 / count of the gradient of a batch's loss to `.grad`; return the loss, detached."""
        with self.mode.computing(self.device):
            loss = self.loss_of(batch)
        (loss / count if count > 1 else loss).backward()
        return loss.detach()

    def loss_of(self, batch: Any) -> Tensor:
        """Return the loss of a batch.

        Raises:
            ModelError: the model or the loss fails on the batch; says what to try.
        """
        try:
            if self.outputs is None or self.phase.loss_and_outputs is None:
                return self.phase.loss(self.model, batch)
            loss, outputs = self.phase.loss_and_outputs(self.model, batch)
            if isinstance(outputs, Tensor):
                self.outputs.append(outputs.detach())
            return loss
        except Exception as error:
            if not is_explained(error):
                raise
            raise explain(error, self.model, batch, forward_inputs) from error

    def keep_outputs(self) -> bool:
        """Keep the outputs of every update in `outputs` from now on; False where the loss has none."""
        if self.phase.loss_and_outputs is None:
            return False
        self.outputs = []
        return True

    def rest_frozen(self) -> contextlib.AbstractContextManager[None]:
        """Keep the parameters of other phases from collecting gradients."""
        return frozen_except(self.model, self.parameters) if self.freeze_rest else PLAIN

    def begin_epoch(self) -> None:
        """Prepare for the updates of an epoch; called after `on_epoch_start`."""

    def state_dict(self) -> dict[str, Any]:
        """Return plain values that the next update depends on."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@contextlib.contextmanager
def frozen_except(model: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Let no parameter but these learn while the block runs."""
    mine = {id(parameter) for parameter in parameters}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in mine]
    for parameter in rest:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in rest:
            parameter.requires_grad_(True)
