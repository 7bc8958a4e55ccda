"""The receptive field of a unit: which part of the input it sees, down to one multiplication.

The field is measured, not derived from kernel sizes: NaN is written into a part of the input, and a unit that
becomes NaN depends on it. This holds for every module that computes with its inputs. The sensitivity within
the field is the gradient (the effective receptive field, Luo et al. 2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pellucid.batch import Batch
from pellucid.errors import UsageError
from pellucid.lens.capture import capture, live
from pellucid.lens.neuron import Neuron, neuron
from pellucid.lens.views.catalogue import View
from pellucid.lens.views.kernels import PLAIN
from pellucid.lens.views.seen import Panel, Rows, Seen, flat_picture
from pellucid.lens.views.subject import Subject, array, choose_layer, layers_of

LARGEST = 5
"""Products that are listed."""


@dataclass(frozen=True)
class ReceptiveField(Seen):
    """What one unit of a layer sees of the input.

    Attributes:
        layer, type: the name and class of the layer.
        row: of the batch.
        unit: the channel.
        position: its place on the other axes, such as (y, x).
        value: what the layer returned there.
        field: [start, stop) on every axis of the input after the channels; [] where it depends on nothing.
        input: the row, (C, *places).
        sensitivity: the gradient of the unit with respect to the input, (C, *places).
        neuron: its inputs x weights + bias, of a convolution.
    """

    view = "receptive-field"
    layer: str
    type: str
    row: int
    unit: int
    position: tuple[int, ...]
    value: float
    field: list[list[int]]
    input: np.ndarray
    sensitivity: np.ndarray
    neuron: Neuron | None

    @property
    def headline(self) -> str:
        places = " x ".join(f"{start}..{stop - 1}" for start, stop in self.field) or "nothing"
        sizes = " x ".join(str(stop - start) for start, stop in self.field)
        size = f", {sizes} of {' x '.join(map(str, self.input.shape[1:]))}" if sizes else ""
        return (
            f"{self.layer} ({self.type}), unit {self.unit} at {self.position}, row {self.row}: "
            f"{self.value:.6g}. It sees {places} of the input{size}"
        )

    def panels(self) -> list[Panel | Rows]:
        """Return what the unit sees of the input, its sensitivity there, and its largest products."""
        inside = (slice(None), *(slice(start, stop) for start, stop in self.field))
        made: list[Panel | Rows] = [
            Panel("what it sees of the input", flat_picture(self.input[inside]), "picture"),
            Panel("its gradient there", flat_picture(self.sensitivity[inside])),
        ]
        if self.neuron is None:
            return made
        one = self.neuron
        order = sorted(range(len(one.products)), key=lambda i: -abs(one.products[i]))
        cells = [[one.inputs[i], one.weights[i], one.products[i], one.places[i]] for i in order[:LARGEST]]
        rest = math.fsum(one.products[i] for i in order[LARGEST:])
        cells.append([f"{len(order) - min(LARGEST, len(order))} more", "", rest, ""])
        cells += [["bias", "", one.bias, ""], ["sum", "", one.sum, ""]]
        columns = ["input", "weight", "product", "[channel, place]"]
        return [*made, Rows("largest products", columns, cells)]


def receptive_field(
    subject: Subject,
    layer: str | None = None,
    unit: int | None = None,
    position: Any = None,
    row: int = 0,
) -> ReceptiveField:
    """Return what one unit sees of the input.

    Args:
        subject: a model and its batch.
        layer: a module that returns (B, C, ...); None: the last convolution.
        unit: the channel; None: the one with the largest value.
        position: its place on the other axes; None: where its value is largest.
        row: of the batch.

    Raises:
        UsageError: there is no such layer, unit or position.
    """
    one = subject.only(subject.check_row(row))
    known = layers_of(subject.model, PLAIN)
    named = {name: part for name, part in subject.model.named_modules() if name}
    name = choose_layer(layer, known if layer is None else named, default=-1)
    given = _input(one)
    output, gradient, seen = _unit_and_gradient(one, name, given, unit, position)
    place = (seen[0], *seen[1:])
    field = _field(given.shape[2:], lambda hidden: _is_hidden(one, given, name, hidden, place))
    whole = _neuron(one, name, named[name], place)
    return ReceptiveField(
        name,
        type(named[name]).__name__,
        row,
        place[0],
        tuple(place[1:]),
        output[(0, *place)].item(),
        field,
        array(given[0]),
        array(gradient[0]),
        whole,
    )


def _input(one: Subject) -> Tensor:
    return next(leaf for leaf in one.floats if leaf.ndim >= 3)


def _replaced(one: Subject, given: Tensor, by: Tensor) -> Subject:
    inputs = pytree.tree_map(lambda leaf: by if leaf is given else leaf, one.inputs)
    return one.with_batch(Batch(inputs))


def _output(one: Subject, name: str, values: Any) -> Tensor:
    with capture(one.model, [name], values=values) as taken:
        one.forward()
    output = taken.last(name).output if taken.calls else None
    if not isinstance(output, Tensor) or output.ndim < 2:
        raise UsageError(f"{name} returned no tensor (B, C, ...): choose another layer.")
    return output


def _unit_and_gradient(
    one: Subject, name: str, given: Tensor, unit: int | None, position: Any
) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    point = given.detach().clone().requires_grad_(True)
    with one.computing(gradients=True):
        output = _output(_replaced(one, given, point), name, live)
        place = _place(output[0].detach(), unit, position)
        found = torch.autograd.grad(output[(0, *place)], point, allow_unused=True)[0]
    return output.detach(), torch.zeros_like(point) if found is None else found, place


def _place(values: Tensor, unit: int | None, position: Any) -> tuple[int, ...]:
    """Return the channel and place that are asked for, or those of the largest value."""
    wanted = None if position is None else tuple([position] if isinstance(position, int) else position)
    if unit is not None and not 0 <= unit < len(values):
        raise UsageError(f"unit={unit} expects 0 to {len(values) - 1}.")
    axes = values.shape[1:]
    if wanted is not None and (
        len(wanted) != len(axes) or not all(0 <= n < size for n, size in zip(wanted, axes, strict=True))
    ):
        raise UsageError(f"position={position} expects {len(axes)} numbers within {tuple(axes)}.")
    at = (slice(None), *(slice(n, n + 1) for n in wanted)) if wanted is not None else (slice(None),)
    among = values[at] if unit is None else values[unit : unit + 1][at]
    largest = [int(n) for n in torch.unravel_index(among.argmax(), among.shape)]
    rest = tuple(largest[1:]) if wanted is None else wanted
    return (largest[0] if unit is None else unit, *rest)


def _is_hidden(one: Subject, given: Tensor, name: str, hidden: Any, place: tuple[int, ...]) -> bool:
    """Whether a unit becomes NaN when a part of the input is."""
    holed = given.clone()
    holed[(slice(None), slice(None), *hidden)] = math.nan
    with one.computing():
        return bool(_output(_replaced(one, given, holed), name, live)[(0, *place)].isnan())


def _field(axes: tuple[int, ...], depends: Callable[[tuple[slice, ...]], bool]) -> list[list[int]]:
    """Return the smallest box of the input that a unit depends on, by bisection."""
    everything = tuple(slice(None) for _ in axes)
    if not depends(everything):
        return []
    found = []
    for axis, size in enumerate(axes):

        def among(part: slice, axis: int = axis) -> bool:
            return depends((*everything[:axis], part, *everything[axis + 1 :]))

        start = _first(size, lambda n, among=among: among(slice(0, n + 1)))
        last = size - 1 - _first(size, lambda n, among=among, size=size: among(slice(size - 1 - n, size)))
        found.append([start, last + 1])
    return found


def _first(size: int, holds: Callable[[int], bool]) -> int:
    """Return the first number for which something holds that then goes on to hold."""
    low, high = 0, size - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _neuron(one: Subject, name: str, layer: nn.Module, place: tuple[int, ...]) -> Neuron | None:
    if not isinstance(layer, PLAIN):
        return None
    return neuron(one.calls([name], inputs=True)[-1], [], place[0], 0, place[1:])


def _unfit(subject: Subject) -> str:
    if not layers_of(subject.model, PLAIN):
        return "has no convolution"
    if not any(leaf.ndim >= 3 for leaf in subject.floats):
        return "has no input with places (B, C, ...)"
    return subject.not_called()


VIEW = View("receptive-field", "what a unit sees of the input, and its products", _unfit, receptive_field)
