"""Ways to compute the same step, of which some machines prefer one and some another.

A *path* is `eager` (float32 as written), or any of these, named side by side, e.g. `bf16_channels_last`:

    bf16            matrix products in bfloat16, weights in float32: mixed precision (Micikevicius 2018)
    channels_last   images laid out pixel by pixel, which convolutions on most machines prefer
    math            attention as the matrix products it is made of, and not by torch's own kernel, whose
                    gradient in bfloat16 on a CPU takes several times as long where sequences are short
    compiled        loss and gradients as one program, made by `torch.compile`

A path is part of a checkpoint: a resumed run keeps it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pellucid.errors import ModelError

Loss = Callable[[nn.Module, Any], Tensor]
Backward = Callable[[Any, int], Tensor]
"""(batch, batches in the update) -> the loss, detached; its share of the gradient is added to `.grad`."""


@dataclass(frozen=True)
class StepPath:
    """A way to compute a step; see the module's docstring."""

    bf16: bool = False
    channels_last: bool = False
    math: bool = False
    compiled: bool = False

    @property
    def name(self) -> str:
        parts = [name for name, on in vars(self).items() if on]
        return "_".join(parts) or "eager"

    def place(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Move a model to the device, in the layout of this path."""
        model = model.to(device)
        if (
            self.channels_last
        ):  # also sets the strides of one-channel weights, by which torch picks its kernel
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model

    def batch(self, inputs: Tensor) -> Tensor:
        """Lay out a batch as the model is laid out."""
        if self.channels_last and inputs.ndim == 4:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs

    def computing(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        """The precision of the forward pass, and how it computes attention."""
        precision = torch.autocast(device.type, torch.bfloat16) if self.bf16 else contextlib.nullcontext()
        return _both(precision, sdpa_kernel(SDPBackend.MATH)) if self.math else precision

    def backward(self, model: nn.Module, loss: Loss, parameters: list[nn.Parameter]) -> Backward:
        """Return what computes a loss and adds its gradients to those of the parameters.

        Args:
            model: placed by this path.
            loss: (model, batch) -> a scalar.
            parameters: what the gradients are of.
        """
        device = parameters[0].device

        def forward(batch: Any) -> Tensor:
            with self.computing(device):
                return loss(model, batch)

        return _compiled(forward, parameters) if self.compiled else _eager(forward)


PATHS = {
    path.name: path
    for path in (StepPath(*(bool(on) for on in chosen)) for chosen in product((0, 1), repeat=4))
}
"""Every path, by name."""


@contextlib.contextmanager
def _both(
    first: contextlib.AbstractContextManager[Any], second: contextlib.AbstractContextManager[Any]
) -> Iterator[None]:
    with first, second:
        yield


def _eager(forward: Callable[[Any], Tensor]) -> Backward:
    def backward(batch: Any, size: int) -> Tensor:
        loss = forward(batch)
        (loss / size if size > 1 else loss).backward()
        return loss.detach()

    return backward


def _compiled(forward: Callable[[Any], Tensor], parameters: list[nn.Parameter]) -> Backward:
    """One program for loss and gradients.

    torch traces `autograd.grad` into a program only where `trace_autograd_ops` is set. It could make two
    programs without, but passing from one to the other takes as long as a small network's arithmetic.

    Raises, when it is first called:
        ModelError: torch cannot make a program of this model on this machine.
    """
    from torch._dynamo.exc import TorchDynamoException  # here, since it takes a second to load

    torch._dynamo.config.trace_autograd_ops = True

    @torch.compile(fullgraph=True, dynamic=False)
    def differentiate(batch: Any) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        loss = forward(batch)
        learned = [parameter for parameter in parameters if parameter.requires_grad]
        return loss.detach(), torch.autograd.grad(loss, learned, allow_unused=True)

    def backward(batch: Any, size: int) -> Tensor:
        try:
            loss, gradients = differentiate(batch)
        except TorchDynamoException as error:
            raise ModelError(
                f"This model cannot be compiled here: {str(error).strip().splitlines()[0]}",
                remedy="--set train.path=auto; compiling needs a C++ compiler, and a model without branches "
                "that depend on its numbers",
            ) from error
        learned = (parameter for parameter in parameters if parameter.requires_grad)
        for parameter, gradient in zip(learned, gradients, strict=True):
            if gradient is None:
                continue
            share = gradient / size if size > 1 else gradient
            parameter.grad = share if parameter.grad is None else parameter.grad + share
        return loss

    return backward
