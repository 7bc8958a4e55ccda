"""Remedies of a model's layers. New layers are put in place of old ones, and the optimizer gets them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from pellucid.lens.remedy.hooks import NONLINEAR, WEIGHTED, called, layers_of, put, with_all_parameters
from pellucid.lens.remedy.initial import reset
from pellucid.lens.remedy.modes import NORMS
from pellucid.lens.remedy.parts import Parts, Unfit
from pellucid.lens.remedy.registry import Apply, Case, remedy

SQUASHING = (nn.Sigmoid, nn.Tanh, nn.Softsign, nn.Hardsigmoid)


@remedy(
    "layers-registered",
    "layers-in-plain-list",
    words="layers of plain lists are registered and optimized",
    size=3,
    edit="self.layers = nn.ModuleList([...]) before the optimizer is made",
)
def layers_registered(parts: Parts, case: Case) -> Parts:
    count = 0
    for one in list(parts.module.modules()):
        for name, value in list(vars(one).items()):
            if name.startswith("_") or not isinstance(value, list | tuple | dict):
                continue
            inside = value.values() if isinstance(value, dict) else value
            if value and all(isinstance(entry, nn.Module) for entry in inside):
                delattr(one, name)
                setattr(one, name, nn.ModuleDict(value) if isinstance(value, dict) else nn.ModuleList(value))
                count += 1
    if not count:
        raise Unfit("no plain list holds only layers")
    return with_all_parameters(parts)


@remedy(
    "activations-put-in",
    "no-activation",
    words="a ReLU stands between layers that had none",
    size=4,
    edit="nn.ReLU() after each hidden layer",
)
def activations_put_in(parts: Parts, case: Case) -> Parts:
    order = called(parts)
    bare: list[str] = []
    last: str | None = None
    for one in order:
        if isinstance(one.layer, WEIGHTED):
            if last is not None and last.rpartition(".")[0] == one.name.rpartition(".")[0]:
                bare.append(last)
            last = one.name
        elif isinstance(one.layer, (*NONLINEAR, nn.RNNBase)):
            last = None
    if not bare:
        raise Unfit("layers without an activation between them were not found")
    for name in dict.fromkeys(bare):
        put(parts.module, name, nn.Sequential(parts.module.get_submodule(name), nn.ReLU()))
    return parts


def _exchange(new: Callable[[], nn.Module], *kinds: type[nn.Module]) -> Apply:
    """Put other activations in place of hidden ones, and initialize."""

    def apply(parts: Parts, case: Case) -> Parts:
        outputs = {one.name for one in called(parts) if one.last}
        found = [name for name, _ in layers_of(parts.module, *kinds) if name not in outputs]
        if not found:
            raise Unfit("there is no such activation")
        for name in found:
            put(parts.module, name, new())
        reset(parts.module)
        return parts

    return apply


remedy(
    "relu",
    "vanishing-gradients",
    "saturated-activations",
    words="hidden activations are ReLU",
    size=4,
    edit="nn.ReLU() in place of sigmoid or tanh",
)(_exchange(nn.ReLU, *SQUASHING))
remedy(
    "leaky-relu", "dead-units", words="hidden activations are leaky ReLU", size=4, edit="nn.LeakyReLU(0.1)"
)(_exchange(lambda: nn.LeakyReLU(0.1), nn.ReLU))


def _squeezed(parts: Parts) -> list[str]:
    """The names of hidden layers with weights whose output goes into an activation."""
    order, found = called(parts), []
    for before, after in itertools.pairwise(order):
        if isinstance(before.layer, nn.Linear | nn.Conv2d) and isinstance(after.layer, NONLINEAR):
            found.append(before.name)
    return list(dict.fromkeys(found))


@remedy(
    "batch-norm",
    "vanishing-gradients",
    "exploding-gradients",
    "initial-weights-too-large",
    words="there is batch norm before each activation",
    size=5,
    edit="nn.BatchNorm1d(size) after each hidden layer",
)
def batch_norm(parts: Parts, case: Case) -> Parts:
    if any(True for _ in layers_of(parts.module, *NORMS)):
        raise Unfit("there is batch norm already")
    found = _squeezed(parts)
    if not found:
        raise Unfit("no layer goes into an activation")
    for name in found:
        layer: Any = parts.module.get_submodule(name)
        linear = isinstance(layer, nn.Linear)
        norm = nn.BatchNorm1d(layer.out_features) if linear else nn.BatchNorm2d(layer.out_channels)
        put(parts.module, name, nn.Sequential(layer, norm))
    reset(parts.module)
    return with_all_parameters(parts)


class Around(nn.Module):
    """A layer and a connection around it, for inputs (B, size) -> (B, size)."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(layer.in_features)
        self.layer = nn.Sequential(layer, nn.ReLU())

    def forward(self, inputs: Tensor) -> Tensor:
        """Add what the layer makes of the inputs."""
        return inputs + self.layer(self.norm(inputs))


