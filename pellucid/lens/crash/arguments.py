"""What a module was called with: types, devices, and the number of arguments."""

from __future__ import annotations

import difflib
import re

from torch import nn

from pellucid.lens.crash.failure import Failure, Rule, Words, numbers


def _not_a_tensor(failure: Failure) -> Words | None:
    found = numbers(r"must be Tensor, not (\w+(?:\.\w+)?)", failure)
    if found is None:
        return None
    if found[0] in ("tuple", "list") and isinstance(failure.before and failure.before.module, nn.RNNBase):
        return "one tensor", (
            "A recurrent layer returns (output, state): take the first, as in `output, _ = self.lstm(x)`."
        )
    if found[0] in ("tuple", "list"):
        return "one tensor", "Take the tensor out of the tuple, e.g. `x[0]`, or pass its parts separately."
    return "one tensor", f"Convert it: torch.as_tensor(x) makes a tensor of a {found[0]}."


DTYPES = (
    r"mat1 and mat2 must have the same dtype, but got (\w+) and (\w+)",
    r"Input type \(([\w: ]+)\) and (?:bias|weight) type \(([\w: ]+)\)",
    r"expected m1 and m2 to have the same dtype, but got: ([\w: ]+) != ([\w: ]+)",
    r"expected scalar type (\w+) but found (\w+)",
)


def _dtype(failure: Failure) -> Words | None:
    if not any(re.search(pattern, failure.error) for pattern in DTYPES):
        return None
    kind = next((p.dtype for p in (failure.module or failure.model).parameters()), None)
    if kind is None or not failure.received:
        return "tensors of one dtype", "Convert one of them, e.g. with .float()."
    name, theirs = str(kind).removeprefix("torch."), failure.received[0].dtype
    if theirs in ("float32", name):
        return (
            f"{name}, as its weights",
            f"Convert the inputs with .to(torch.{name}), or the model with .float().",
        )
    to = ".float()" if name == "float32" else f".to(torch.{name})"
    return f"{name}, as its weights", f"Convert the inputs with {to}: they are {theirs}."


def _whole_numbers(failure: Failure) -> Words | None:
    if not re.search(r"not implemented for '(Long|Int|Byte|Bool|Char)'", failure.error):
        return None
    return "floating-point numbers", "Convert the tensor with .float()."


def _device(failure: Failure) -> Words | None:
    if "same device" not in failure.error and "expected device" not in failure.error:
        return None
    device = next((p.device for p in failure.model.parameters()), "cpu")
    return f"all tensors on one device; the model is on {device}", (
        f'Move the batch with .to("{device}"); a tensor made in forward needs device=x.device, and one '
        "kept by the model register_buffer."
    )


def _arguments(failure: Failure) -> Words | None:
    if failure.kind != "TypeError" or "forward()" not in failure.error:
        return None
    found = numbers(
        r"takes (?:from \d+ to )?(\d+) positional arguments? but (\d+) (?:was|were) given", failure
    )
    if found:  # self is one of them
        return f"{int(found[0]) - 1} inputs", (
            f"It was called with {int(found[1]) - 1}: change forward, or what it is called with. In a batch "
            "of several tensors only the last is the target."
        )
    found = numbers(r"missing \d+ required positional arguments?: (.*)", failure)
    if found:
        return f"the inputs {found[0]}, too", "Pass them: a dict batch has one entry for each, by its name."
    found = numbers(r"unexpected keyword argument '(\w+)'", failure)
    return ("no such input", f"Leave out {found[0]}, or add it to forward.") if found else None


def _no_forward(failure: Failure) -> Words | None:
    if failure.kind != "NotImplementedError" or "forward" not in failure.error:
        return None
    name = type(failure.module or failure.model).__name__
    if isinstance(failure.module, (nn.ModuleList, nn.ModuleDict)):
        return (
            "a loop over its modules",
            f"{name} is only a list: call its modules one by one, or use nn.Sequential.",
        )
    return (
        "a method forward",
        f"Write {name}.forward(self, x); is it misspelled, or indented into another method?",
    )


def _attribute(failure: Failure) -> Words | None:
    found = numbers(r"'(\w+)' object has no attribute '(\w+)'", failure)
    if found is None or failure.module is None:
        return None
    if found[0] == "tuple":
        return "one tensor", "A module returned a tuple, as recurrent layers do: take its first part."
    if found[0] != type(failure.module).__name__:
        return None
    near = difflib.get_close_matches(found[1], [*failure.module._modules, *vars(failure.module)], n=1)
    hint = f" Did you mean self.{near[0]}?" if near else ""
    return f"self.{found[1]}", f"It is not set in __init__.{hint}"


RULES: tuple[Rule, ...] = (
    _device,
    _dtype,
    _whole_numbers,
    _not_a_tensor,
    _arguments,
    _no_forward,
    _attribute,
)
"""In the order in which they are asked."""
