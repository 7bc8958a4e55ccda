"""What several remedies need: the first batch, the order of layers, new layers, new optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.lens.remedy.parts import Parts, Unfit
from pellucid.lens.remedy.rows import first_rows

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


def called(parts: Parts) -> list[Called]:
    """Return the layers without layers inside, in the order of their calls on one batch.

    Raises:
        Unfit: the model cannot be called with the inputs of a batch.
    """
    model = parts.module
    order: list[tuple[str, nn.Module, int]] = []

    def note(name: str) -> Callable[..., None]:
        def seen(layer: nn.Module, _: Any, output: Any) -> None:
            order.append((name, layer, id(output)))
            kept.append(output)

        return seen

    kept: list[Any] = []
    leaves = [(name, one) for name, one in model.named_modules() if not any(True for _ in one.children())]
    hooks = [one.register_forward_hook(note(name)) for name, one in leaves]
    was = model.training
    try:
        model.eval()
        with torch.no_grad():
            output = model(first_rows(parts)[0][:8])
    except Unfit:
        raise
    except Exception as error:
        raise Unfit(f"the model cannot be called with a batch of inputs ({error})") from error
    finally:
        model.train(was)
        for hook in hooks:
            hook.remove()
    return [Called(name, layer, made == id(output)) for name, layer, made in order]


def output_of(parts: Parts, rows: int = 8) -> Any:
    """Return the outputs of the model for the first rows of a batch, in evaluation mode."""
    model, was = parts.module, parts.module.training
    try:
        model.eval()
        with torch.no_grad():
            return model(first_rows(parts)[0][:rows])
    except Unfit:
        raise
    except Exception as error:
        raise Unfit(f"the model cannot be called with a batch of inputs ({error})") from error
    finally:
        model.train(was)


def put(model: nn.Module, name: str, new: nn.Module) -> None:
    """Replace a module by its name.

    Raises:
        Unfit: it is the model itself.
    """
    if not name:
        raise Unfit("the model is that layer")
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, new)


def with_all_parameters(parts: Parts) -> Parts:
    """Have the optimizer hold every trainable parameter of the model, with its settings.

    Raises:
        Unfit: there is not exactly one optimizer.
    """
    old = parts.only_optimizer()
    wanted = [one for one in parts.module.parameters() if one.requires_grad]
    known = {id(one) for one in wanted}
    groups, held = [], set()
    for group in old.param_groups:
        kept = [one for one in group["params"] if id(one) in known]
        held |= {id(one) for one in kept}
        groups.append({**group, "params": kept})
    groups[0]["params"] = [*groups[0]["params"], *(one for one in wanted if id(one) not in held)]
    groups = [group for group in groups if group["params"]]
    kind: Any = type(old)
    parts.optimizer = kind(groups, **_options(old))
    return parts


def _options(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    import inspect

    taken = inspect.signature(type(optimizer)).parameters
    return {name: value for name, value in optimizer.defaults.items() if name in taken}


def training_forward(model: nn.Module) -> bool:
    """Whether a forward pass is one of training: gradients are recorded."""
    return torch.is_grad_enabled()


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
