"""A stepped-through training step as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from pellucid.lens.show import WIDTH
from pellucid.terminal import printed

if TYPE_CHECKING:
    from pellucid.lens.step_record import Step


def as_text(step: Step, width: int = WIDTH) -> str:
    """Return a step as plain text, stage by stage."""
    return printed(lambda console: show(step, console), width)


def show(step: Step, console: Console) -> None:
    """Print a step."""
    settings = ", ".join(f"{key} {value}" for key, value in step.settings.items())
    console.print(f"{step.optimizer} ({settings}), batch {step.batch}")
    left = sum(part.left_over**2 for part in step.parameters) ** 0.5
    was = f"removes gradients of norm {left:.4g} of an earlier step" if left else "there was no gradient"
    console.print(f"1 zero_grad: {was}.")
    console.print("2 forward")
    console.print(_forward(step))
    console.print(f"3 loss: {step.loss:.6g} ({step.loss_name})")
    console.print("4 backward: upstream gradient x local derivative, from the last module to the first")
    console.print(_backward(step))
    factor = f", times {step.clipped:.4g}" if step.clipped < 1 else ""
    console.print(f"5 clip: the norm of all gradients is {step.gradient_norm:.6g}{factor}.")
    console.print(f"6 step: {step.formula or 'no formula of this optimizer is known'}")
    console.print(_parameters(step))
    console.print(f"The loss of this batch is {step.loss_after:.6g} after the step.")
    if any(part.differences for part in step.parameters):
        console.print(
            "Gradients differ from central finite differences in float64 by at most "
            f"{step.largest_error:.1e}."
        )


def _table(*columns: str) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        made.add_column(column, justify="right" if place else "left")
    return made


def _forward(step: Step) -> Table:
    made = _table("  module", "output", "mean", "std")
    for call in step.forward:
        found = call.output
        numbers = ("", "", "") if found is None else (str(found.shape), _short(found.mean), _short(found.std))
        made.add_row(f"  {call.name or 'model'} {call.type}", *numbers)
    return made


def _backward(step: Step) -> Table:
    made = _table("  module", "upstream", "local derivative", "dL/dx", "error")
    for call in step.backward:
        made.add_row(
            f"  {call.name or 'model'} {call.type}",
            _short(call.upstream.norm) if call.upstream else "",
            call.rule,
            _short(call.inputs.norm) if call.inputs else "",
            "" if call.error is None else f"{call.error:.0e}",
        )
    return made


def _parameters(step: Step) -> Table:
    made = _table("  parameter", "before", "gradient", "state before", "state after", "after", "numerically")
    for part in step.parameters:
        made.add_row(f"  {part.name} {part.before.shape}", *[""] * 6)
        for entry, one in zip(part.entries, part.differences, strict=True):
            made.add_row(
                f"    {list(entry.index)}",
                _short(entry.before),
                _short(entry.gradient),
                _state(entry.state_before),
                _state(entry.state_after),
                _short(entry.after),
                f"{one.difference:.4g} ({one.error:.0e})",
            )
    return made


def _state(state: dict[str, float]) -> str:
    return ", ".join(f"{NAMES.get(key, key)} {value:.2g}" for key, value in state.items())


NAMES = {"exp_avg": "m", "exp_avg_sq": "v", "step": "t", "momentum_buffer": "m", "square_avg": "v"}
"""The letters of the formulas."""


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
