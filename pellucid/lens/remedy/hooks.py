"""What several remedies need: the order of layers, new layers, other parameters, another loss."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.lens.remedy.parts import Parts, Unfit
from pellucid.lens.remedy.rows import first_rows
from pellucid.nn.modes import evaluating

NONLINEAR = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.ELU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.PReLU)
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Called:
    """A layer as it was called.

    Attributes:
        name: in `named_modules()`.
        layer: the module.
        last: its output is the model's.
    """

    name: str
    layer: nn.Module
    last: bool = False


def output_of(parts: Parts) -> Any:
    """Return the outputs of the model for the first 8 rows of a batch, in evaluation mode.

    Raises:
        Unfit: the model cannot be called with the inputs of a batch.
    """
    model, inputs = parts.module, first_rows(parts)[0][:8]
    place = next((one.device for one in model.parameters()), inputs.device)
    with evaluating(model):
        try:
            return model(inputs.to(place))
        except Exception as error:  # of somebody else's model
            raise Unfit(f"the model cannot be called with a batch of inputs ({error})") from error


def called(parts: Parts) -> list[Called]:
    """Return the layers without layers inside, in the order of their calls on one batch.

    Raises:
        Unfit: the model cannot be called with the inputs of a batch.
    """
    order: list[tuple[str, nn.Module, Any]] = []

    def note(name: str) -> Callable[..., None]:
        return lambda layer, _, output: order.append((name, layer, output))

    named = list(parts.module.named_modules())
    leaves = [(name, one) for name, one in named if not any(True for _ in one.children())]
    hooks = [one.register_forward_hook(note(name)) for name, one in leaves]
    try:
        output = output_of(parts)
    finally:
        for hook in hooks:
            hook.remove()
    return [Called(name, layer, made is output) for name, layer, made in order]


def put(model: nn.Module, name: str, new: nn.Module) -> None:
    """Replace a module by its name; the new one gets the device and the precision of the old.

    Raises:
        Unfit: it is the model itself.
    """
    if not name:
        raise Unfit("the model is that layer")
    parent, _, last = name.rpartition(".")
    old = itertools.chain(model.get_submodule(name).parameters(), model.parameters())
    like = next((one for one in old if one.is_floating_point()), None)
    setattr(model.get_submodule(parent), last, new if like is None else new.to(like.device, like.dtype))


def with_all_parameters(parts: Parts) -> Parts:
    """Have the optimizer hold every trainable parameter of the model, with its settings.

    Raises:
        Unfit: there is not exactly one optimizer.
    """
    give(parts.only_optimizer(), [one for one in parts.module.parameters() if one.requires_grad])
    return parts


def give(optimizer: torch.optim.Optimizer, wanted: list[nn.Parameter]) -> None:
    """Have an optimizer hold these parameters: new ones in its first group, others where they were.

    It stays the same object, with its hooks: another remedy, a schedule or the loop may hold it.
    """
    known, held = {id(one) for one in wanted}, set()
    for group in optimizer.param_groups:
        group["params"][:] = [one for one in group["params"] if id(one) in known]
        held |= {id(one) for one in group["params"]}
    optimizer.param_groups[0]["params"] += [one for one in wanted if id(one) not in held]
    optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]
    for one in set(optimizer.state) - set(wanted):
        del optimizer.state[one]


class ChangedLoss(nn.Module):
    """A loss in place of the one of a loop, which may be moved to a device as that may be."""

    def __init__(self, plain: Callable[..., Any], change: Callable[..., Any]) -> None:
        super().__init__()
        self.plain, self._change = plain, change

    def forward(self, *given: Any, **named: Any) -> Any:
        """Return `change(plain, *given, **named)`."""
        return self._change(self.plain, *given, **named)


def on_loss(parts: Parts, change: Callable[..., Any]) -> Parts:
    """Have `change(loss, *given, **named)` called in place of the loss, with all that it is called with.

    Raises:
        Unfit: the loss is not a function.
    """
    if not callable(parts.loss):
        raise Unfit("the loss is not a function")
    parts.loss = ChangedLoss(parts.loss, change)
    return parts


def wrap(parts: Parts, change: Callable[[Callable[..., Any], Any, Any], Any]) -> Parts:
    """Have `change(loss, outputs, targets)` called in place of the loss.

    Raises:
        Unfit: the loss is not a function.
    """
    plain = parts.loss

    def changed(loss: Callable[..., Any], *given: Any, **named: Any) -> Any:
        if named and len(given) < 2:
            given, named = _in_order(plain, given, named)
        if len(given) < 2:
            raise Unfit("the loss is not called with outputs and targets")
        outputs, targets, *others = given
        return change(lambda o, t: loss(o, t, *others, **named), outputs, targets)

    return on_loss(parts, changed)


def _in_order(loss: Any, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
    """Arguments of a loss by their places, where they have been given by name."""
    while isinstance(loss, ChangedLoss):
        loss = loss.plain
    try:
        bound = inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss).bind(*given, **named)
    except (TypeError, ValueError):
        return given, named
    return bound.args, bound.kwargs


def on_inputs(model: nn.Module, change: Callable[[Tensor], Tensor], training_only: bool = False) -> None:
    """Change the first input of every call of the model."""

    def before(_: nn.Module, arguments: tuple[Any, ...]) -> Any:
        if not arguments or not isinstance(arguments[0], Tensor) or not arguments[0].is_floating_point():
            return None
        if training_only and not torch.is_grad_enabled():
            return None
        return (change(arguments[0]), *arguments[1:])

    model.register_forward_pre_hook(before)


def on_outputs(model: nn.Module, change: Callable[[Any], Any]) -> None:
    """Change the output of every call of the model."""
    model.register_forward_hook(lambda _, __, output: change(output))


def layers_of(model: nn.Module, *kinds: type[nn.Module]) -> Iterator[tuple[str, Any]]:
    """Yield (name, layer) of all layers of some kinds."""
    for name, one in list(model.named_modules()):
        if isinstance(one, kinds):
            yield name, one
