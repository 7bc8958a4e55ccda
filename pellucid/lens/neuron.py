"""One unit of one layer: inputs x weights + bias -> activation -> output, with the numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import UsageError
from pellucid.lens.capture import Call

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
SUPPORTED = "Linear, Conv1d, Conv2d and Conv3d layers"
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "ReLU": F.relu,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
    "GELU": F.gelu,
    "SiLU": F.silu,
    "LeakyReLU": F.leaky_relu,
    "ELU": F.elu,
}
"""Activations that are recognized where they are called as functions, by what they return."""


@dataclass(frozen=True)
class Neuron:
    """What one unit computes for one row.

    Attributes:
        layer, type: the name and class of its layer.
        unit: which feature or channel it is.
        row: of the batch.
        position: the place on the axes between row and unit, or after the channel; () where there are none.
        inputs, weights, products: the numbers of the unit, in the order of the layer's weights; those of a
            convolution are (channel, kernel place). Padding is 0.
        places: where each input stands, e.g. [channel, y, x], outside of the image where it is padding.
        bias: added to the sum of the products; 0.0 without one.
        sum: products and bias, summed in float64.
        output: what the layer itself returned for this unit.
        error: |sum - output|.
        activation: the class of the activation after the layer; "" where none was recognized.
        activated: its output; None without one.
    """

    layer: str
    type: str
    unit: int
    row: int
    position: tuple[int, ...]
    inputs: list[float]
    weights: list[float]
    products: list[float]
    places: list[list[int]]
    bias: float
    sum: float
    output: float
    error: float
    activation: str = ""
    activated: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**vars(self), "position": list(self.position)}

    def __str__(self) -> str:
        order = sorted(range(len(self.products)), key=lambda place: -abs(self.products[place]))
        lines = [f"{self.layer} ({self.type}), unit {self.unit}, row {self.row}" + _at(self.position)]
        numbers = list(zip(self.inputs, self.weights, self.products, self.places, strict=True))
        lines += [
            f"  {x:>12.6g} x {weight:>12.6g} = {product:>12.6g}  {place}"
            for x, weight, product, place in (numbers[i] for i in order[:SHOWN])
        ]
        if len(order) > SHOWN:
            rest = sum(self.products[i] for i in order[SHOWN:])
            lines.append(f"  {len(order) - SHOWN} more products {rest:>25.6g}")
        lines.append(f"  bias {self.bias:>40.6g}")
        lines.append(f"  sum {self.sum:>41.6g}   the layer returned {self.output:.6g}")
        if self.activated is not None:
            lines.append(f"  {self.activation}({self.output:.6g}) = {self.activated:.6g}")
        return "\n".join(lines)


SHOWN = 12
"""Most products that are printed, the largest first."""


def _at(position: tuple[int, ...]) -> str:
    return f", position {position}" if position else ""


def neuron(
    call: Call, later: Sequence[Call], unit: int, row: int = 0, position: Sequence[int] | int = ()
) -> Neuron:
    """Return what one unit computed in a call.

    Args:
        call: a call of a linear layer or a convolution, with its tensors.
        later: the calls after it, to find its activation.
        unit: feature or channel.
        row: of the batch.
        position: the place on the other axes; () for the first.

    Raises:
        UsageError: the layer is of another kind, or there is no such unit, row or position.
    """
    layer, output = call.module, call.output
    if not isinstance(layer, (nn.Linear, *CONVOLUTIONS)) or not isinstance(output, Tensor):
        raise UsageError(f"{call.name} is a {type(layer).__name__}: the neuron is shown of {SUPPORTED}.")
    linear = isinstance(layer, nn.Linear)
    axes = output.shape[1:-1] if linear else output.shape[2:]
    place = (position,) if isinstance(position, int) else tuple(position) or (0,) * len(axes)
    units = output.shape[-1] if linear else output.shape[1]
    _check("unit", unit, units)
    _check("row", row, output.shape[0] if output.ndim > 1 else 1)
    if len(place) != len(axes):
        raise UsageError(f"position= expects {len(axes)} numbers, one for each of {tuple(axes)}.")
    for number, size in zip(place, axes, strict=True):
        _check("position", number, size)
    index = (row, *place, unit) if linear else (row, unit, *place)
    index = index if output.ndim > 1 else (unit,)
    found = _linear(layer, call, row, place) if linear else _patch(layer, call, row, unit, place)
    inputs, places = found
    weights = layer.weight.detach()[unit].flatten().double()
    products = inputs * weights
    bias = 0.0 if layer.bias is None else layer.bias.detach()[unit].item()
    total, made = products.sum().item() + bias, output[index].item()
    name, activated = _activation(call, later, index)
    return Neuron(
        call.name,
        type(layer).__name__,
        unit,
        row,
        place,
        inputs.tolist(),
        weights.tolist(),
        products.tolist(),
        places,
        bias,
        total,
        made,
        abs(total - made),
        name,
        activated,
    )


def _check(what: str, number: int, count: int) -> None:
    if not 0 <= number < count:
        raise UsageError(f"{what}= expects 0 to {count - 1}, received {number}.")


def _linear(layer: nn.Linear, call: Call, row: int, place: tuple[int, ...]) -> tuple[Tensor, list[list[int]]]:
    given = call.args[0] if call.args else next(iter(call.kwargs.values()))
    values = given[(row, *place)] if given.ndim > 1 else given
    return values.double(), [[number] for number in range(layer.in_features)]


def _patch(
    layer: Any, call: Call, row: int, unit: int, place: tuple[int, ...]
) -> tuple[Tensor, list[list[int]]]:
    """Return the inputs that a convolution multiplies for one output, and where they stand."""
    given = (call.args[0] if call.args else next(iter(call.kwargs.values())))[row]  # (C, *places)
    group = unit // (layer.out_channels // layer.groups)
    size = layer.in_channels // layer.groups
    before = _padding(layer)
    steps = [range(kernel) for kernel in layer.kernel_size]
    values, places = [], []
    for channel in range(group * size, (group + 1) * size):
        for offset in itertools.product(*steps):
            at = [
                p * stride + k * dilation - pad
                for p, k, stride, dilation, pad in zip(
                    place, offset, layer.stride, layer.dilation, before, strict=True
                )
            ]
            values.append(_padded(given[channel], at, layer.padding_mode))
            places.append([channel, *at])
    return torch.stack(values).double(), places


def _padding(layer: Any) -> list[int]:
    """The padding before each axis."""
    if layer.padding == "valid":
        return [0] * len(layer.kernel_size)
    if layer.padding == "same":
        return [d * (k - 1) // 2 for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    return list(layer.padding)


def _padded(values: Tensor, at: list[int], mode: str) -> Tensor:
    inside = [_index(number, size, mode) for number, size in zip(at, values.shape, strict=True)]
    found: list[int] = [number for number in inside if number is not None]
    return values[tuple(found)] if len(found) == len(inside) else values.new_zeros(())


def _index(number: int, size: int, mode: str) -> int | None:
    """Where padding takes a value from; None where it is 0."""
    if 0 <= number < size:
        return number
    if mode == "circular":
        return number % size
    if mode == "replicate":
        return min(max(number, 0), size - 1)
    if mode == "reflect":
        return -number if number < 0 else 2 * (size - 1) - number
    return None


def _activation(call: Call, later: Sequence[Call], index: tuple[int, ...]) -> tuple[str, float | None]:
    """Return the activation that was applied to an output, and its result."""
    output: Tensor = call.output
    for following in later:
        given = next((part for part in following.args if isinstance(part, Tensor)), None)
        if given is None or given.shape != output.shape:
            continue
        if torch.equal(given, output):
            if isinstance(following.output, Tensor) and _elementwise(following.module):
                return type(following.module).__name__, following.output[index].item()
            continue
        for name, function in FUNCTIONS.items():
            if torch.equal(given, function(output)):
                return name, given[index].item()
    return "", None


def _elementwise(module: nn.Module) -> bool:
    return type(module).__module__ == "torch.nn.modules.activation" and not isinstance(
        module, (nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax)
    )
