"""A trace: what every call of a module received, returned and cost, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pellucid.errors import UnknownNameError, UsageError
from pellucid.lens.capture import Call
from pellucid.lens.neuron import Neuron, neuron
from pellucid.lens.tensors import TensorRecord
from pellucid.record.files import finite

VERSION = 1
"""Of the form of `Trace.to_dict()`."""


@dataclass
class CallRecord:
    """One call of a module.

    Attributes:
        name: the name of the module in `model.named_modules()`; "" for the model itself.
        type: its class.
        number: which call of this module it is, from 0.
        depth: number of modules that it is inside of.
        finished: whether it returned.
        inputs, outputs: the tensors it received and returned.
        gradients: of the loss with respect to each tensor of `outputs`; None where it has none.
        parameters, trainable: numbers in its own parameters, and in those that learn.
        flops: floating-point operations of its forward pass, with those inside of it; None if not counted.
        units: features, channels or hidden units of its first output.
        dead_units: those that are 0 in the whole batch.
        weight_norm, gradient_norm: of its own parameters that learn; None without.
        gradient_ratio: gradient_norm / weight_norm.
        update_ratio: lr * gradient_norm / weight_norm, a plain step relative to the weights; None where no
            learning rate is known.
        shared_with: other names of the same module, and names of modules with the same parameter.
        source: "" if its calls and those inside of it were seen, else why not.
    """

    name: str
    type: str
    number: int = 0
    depth: int = 0
    finished: bool = True
    inputs: list[TensorRecord] = field(default_factory=list)
    outputs: list[TensorRecord] = field(default_factory=list)
    gradients: list[TensorRecord | None] = field(default_factory=list)
    parameters: int = 0
    trainable: int = 0
    flops: int | None = None
    units: int | None = None
    dead_units: int | None = None
    weight_norm: float | None = None
    gradient_norm: float | None = None
    gradient_ratio: float | None = None
    update_ratio: float | None = None
    shared_with: list[str] = field(default_factory=list)
    source: str = ""
    _again: Callable[[str, int], Call] | None = field(default=None, repr=False, compare=False)

    @property
    def activation(self) -> TensorRecord | None:
        """The first floating-point tensor of its outputs."""
        return next((output for output in self.outputs if "float" in output.dtype), None)

    @property
    def gradient(self) -> TensorRecord | None:
        """Of the first output that has one."""
        return next((gradient for gradient in self.gradients if gradient is not None), None)

    def values(self) -> Call:
        """Compute it again, with the same random numbers, and return its tensors.

        Returns:
            A `Call` with `args`, `kwargs`, `output` and `gradient`, in the structures that the module uses.

        Raises:
            UsageError: the weights have changed since.
        """
        assert self._again is not None
        return self._again(self.name, self.number)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        values = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        values["inputs"] = [tensor.to_dict() for tensor in self.inputs]
        values["outputs"] = [tensor.to_dict() for tensor in self.outputs]
        values["gradients"] = [None if tensor is None else tensor.to_dict() for tensor in self.gradients]
        return values


@dataclass
class Crash:
    """Where and why a computation failed.

    Attributes:
        stage: "forward", "loss" or "backward".
        where: the name of the innermost module that raised; "loss" for the loss; in the backward pass the
            module whose output's gradient arrived last. "" for the model's own `forward`.
        type: the class of that module, or of the error.
        error: type and message of the error, as PyTorch words it.
        received: what the module received, in words.
        expected: what it expects, in words; "" where that is not known.
        fix: the usual fix, in a sentence; "" where none is known.
        line: file, number and text of the last line of the user's code; "" where there is none.
    """

    stage: str
    where: str
    type: str
    error: str
    received: str = ""
    expected: str = ""
    fix: str = ""
    line: str = ""

    @property
    def seen(self) -> str:
        """Where it fails, what was received and what is expected, in words, without the fix."""
        named = f"{self.where} ({self.type})" if self.where not in ("", self.type) else self.type
        where = "the loss" if self.stage == "loss" else named
        said = f"The {self.stage} pass fails in {where}." if self.stage != "loss" else "The loss fails."
        said += f" It received {self.received}" if self.received else ""
        said += f", and expects {self.expected}." if self.expected else "." if self.received else ""
        return said

    def __str__(self) -> str:
        return f"{self.seen} {self.fix}".strip()


@dataclass
class Trace:
    """What happened in one forward and backward pass.

    Attributes:
        model: the class of the model.
        calls: every call of a module, in the order in which they began.
        training: whether the model was in training mode.
        batch: the batch, in words.
        loss: its value; None where there was none.
        loss_name: which loss, and why.
        parameters, trainable: numbers in all parameters, each counted once, and in those that learn.
        flops: of the forward pass; None if not counted.
        not_called: names of modules that were not called.
        notes: what could not be seen, and why.
        crash: where it failed; None if it did not.
        step: the update after which the weights are those of the run; None for a model of your own.
    """

    model: str
    calls: list[CallRecord] = field(default_factory=list)
    training: bool = False
    batch: str = ""
    loss: float | None = None
    loss_name: str = ""
    parameters: int = 0
    trainable: int = 0
    flops: int | None = None
    not_called: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    crash: Crash | None = None
    step: int | None = None
    _all_again: Callable[[], list[Call]] | None = field(default=None, repr=False, compare=False)

    def __getitem__(self, name: str) -> CallRecord:
        """Return the first call of a module; `all` returns every one.

        Raises:
            UnknownNameError: it was not called.
        """
        found = self.all(name)
        if not found:
            raise UnknownNameError("called module", name, {call.name for call in self.calls if call.name})
        return found[0]

    def __iter__(self) -> Iterator[CallRecord]:
        return iter(self.calls)

    def __len__(self) -> int:
        return len(self.calls)

    def all(self, name: str) -> list[CallRecord]:
        """Return all calls of a module; [] where it was not called."""
        return [call for call in self.calls if call.name == name]

    def neuron(
        self, name: str, unit: int, row: int = 0, position: Sequence[int] | int = (), number: int = 0
    ) -> Neuron:
        """Return what one unit of a layer computed: inputs x weights + bias -> activation -> output.

        Args:
            name: a linear layer or a convolution.
            unit: which of its features or channels.
            row: of the batch.
            position: the place on the other axes, such as (y, x) of an image; () for the first.
            number: which call of the layer, from 0.

        Raises:
            UnknownNameError, UsageError: there is no such layer, unit, row or position.
        """
        if not 0 <= number < len(self.all(self[name].name)):
            raise UsageError(f"{name} was called {len(self.all(name))} times; number= counts from 0.")
        assert self._all_again is not None
        calls = self._all_again()
        place = next(i for i, call in enumerate(calls) if call.name == name and call.number == number)
        return neuron(calls[place], calls[place + 1 :], unit, row, position)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, with the version of their form; None for numbers that are not finite."""
        values = {"version": VERSION, **{k: v for k, v in vars(self).items() if not k.startswith("_")}}
        values["calls"] = [call.to_dict() for call in self.calls]
        values["crash"] = None if self.crash is None else dict(vars(self.crash))
        return finite(values)

    def __str__(self) -> str:
        from pellucid.lens.show import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from pellucid.lens.show import as_html

        return as_html(self)
