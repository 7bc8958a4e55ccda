"""Gradients by autograd, checked against central finite differences in float64.

The derivative at an entry w is estimated by the fourth-order central difference

    (8 (L(w + h) - L(w - h)) - (L(w + 2h) - L(w - 2h))) / 12 h

for smaller and smaller h, until two agree: a large h meets the kinks of rectifiers and max-pooling, a small
one the limits of float64.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pellucid.batch import map_tensors
from pellucid.lens.work import Work
from pellucid.train.seed import set_rng_state

STEPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
"""Of h, relative to max(1, |w|)."""
AGREED = 1e-8
"""Relative difference of two estimates that agree."""
LOW = (torch.float32, torch.float16, torch.bfloat16)
FLOOR = 1e-4
"""Gradients below this share of the largest one of the model are measured against that share."""


@dataclass(frozen=True)
class Difference:
    """The gradient of one entry of a parameter.

    Attributes:
        index: of the entry.
        gradient: by autograd, in float64.
        difference: by central differences, in float64.
        kink: whether the derivatives from the left and from the right differ, as where two values of a
            max-pooling are equal. Then every number between them is right, and the error is how far the
            gradient is from these.
        error: |gradient - difference| relative to the larger of both, and at least to `FLOOR` times the
            largest gradient of the model.
    """

    index: tuple[int, ...]
    gradient: float
    difference: float
    error: float
    kink: bool = False


def differences(work: Work, entries: int = 2, seed: int = 0) -> dict[str, list[Difference]]:
    """Check the gradients of a model.

    Args:
        work: the model, a batch and a loss; it is computed on a copy in float64.
        entries: how many of each parameter: the one with the largest gradient, and others at random.
        seed: chooses them.

    Returns:
        The entries by the name of the parameter; none for parameters that the loss does not depend on.
    """
    own = in_float64(work)
    with own.undisturbed(), _in_float64():
        loss = own.forward()[1]
        made = torch.autograd.grad(loss, own.parameters, allow_unused=True)
    found = {id(p): g for p, g in zip(own.parameters, made, strict=True) if g is not None}
    gradients = {id: g.to_dense() if g.is_sparse else g for id, g in found.items()}
    largest = max((g.abs().max().item() for g in gradients.values()), default=0.0)
    chosen = torch.Generator().manual_seed(seed)
    with own.undisturbed(), torch.no_grad(), _in_float64():
        return _compared(own, gradients, FLOOR * largest, entries, chosen)


def _compared(
    own: Work, gradients: dict[int, Tensor], floor: float, entries: int, chosen: torch.Generator
) -> dict[str, list[Difference]]:
    return {
        name: [
            _difference(own, parameter, place, gradients[id(parameter)], floor)
            for place in _places(gradients[id(parameter)], entries, chosen)
        ]
        for name, parameter in own.model.named_parameters()
        if id(parameter) in gradients
    }


def in_float64(work: Work) -> Work:
    """Return a work on a copy of the model, with all floating-point numbers in float64."""
    model = copy.deepcopy(work.model).double()
    names = {id(p): name for name, p in work.model.named_parameters()}
    own = dict(model.named_parameters())
    batch = map_tensors(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor, work.batch)
    return replace(work, model=model, batch=batch, parameters=[own[names[id(p)]] for p in work.parameters])


def _places(gradient: Tensor, entries: int, chosen: torch.Generator) -> list[int]:
    """Indices into the flat gradient: the largest, and others at random."""
    others = torch.randperm(gradient.numel(), generator=chosen)[: entries - 1].tolist()
    return list(dict.fromkeys([int(gradient.abs().argmax()), *others]))


def _difference(
    work: Work, parameter: nn.Parameter, place: int, gradient: Tensor, floor: float
) -> Difference:
    exact = gradient.flatten()[place].item()
    found = _estimate(work, parameter, place, floor)
    index = tuple(int(number) for number in torch.unravel_index(torch.tensor(place), gradient.shape))
    size = max(abs(exact), abs(found), floor) or 1.0
    error = abs(exact - found) / size
    if error > SUSPECT:
        low, high = sorted(_one_sided(work, parameter, place))
        if high - low > KINK * size:
            return Difference(index, exact, found, max(low - exact, exact - high, 0.0) / size, kink=True)
    return Difference(index, exact, found, error)


SUSPECT = 1e-5
"""Error from which it is asked whether an entry is at a kink."""
KINK = 1e-3
"""Difference of the derivatives from both sides, relative to the gradient, that makes a kink."""


def _one_sided(work: Work, parameter: nn.Parameter, place: int) -> tuple[float, float]:
    """Return the derivatives from the left and from the right."""
    entry = parameter.detach().view(-1)
    before, h, losses = entry[place].item(), STEPS[-2], []
    for change in (-h, 0.0, h):
        entry[place] = before + change
        losses.append(_loss(work))
    entry[place] = before
    return (losses[1] - losses[0]) / h, (losses[2] - losses[1]) / h


def _estimate(work: Work, parameter: nn.Parameter, place: int, floor: float) -> float:
    entry = parameter.detach().view(-1)
    before = entry[place].item()
    scale = max(1.0, abs(before))

    def loss(change: float) -> float:
        entry[place] = before + change
        return _loss(work)

    estimates: list[float] = []
    try:
        for h in (step * scale for step in STEPS):
            near, far = loss(h) - loss(-h), loss(2 * h) - loss(-2 * h)
            estimates.append((8 * near - far) / (12 * h))
            if len(estimates) > 1 and abs(estimates[-1] - estimates[-2]) <= AGREED * max(
                abs(near / h), floor
            ):
                break
    finally:
        entry[place] = before
    return min(itertools.pairwise(estimates), key=lambda pair: abs(pair[0] - pair[1]))[0]


def _loss(work: Work) -> float:
    set_rng_state(work.state)
    return work.forward()[1].item()


@contextlib.contextmanager
def _in_float64() -> Iterator[None]:
    """Compute in float64, also what a model makes itself, such as noise."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _InFloat64():
            yield
    finally:
        torch.set_default_dtype(before)


class _InFloat64(TorchFunctionMode):
    """Keep everything in float64, also where a model asks for float32, as for a softmax in half precision."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.float, Tensor.half, Tensor.bfloat16):
            return args[0].double()
        args = tuple(_double(part) for part in args)
        return func(*args, **{name: _double(part) for name, part in (kwargs or {}).items()})


def _double(part: Any) -> Any:
    return torch.float64 if isinstance(part, torch.dtype) and part in LOW else part
