"""A trace as text: the crash first if there was one, then a line for every call."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pellucid.terminal import printed

if TYPE_CHECKING:
    from pellucid.lens.trace import CallRecord, Crash, Trace

WIDTH = 120
"""Characters in a line of text that is not for a terminal."""
WARNING = "#D55E00"
COLUMNS = ("module", "output", "parameters", "FLOPs", "mean", "std", "zero", "gradient", "update")
MEANINGS = (
    "parameters: its own. FLOPs: of the forward pass. mean, std, zero: of the output, zero as the share of "
    "exact "
    "zeros, with units that are zero in the whole batch. gradient: norm of that of the output. update: norm "
    "of the gradient (times lr where known) relative to that of the weights."
)


def show(trace: Trace, console: Console) -> None:
    """Print a trace."""
    loss = "" if trace.loss is None else f" Loss {trace.loss:.6g} ({trace.loss_name})."
    where = "" if trace.step is None else f" after step {trace.step:,}"
    mode = "training" if trace.training else "evaluation"
    console.print(
        f"{trace.model}{where}: {trace.parameters:,} parameters, {trace.trainable:,} of them trainable"
        f"{_flops_of(trace)}. Batch {trace.batch}, {mode} mode.{loss}"
    )
    if trace.crash is not None:
        console.print(crash_text(trace.crash))
    if trace.calls:
        console.print(table(trace, console.width))
        console.print(Text(MEANINGS, style="dim"))
    if idle := [name for name in trace.not_called if name]:
        console.print(f"Not called: {', '.join(idle)}.")
    for note in trace.notes:
        console.print(note)


def as_text(trace: Trace, width: int = WIDTH) -> str:
    """Return a trace as plain text."""
    return printed(lambda console: show(trace, console), width)


def as_html(trace: Trace) -> str:
    """Return a trace for a notebook."""
    return f"<pre>{html.escape(as_text(trace))}</pre>"


def crash_text(crash: Crash) -> Text:
    """Return where and why a computation failed, and the error in PyTorch's own words."""
    text = Text()
    text.append("Crash: ", style=f"bold {WARNING}")
    text.append(f"{crash}\n")
    if crash.line:
        text.append(f"{crash.line}\n")
    text.append(crash.error.splitlines()[0][:300], style="dim")
    return text


def table(trace: Trace, width: int = WIDTH) -> Table:
    """Return one row for every call, with as many columns as fit."""
    rows = [_cells(call, trace) for call in trace.calls]
    filled = [any(row[place] for row in rows) for place in range(len(COLUMNS))]
    columns = [place for place in range(len(COLUMNS)) if filled[place]]
    while len(columns) > 2 and _needed(rows, columns) > width:
        columns.pop()
    made = Table(box=None, pad_edge=False, header_style="bold")
    for place in columns:
        made.add_column(COLUMNS[place], justify="left" if place < 2 else "right", no_wrap=place > 0)
    for call, row in zip(trace.calls, rows, strict=True):
        made.add_row(*(row[place] for place in columns), style="" if call.finished else WARNING)
    return made


def _needed(rows: list[list[str]], columns: list[int]) -> int:
    widest = [max(len(COLUMNS[place]), *(len(row[place]) for row in rows)) for place in columns]
    return sum(widest) + 2 * (len(columns) - 1)


def _cells(call: CallRecord, trace: Trace) -> list[str]:
    again = f" (call {call.number + 1})" if call.number else ""
    name = f"{'  ' * call.depth}{call.name.rpartition('.')[2] or trace.model} {call.type}{again}"
    if not call.name:
        name = call.type + again
    output = ", ".join(str(tensor.shape) for tensor in call.outputs[:3])
    if not call.finished:
        return [name, "did not return", *[""] * (len(COLUMNS) - 2)]
    found, gradient = call.activation, call.gradient
    ratio = call.update_ratio if call.update_ratio is not None else call.gradient_ratio
    return [
        name,
        output + (", ..." if len(call.outputs) > 3 else ""),
        f"{call.parameters:,}" if call.parameters else "",
        _short(call.flops) if call.flops else "",
        *(["", ""] if found is None else [_number(found.mean), _number(found.std)]),
        _zeros(call),
        _number(gradient.norm) if gradient else "",
        _number(ratio),
    ]


def _zeros(call: CallRecord) -> str:
    found = call.activation
    if found is None or found.zeros is None:
        return ""
    if found.non_finite:
        return f"{100 * found.non_finite:.3g} % not finite"
    dead = f", {call.dead_units} of {call.units}" if call.dead_units else ""
    return f"{100 * found.zeros:.0f} %{dead}" if found.zeros else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _short(count: int) -> str:
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def _flops_of(trace: Trace) -> str:
    if not trace.flops:
        return ""
    count = _short(trace.flops)
    return f", {count}{'' if count[-1].isalpha() else ' '}FLOP forward"
