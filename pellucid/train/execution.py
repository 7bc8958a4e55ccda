"""Ways to compute the same step, of which some machines prefer one and some another.

A *path* is `eager` (float32 as written), or any of these, named side by side, e.g. `bf16_channels_last`:

    bf16            matrix products in bfloat16, weights in float32: mixed precision (Micikevicius 2018)
    channels_last   images laid out pixel by pixel, which convolutions on most machines prefer
    math            attention as the matrix products it is made of, and not by torch's own kernel, whose
                    gradient in bfloat16 on a CPU takes several times as long where sequences are short
    compiled        the whole update as one program (`pellucid.train.compiled`)

A path is part of a checkpoint: a resumed run keeps it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

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
        ways: list[contextlib.AbstractContextManager[Any]] = []
        if self.bf16:
            ways.append(torch.autocast(device.type, torch.bfloat16))
        if self.math:
            ways.append(sdpa_kernel(SDPBackend.MATH))
        if self.channels_last and not self.compiled:
            ways.append(_PixelByPixel())
        return _all(ways) if ways else contextlib.nullcontext()

    def forward(self, loss: Loss, device: torch.device) -> Loss:
        """The same loss, computed as this path computes it."""

        def forward(model: nn.Module, batch: Any) -> Tensor:
            with self.computing(device):
                return loss(model, batch)

        return forward

    def backward(self, model: nn.Module, loss: Loss, device: torch.device) -> Backward:
        """Return what computes a loss, as it is written, and adds its gradients to those of the weights.

        Args:
            model: placed by this path.
            loss: (model, batch) -> a scalar.
            device: where it runs.
        """
        forward = self.forward(loss, device)

        def backward(batch: Any, size: int) -> Tensor:
            loss = forward(model, batch)
            (loss / size if size > 1 else loss).backward()
            return loss.detach()

        return backward


PATHS = {
    path.name: path
    for path in (StepPath(*(bool(on) for on in chosen)) for chosen in product((0, 1), repeat=4))
}
"""Every path, by name."""


@contextlib.contextmanager
def _all(ways: Iterable[contextlib.AbstractContextManager[Any]]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for way in ways:
            stack.enter_context(way)
        yield


RESHAPING = {
    torch.flatten,
    torch.reshape,
    torch.unflatten,
    Tensor.flatten,
    Tensor.reshape,
    Tensor.unflatten,
    Tensor.view,
}


class _PixelByPixel(TorchFunctionMode):
    """Keeps the layout of images where a network turns them into rows of numbers, or these into images.

    Torch lays out the gradient of such a step channel by channel. Further back every kernel would meet its
    input in one layout and its gradient in the other, for which torch has slow ways alone.
    """

    def __torch_function__(self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func in RESHAPING and args:
            given = args[0]
            lies_so = given.ndim == 4 and given.is_contiguous(memory_format=torch.channels_last)
            if lies_so and made.ndim == 2 and given.requires_grad:
                given.register_hook(_pixel_by_pixel)
            if (given.ndim, made.ndim) == (2, 4):
                return _pixel_by_pixel(made)
        return made


def _pixel_by_pixel(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)