@remedy(
    "residual",
    "vanishing-gradients",
    words="there is a residual connection around each layer of equal width, with ReLU",
    size=5,
    edit="x = x + relu(layer(norm(x)))",
)
def residual(parts: Parts, case: Case) -> Parts:
    order = called(parts)
    count = 0
    for before, after in itertools.pairwise(order):
        layer = before.layer
        square = isinstance(layer, nn.Linear) and layer.in_features == layer.out_features
        if square and isinstance(after.layer, NONLINEAR) and isinstance(layer, nn.Linear):
            put(parts.module, before.name, Around(layer))
            put(parts.module, after.name, nn.Identity())
            count += 1
    if not count:
        raise Unfit("no hidden layer has as many inputs as outputs")
    for name, _ in layers_of(parts.module, *SQUASHING):
        put(parts.module, name, nn.ReLU())
    reset(parts.module)
    return with_all_parameters(parts)


def _widened(size: int) -> Apply:
    def apply(parts: Parts, case: Case) -> Parts:
        order = [(one.name, one.layer) for one in called(parts) if isinstance(one.layer, nn.Linear)]
        widths = [layer.out_features for _, layer in order[:-1]]
        if not widths or min(widths) >= size:
            raise Unfit(f"no hidden layer has less than {size} outputs")
        index = widths.index(min(widths))
        (first, one), (second, two) = order[index : index + 2]
        if two.in_features != one.out_features:
            raise Unfit("what follows the narrow layer is no linear layer")
        put(parts.module, first, nn.Linear(one.in_features, size, one.bias is not None))
        put(parts.module, second, nn.Linear(size, two.out_features, two.bias is not None))
        return with_all_parameters(parts).say(
            f"the narrowest layer has {size} outputs instead of {min(widths)}"
        )

    return apply


for _size in (8, 16, 32):
    remedy(
        f"widened-to-{_size}",
        "bottleneck-too-narrow",
        words=f"the narrowest layer has {_size} outputs",
        size=4,
        edit=f"nn.Linear(..., {_size})",
    )(_widened(_size))


@remedy(
    "separate-layers",
    "layer-repeated",
    "inputs-ignored",
    words="layers that are used twice are separate",
    size=4,
    edit="a layer of its own in each place, instead of the same one again",
)
def separate(parts: Parts, case: Case) -> Parts:
    return untied(parts)


def untied(parts: Parts) -> Parts:
    """Give each place of a shared module a module of its own, with first weights of its own."""
    seen: set[int] = set()
    count = 0
    for parent in list(parts.module.modules()):
        for name, child in list(parent._modules.items()):
            if child is None:
                continue
            if id(child) in seen and list(child.parameters()):
                new = copy.deepcopy(child)
                reset(new)
                setattr(parent, name, new)
                count += 1
            seen.add(id(child))
    if not count:
        raise Unfit("no module stands in two places")
    return with_all_parameters(parts)
