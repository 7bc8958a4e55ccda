"""Gates and states of recurrent layers over time, recomputed step by step from their weights.

Of every `nn.LSTM`, `nn.GRU`, `nn.RNN` and of their cells in a model: all layers, both directions. What is
recomputed is compared with what the module itself returned.

Shapes: B rows, T steps, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from pellucid.errors import UsageError
from pellucid.lens.capture import Call, capture
from pellucid.lens.views.catalogue import View
from pellucid.lens.views.seen import Panel, Rows, Seen
from pellucid.lens.views.subject import Subject, array, choose_layer, layers_of
from pellucid.nn.recurrent import RecurrentLayer, gru_step, lstm_step, reverse, rnn_step

CELLS = (nn.LSTMCell, nn.GRUCell, nn.RNNCell)
WHOLE = (nn.LSTM, nn.GRU, nn.RNN)
SHOWN = 12
"""Most hidden units that are drawn."""
Step = Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class Direction:
    """One layer in one direction, for one row.

    Attributes:
        name: the module and, where it has several, its layer and direction, e.g. "lstm layer 1 backward".
        cell: "LSTM", "GRU" or "RNN".
        values: (T, H) by name, in the order of time: "input", "forget", "output" gates, "candidate", "cell"
            and "hidden" of an LSTM (i, f, o, g, c, h); "reset", "update", "candidate" and "hidden" of a GRU
            (r, z, n, h); "hidden" of an RNN.
        error: the largest |recomputed - returned| of the module's output, in all rows.
    """

    name: str
    cell: str
    values: dict[str, np.ndarray]
    error: float


@dataclass(frozen=True)
class Gates(Seen):
    """Gates and states of the recurrent layers of a model, for one row.

    Attributes:
        row: of the batch.
        directions: one for each layer and direction, in the order in which they are computed.
        steps: what stands at each of the T steps: words, or numbers.
    """

    view = "gates"
    row: int
    directions: list[Direction]
    steps: list[str]

    @property
    def error(self) -> float:
        """The largest difference from what the modules returned."""
        return max(one.error for one in self.directions)

    @property
    def headline(self) -> str:
        names = ", ".join(f"{one.name} ({one.cell})" for one in self.directions)
        return f"Row {self.row}: {names}. Recomputed to within {self.error:.2g} of what the layers returned"

    def panels(self) -> list[Panel | Rows]:
        """Return a map for each gate of the first direction, units down and time across; a mean for all."""
        first = self.directions[0]
        made: list[Panel | Rows] = []
        for gate, values in first.values.items():
            signed = gate in ("candidate", "cell", "hidden")
            title = f"{first.name}, {gate}: units down, time across"
            made.append(Panel(title, values.T[:SHOWN], "signed" if signed else "magnitude", square=False))
        cells = [
            [one.name, gate, float(values.mean()), float(values.min()), float(values.max())]
            for one in self.directions
            for gate, values in one.values.items()
        ]
        return [*made, Rows("over time and units", ["layer", "gate", "mean", "min", "max"], cells)]


def gates(subject: Subject, layer: str | None = None, row: int = 0) -> Gates:
    """Return gates and states of recurrent layers over time.

    Args:
        subject: a model and its batch.
        layer: the name of a recurrent module; None: all.
        row: of the batch.
    """
    row = subject.check_row(row)
    known = layers_of(subject.model, (*WHOLE, *CELLS))
    chosen = known if layer is None else {layer: known[choose_layer(layer, known)]}
    outer = layers_of(subject.model, (RecurrentLayer,))
    with subject.computing(), capture(subject.model, [*chosen, *outer], inputs=True) as taken:
        subject.forward()
        found: list[Direction] = []
        for name, module in chosen.items():
            calls = [call for call in taken.of(name) if call.finished]
            if calls and isinstance(module, WHOLE):
                found += _of_module(name, module, calls[-1], row)
            elif calls:
                found.append(_of_cell(name, module, calls, row))
    if not found:
        raise UsageError(f"{', '.join(chosen)}: not called while the batch was computed.")
    length = max((len(next(iter(one.values.values()))) for one in found), default=0)
    return Gates(row, found, subject.labels(length, row))


# ---- whole layers -----------------------------------------------------------------------------------


def _of_module(name: str, module: Any, call: Call, row: int) -> list[Direction]:
    x, lengths, states = _arguments(module, call)
    sides = 2 if module.bidirectional else 1
    made, errors = [], []
    for number in range(module.num_layers):
        outputs = []
        for side in range(sides):
            place = number * sides + side
            start = tuple(state[place] for state in states) if states else _zeros(module, x)
            turned = reverse(x, lengths) if side else x
            values = _unrolled(module, _weights(module, number, side), turned, start)
            if side:
                values = {gate: reverse(part, lengths) for gate, part in values.items()}
            outputs.append(values["hidden"])
            made.append((_named(name, module, number, side), values))
        x = torch.cat(outputs, 2)
        errors.append(0.0)
    error = _difference(x, _returned(module, call), lengths)
    turn = _turned(module, call)
    cell = type(module).__name__
    return [
        Direction(title, cell, {gate: _row(turn(part), row, lengths) for gate, part in values.items()}, error)
        for title, values in made
    ]


def _arguments(module: Any, call: Call) -> tuple[Tensor, Tensor | None, tuple[Tensor, ...]]:
    """Return the input (B, T, C), the lengths of its rows, and the states (layers, B, H)."""
    given = call.args[0] if call.args else call.kwargs["input"]
    state = call.args[1] if len(call.args) > 1 else call.kwargs.get("hx")
    states = () if state is None else (state,) if isinstance(state, Tensor) else tuple(state)
    if not isinstance(given, Tensor):
        packed = PackedSequence(*given)
        x, lengths = pad_packed_sequence(packed, batch_first=True)
        return x, lengths.to(x.device), states
    if given.ndim == 2:
        return given[None], None, tuple(part[:, None] for part in states)
    return (given if module.batch_first else given.transpose(0, 1)), None, states


def _returned(module: Any, call: Call) -> Tensor:
    output = call.output[0]
    if not isinstance(output, Tensor):
        return pad_packed_sequence(PackedSequence(*output), batch_first=True)[0]
    if output.ndim == 2:
        return output[None]
    return output if module.batch_first else output.transpose(0, 1)


def _zeros(module: Any, x: Tensor) -> tuple[Tensor, ...]:
    hidden = x.new_zeros(len(x), getattr(module, "proj_size", 0) or module.hidden_size)
    return (hidden, x.new_zeros(len(x), module.hidden_size)) if isinstance(module, nn.LSTM) else (hidden,)


def _weights(module: Any, number: int, side: int) -> dict[str, Tensor | None]:
    end = f"l{number}{'_reverse' if side else ''}"
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    return {name: getattr(module, f"{name}_{end}", None) for name in names}


def _unrolled(
    module: Any, weights: dict[str, Any], x: Tensor, start: tuple[Tensor, ...]
) -> dict[str, Tensor]:
    """Return the values of every gate, (B, T, H)."""
    hidden, carried = start[0], start[-1]
    taken: dict[str, list[Tensor]] = {}
    for now in x.unbind(1):
        values = _step(module, weights, now, hidden, carried)
        hidden = values["hidden"]
        carried = values.get("cell", hidden)
        for gate, part in values.items():
            taken.setdefault(gate, []).append(part)
    return {gate: torch.stack(parts, 1) for gate, parts in taken.items()}


def _step(
    module: Any, weights: dict[str, Any], x: Tensor, hidden: Tensor, carried: Tensor
) -> dict[str, Tensor]:
    from_input = nn.functional.linear(x, weights["weight_ih"], weights["bias_ih"])
    from_hidden = nn.functional.linear(hidden, weights["weight_hh"], weights["bias_hh"])
    if isinstance(module, (nn.RNN, nn.RNNCell)) and module.nonlinearity == "relu":
        return {"hidden": (from_input + from_hidden).relu()}
    values = _steps_of(module)(from_input, from_hidden, carried)
    if weights.get("weight_hr") is not None:
        values["hidden"] = values["hidden"] @ weights["weight_hr"].T
    return values


def _steps_of(module: nn.Module) -> Step:
    if isinstance(module, (nn.LSTM, nn.LSTMCell)):
        return lstm_step
    return gru_step if isinstance(module, (nn.GRU, nn.GRUCell)) else rnn_step


def _turned(module: nn.Module, call: Call) -> Callable[[Tensor], Tensor]:
    """Return what brings values into the order of time, of a module that reads rows that were reversed."""
    layer = call.parent.module if call.parent is not None else None
    if not isinstance(layer, RecurrentLayer) or layer.backward_rnn is not module:
        return lambda part: part
    assert call.parent is not None
    given = [*call.parent.args, call.parent.kwargs.get("lengths")]
    lengths = next((part for part in given[1:] if isinstance(part, Tensor) and part.ndim == 1), None)
    return lambda part: reverse(part, lengths)


def _named(name: str, module: Any, number: int, side: int) -> str:
    layer = f" layer {number}" if module.num_layers > 1 else ""
    return f"{name}{layer}{f' {SIDES[side]}' if module.bidirectional else ''}".strip()


SIDES = ("forward", "backward")


def _difference(made: Tensor, returned: Tensor, lengths: Tensor | None) -> float:
    different = (made - returned).abs()
    if lengths is not None:
        steps = torch.arange(made.shape[1], device=made.device)
        different = different * (steps < lengths[:, None])[:, :, None]
    return different.max().item()


def _row(part: Tensor, row: int, lengths: Tensor | None) -> np.ndarray:
    one = part[min(row, len(part) - 1)]  # a sequence without rows is the only one
    return array(one if lengths is None else one[: int(lengths[row])])


# ---- cells ------------------------------------------------------------------------------------------


def _of_cell(name: str, module: Any, calls: list[Call], row: int) -> Direction:
    """Return what a cell computed in all its calls, each of which is a step."""
    weights = {part: getattr(module, part, None) for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    taken: dict[str, list[Tensor]] = {}
    error = 0.0
    for call in calls:
        x = call.args[0] if call.args else call.kwargs["input"]
        state = call.args[1] if len(call.args) > 1 else call.kwargs.get("hx")
        zeros = x.new_zeros(*x.shape[:-1], module.hidden_size)
        hidden, carried = (
            (zeros, zeros) if state is None else (state, state) if isinstance(state, Tensor) else state
        )
        rows = (part[None] if part.ndim == 1 else part for part in (x, hidden, carried))
        values = _step(module, weights, *rows)
        returned = call.output if isinstance(call.output, Tensor) else call.output[0]
        error = max(error, (values["hidden"] - returned).abs().max().item())
        for gate, part in values.items():
            taken.setdefault(gate, []).append(part[min(row, len(part) - 1)])
    made = {gate: array(torch.stack(parts)) for gate, parts in taken.items()}
    return Direction(name, type(module).__name__.removesuffix("Cell"), made, error)


def _unfit(subject: Subject) -> str:
    return "" if layers_of(subject.model, (*WHOLE, *CELLS)) else "has no recurrent layer"


VIEW = View("gates", "gates and states of recurrent layers over time", _unfit, gates)
