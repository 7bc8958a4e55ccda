"""What modules save in addition to their tensors: `nn.Module.get_extra_state`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from pellucid.errors import ModelError
from pellucid.train.plain_state import in_words, returns_equal

KEY = "_extra_state"


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and persistent buffers by name, without extra states."""
    own = {key for key, _ in _modules(model)}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in own}


def extra_states(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the extra states that are tensors, and those that are plain JSON values.

    Raises:
        ModelError: an extra state is neither; names the module.
    """
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for key, module in _modules(model):
        state = module.get_extra_state()
        if isinstance(state, Tensor):
            tensors[key] = state
        elif returns_equal(state):
            values[key] = state
        else:
            name = key.removesuffix(KEY).rstrip(".") or "the model"
            raise ModelError(
                f"{name} ({type(module).__name__}) cannot be saved: expected get_extra_state() to return a "
                f"tensor, or values that JSON returns unchanged (numbers, texts, lists, dicts with texts as "
                f"keys), received {in_words(state)}: {state!r:.80}.",
                remedy="return a tensor, or keep tensors with register_buffer",
            )
    return tensors, values


def has_extra_state(model: nn.Module) -> bool:
    """Return whether a module of the model saves an extra state."""
    return any(True for _ in _modules(model))


def set_extra_states(model: nn.Module, states: Mapping[str, Any]) -> None:
    """Give every module its extra state; one that is not among the states keeps its own."""
    for key, module in _modules(model):
        if key in states:
            module.set_extra_state(states[key])


def _modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules with an extra state, by its key in `model.state_dict()`."""
    for name, module in model.named_modules():
        if type(module).get_extra_state is not nn.Module.get_extra_state:
            yield (f"{name}.{KEY}" if name else KEY), module
