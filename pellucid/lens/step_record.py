"""The record of one training step, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from pellucid.errors import UsageError
from pellucid.lens.differences import Difference
from pellucid.lens.tensors import TensorRecord
from pellucid.record.files import finite

VERSION = 1
"""Of the form of `Step.to_dict()`."""
STAGES = ("zero_grad", "forward", "loss", "backward", "clip", "step")


@dataclass(frozen=True)
class ForwardStage:
    """What a module returned: its name and class, the number of its call, and its first tensor."""

    name: str
    type: str
    number: int
    output: TensorRecord | None


@dataclass(frozen=True)
class BackwardStage:
    """What a module made of the gradient of its output, in the order of the backward pass.

    Attributes:
        name, type, number: the module, and which call of it.
        upstream: the gradient of the loss with respect to its output.
        rule: the formula of its derivative; "" where it is not known here.
        derivative: dy/dx by the formula, where each output depends on one input.
        inputs: dL/dx = upstream x local derivative, by the formula.
        error: largest difference of the formula's dL/dx from autograd's, relative to the largest value; None
            where there is no formula.
    """

    name: str
    type: str
    number: int
    upstream: TensorRecord | None
    rule: str = ""
    derivative: TensorRecord | None = None
    inputs: TensorRecord | None = None
    error: float | None = None


@dataclass(frozen=True)
class Entry:
    """One number of a parameter: before the step, its gradient, the optimizer's state, and after."""

    index: tuple[int, ...]
    before: float
    gradient: float
    state_before: dict[str, float]
    state_after: dict[str, float]
    after: float


@dataclass(frozen=True)
class ParameterStep:
    """What a step did to a parameter.

    Attributes:
        name, before, after: the parameter.
        gradient: as the optimizer saw it; None where the loss does not depend on it.
        left_over: norm of a gradient that was there before zero_grad; 0 without.
        state_before, state_after: the optimizer's own tensors, e.g. "exp_avg", and numbers, e.g. "step".
        formula_error: largest difference of the parameter after the step from the optimizer's formula,
            relative to the largest change, beyond the rounding of the weights; None where it is not known.
        gradient_error: largest difference of its gradient from the sum of the local formulas, relative to the
            largest value; None where a layer that uses it has no formula.
        entries: some of its numbers.
        differences: entries of its gradient next to central finite differences in float64.
    """

    name: str
    before: TensorRecord
    after: TensorRecord
    gradient: TensorRecord | None
    left_over: float
    state_before: dict[str, Any]
    state_after: dict[str, Any]
    formula_error: float | None
    gradient_error: float | None
    entries: list[Entry]
    differences: list[Difference]


@dataclass
class Step:
    """One training step.

    Attributes:
        optimizer, formula, settings: its class, its formula in words ("" where not known), and its numbers.
        batch: in words.
        loss, loss_name: before the step.
        loss_after: of the same batch, after it.
        forward, backward, parameters: what happened, by call and by parameter.
        gradient_norm: of all gradients, before clipping; `clipped` by which factor, 1.0 if not.
        after: the copy of the model, after the step; not part of `to_dict`.
    """

    optimizer: str
    formula: str
    settings: dict[str, Any]
    batch: str
    loss: float
    loss_name: str
    loss_after: float
    forward: list[ForwardStage]
    backward: list[BackwardStage]
    parameters: list[ParameterStep]
    gradient_norm: float
    clipped: float = 1.0
    after: nn.Module = field(default_factory=nn.Module, repr=False)

    def __getitem__(self, name: str) -> ParameterStep:
        """Return what happened to a parameter."""
        found = next((one for one in self.parameters if one.name == name), None)
        if found is None:
            raise UsageError(f"The step has no parameter {name!r}.")
        return found

    @property
    def largest_error(self) -> float:
        """The largest relative error of a gradient against finite differences in float64; 0.0 without any."""
        return max((one.error for part in self.parameters for one in part.differences), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, with the version of their form; None for numbers that are not finite."""
        values = {name: _plain(value) for name, value in vars(self).items() if name != "after"}
        return finite(
            {"version": VERSION, "stages": list(STAGES), **values, "largest_error": self.largest_error}
        )

    def __str__(self) -> str:
        from pellucid.lens.show_step import as_text

        return as_text(self)


def _plain(value: Any) -> Any:
    if isinstance(value, TensorRecord):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    return {name: _plain(part) for name, part in vars(value).items()} if hasattr(value, "__dict__") else value
