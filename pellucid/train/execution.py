"""Execution modes: ways to compute the same step, of which each machine prefers another.

A mode is `eager` (float32 as written), or a combination of these, joined by `_`, e.g. `bf16_channels_last`:

    bf16            matrix products in bfloat16, weights in float32 (Micikevicius et al. 2018)
    channels_last   images stored pixel by pixel, which most machines' convolution kernels prefer
    math            attention as plain matrix products instead of torch's fused kernel, whose gradient in
                    bfloat16 on a CPU takes several times as long for short sequences
    compiled        the whole update as one program (`pellucid.train.compiled`)

The mode is part of a checkpoint, so a resumed run keeps it.
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

from pellucid.batch import map_tensors
from pellucid.errors import UnknownNameError

StepLoss = Callable[[nn.Module, Any], Tensor]
"""(model, batch) -> a scalar."""


PLAIN = contextlib.nullcontext()
"""The context in which nothing is different; it may be entered any number of times."""


@dataclass(frozen=True)
class ExecutionMode:
    """A way to compute a step; see the module's docstring."""

    bf16: bool = False
    channels_last: bool = False
    math: bool = False
    compiled: bool = False

    @property
    def name(self) -> str:
        """Name for configs, e.g. "bf16_channels_last"; "eager" if nothing is changed."""
        parts = [name for name, on in vars(self).items() if on]
        return "_".join(parts) or "eager"

    def place_model(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Move a model to the device, in the memory layout of this mode."""
        model = model.to(device)
        if self.channels_last:
            # also sets the strides of one-channel weights, by which torch picks its kernel
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model

    def place_batch(self, batch: Any, device: torch.device) -> Any:
        """Move every tensor of a batch to the device, in the memory layout of this mode."""
        if device.type == "cpu" and not self.channels_last:
            return batch

        def place(tensor: Tensor) -> Tensor:
            moved = tensor.to(device, non_blocking=True)
            if self.channels_last and moved.ndim == 4:
                return moved.contiguous(memory_format=torch.channels_last)
            return moved

        if type(batch) is tuple and all(type(part) is Tensor for part in batch):
            return tuple(place(part) for part in batch)
        return map_tensors(place, batch)

    def computing(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        """Return the context of a forward pass: its precision, and how attention is computed."""
        if not (self.bf16 or self.math or self.channels_last):
            return PLAIN
        contexts: list[contextlib.AbstractContextManager[Any]] = []
        if self.bf16:
            contexts.append(torch.autocast(device.type, torch.bfloat16))
        if self.math:
            contexts.append(sdpa_kernel(SDPBackend.MATH))
        if self.channels_last and not self.compiled:
            contexts.append(_KeepChannelsLast())
        return _all(contexts) if contexts else PLAIN

    def forward(self, loss: StepLoss, device: torch.device) -> StepLoss:
        """Return the same loss, computed in this mode."""

        def forward(model: nn.Module, batch: Any) -> Tensor:
            with self.computing(device):
                return loss(model, batch)

        return forward

    def prepare(self, prepare_batch: StepLoss, model: nn.Module, batch: Any, device: torch.device) -> Any:
        """Add to a batch what the phases of a step share; no gradient reaches back through a program."""
        if self.compiled:
            return batch
        with self.computing(device):
            return prepare_batch(model, batch)


EXECUTION_MODES = {
    mode.name: mode
    for mode in (ExecutionMode(*(bool(on) for on in chosen)) for chosen in product((0, 1), repeat=4))
}
"""Every mode, by name."""


def execution_mode(name: str) -> ExecutionMode:
    """Return a mode by name; "auto", where nothing was measured, is eager.

    Raises:
        UnknownNameError: there is no such mode.
    """
    if name == "auto":
        return ExecutionMode()
    if name not in EXECUTION_MODES:
        raise UnknownNameError("execution mode", name, ["auto", *EXECUTION_MODES])
    return EXECUTION_MODES[name]


@contextlib.contextmanager
def _all(contexts: Iterable[contextlib.AbstractContextManager[Any]]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
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


class _KeepChannelsLast(TorchFunctionMode):
    """Keep the layout of images where a network flattens them, or makes images of vectors.

    Torch lays out the gradient of such a step channel by channel. Every kernel before it would then meet its
    input in one layout and its gradient in the other, where torch only has slow kernels.
    """

    def __torch_function__(self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func in RESHAPING and args:
            before = args[0]
            in_layout = before.ndim == 4 and before.is_contiguous(memory_format=torch.channels_last)
            if in_layout and made.ndim == 2 and before.requires_grad:
                before.register_hook(_channels_last)
            if (before.ndim, made.ndim) == (2, 4):
                return _channels_last(made)
        return made


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)
