"""Recurrent layers: a fast one that ignores padding, and the same arithmetic step by step for inspection.

torch handles padding with packed sequences, which take three times as long on a CPU. Here padding is at the
end, so the forward direction reaches it only after the content, and the backward direction reads each
sequence reversed within its own length. Both then run on torch's fused kernels.

Shapes: B batch, T steps, C input features, H hidden_size, D directions (1 or 2).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pellucid.nn.names import lookup
from pellucid.nn.old_names import rename

State = Tensor | tuple[Tensor, Tensor]
"""The state carried from step to step, as in torch: h (1, B, H), or (h, c) for an LSTM."""

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
"""torch modules by the name of the cell."""


class RecurrentLayer(nn.Module):
    """A recurrent layer with one or two directions.

    Args:
        cell: rnn (Elman 1990, tanh), lstm (Hochreiter and Schmidhuber 1997) or gru (Cho et al. 2014).
        input_size: C.
        hidden_size: H.
        bidirectional: whether a second RNN reads from the end to the beginning (Schuster and Paliwal
            1997).

    Attributes:
        forward_rnn: the torch module that reads from the beginning to the end.
        backward_rnn: the one that reads from the end to the beginning, or None.
        explicit: False runs torch's kernels; True runs `unroll` and stores what it computes in `gates`.
        gates: name -> (B, T, H), from the last explicit pass; names start with `forward.` or `backward.`.
    """

    def __init__(self, cell: str, input_size: int, hidden_size: int, *, bidirectional: bool = False):
        super().__init__()
        engine = lookup("cell", cell, CELLS)
        self.forward_rnn = engine(input_size, hidden_size, batch_first=True)
        self.backward_rnn = engine(input_size, hidden_size, batch_first=True) if bidirectional else None
        self.explicit = False
        self.gates: dict[str, Tensor] = {}
        for direction in (self.forward_rnn, self.backward_rnn):
            if direction is not None:
                _init(direction)
        self.register_load_state_dict_pre_hook(_rename_old_weights)

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        lengths: Int[Tensor, "B"] | None = None,
        state: State | None = None,
    ) -> tuple[Float[Tensor, "B T DH"], State]:
        """Read sequences.

        Args:
            x: the sequences.
            lengths: steps of content in each sequence; None if there is no padding. Outputs beyond them are
                undefined.
            state: initial state of the forward direction; zeros by default.

        Returns:
            The outputs of the directions at every step, concatenated, and the last state of the forward
            direction.
        """
        outputs, state = self._run("forward", self.forward_rnn, x, state)
        if self.backward_rnn is None:
            return outputs, state
        backward, _ = self._run("backward", self.backward_rnn, reverse(x, lengths), None)
        if self.explicit:
            gates = {n: reverse(g, lengths) for n, g in self.gates.items() if n.startswith("backward.")}
            self.gates.update(gates)
        return torch.cat([outputs, reverse(backward, lengths)], dim=2), state

    def _run(self, name: str, engine: nn.RNNBase, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        if not self.explicit:
            return engine(x, state)
        gates, state = unroll(engine, x, state)
        self.gates.update({f"{name}.{gate}": values for gate, values in gates.items()})
        return gates["hidden"], state


def reverse(x: Float[Tensor, "B T C"], lengths: Int[Tensor, "B"] | None) -> Float[Tensor, "B T C"]:
    """Reverse each sequence within its length; padding stays at the end.

    Example:
        >>> x = torch.tensor([[1.0, 2.0, 3.0, 0.0]])[:, :, None]
        >>> reverse(x, torch.tensor([3])).flatten().tolist()
        [3.0, 2.0, 1.0, 0.0]
    """
    if lengths is None:
        return x.flip(1)
    steps = torch.arange(x.shape[1], device=x.device)  # (T,)
    ends = lengths[:, None]
    source = torch.where(steps < ends, ends - 1 - steps, steps)  # (B, T)
    return x[torch.arange(len(x), device=x.device)[:, None], source]


def _rename_old_weights(layer: nn.Module, tensors: dict[str, Tensor], prefix: str, *_: object) -> None:
    names = {f"{prefix}{name}" for name in layer.state_dict()}
    tensors_today = rename(tensors, names)
    tensors.clear()
    tensors.update(tensors_today)


@torch.no_grad()
def _init(engine: nn.RNNBase) -> None:
    """Initialize the weights.

    Input weights after Glorot and Bengio (2010), recurrent weights orthogonal (Saxe et al. 2014), biases 0,
    except for an LSTM's forget gate: 1, so that it starts by remembering (Jozefowicz et al. 2015).
    """
    size = engine.hidden_size
    from_input, from_hidden, bias_input, bias_hidden = engine.all_weights[0]
    for gate in range(len(bias_input) // size):
        rows = slice(gate * size, (gate + 1) * size)
        nn.init.xavier_uniform_(from_input[rows])
        nn.init.orthogonal_(from_hidden[rows])
    nn.init.zeros_(bias_input)
    nn.init.zeros_(bias_hidden)
    if isinstance(engine, nn.LSTM):
        bias_input[size : 2 * size] = 1.0


class LockedDropout(nn.Module):
    """Dropout with one mask for all steps of a sequence (Gal and Ghahramani 2016).

    With a new mask at every step, a recurrent layer would accumulate the noise over the sequence.

    Args:
        p: probability of zeroing a feature in training, 0..1.
    """

    def __init__(self, p: float):
        super().__init__()
        self.dropout = nn.Dropout(p)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        if not self.training or not self.dropout.p:
            return x
        return x * self.dropout(x.new_ones(len(x), 1, x.shape[2]))


# ---- the arithmetic, step by step ---------------------------------------------------------------


def rnn_step(from_input: Tensor, from_hidden: Tensor, _: Tensor) -> dict[str, Tensor]:
    """h' = tanh(W x + b + U h + d)."""
    return {"hidden": torch.tanh(from_input + from_hidden)}


def lstm_step(from_input: Tensor, from_hidden: Tensor, carried: Tensor) -> dict[str, Tensor]:
    """c' = forget * c + input * candidate, h' = output * tanh(c'); gates are sigmoids, candidate a tanh.

    Args:
        from_input: W x + b, (B, 4H).
        from_hidden: U h + d, (B, 4H).
        carried: c, (B, H).
    """
    into, forget, candidate, out = (from_input + from_hidden).chunk(4, dim=1)
    gates = {"input": into.sigmoid(), "forget": forget.sigmoid(), "output": out.sigmoid()}
    gates["candidate"] = candidate.tanh()
    gates["cell"] = gates["forget"] * carried + gates["input"] * gates["candidate"]
    gates["hidden"] = gates["output"] * gates["cell"].tanh()
    return gates


def gru_step(from_input: Tensor, from_hidden: Tensor, carried: Tensor) -> dict[str, Tensor]:
    """h' = (1 - update) * candidate + update * h, candidate = tanh(W x + b + reset * (U h + d)).

    Args:
        from_input: W x + b, (B, 3H).
        from_hidden: U h + d, (B, 3H).
        carried: h, (B, H).
    """
    reset_in, update_in, candidate_in = from_input.chunk(3, dim=1)
    reset_h, update_h, candidate_h = from_hidden.chunk(3, dim=1)
    gates = {"reset": (reset_in + reset_h).sigmoid(), "update": (update_in + update_h).sigmoid()}
    gates["candidate"] = (candidate_in + gates["reset"] * candidate_h).tanh()
    gates["hidden"] = (1 - gates["update"]) * gates["candidate"] + gates["update"] * carried
    return gates


STEPS: dict[type[nn.RNNBase], Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]] = {
    nn.RNN: rnn_step,
    nn.LSTM: lstm_step,
    nn.GRU: gru_step,
}
"""One step of each module: (W x + b, U h + d, carried state) -> everything it computes, by name."""


def unroll(
    engine: nn.RNNBase, x: Float[Tensor, "B T C"], state: State | None = None
) -> tuple[dict[str, Float[Tensor, "B T H"]], State]:
    """Run an RNN of one layer and one direction step by step, and return everything it computes.

    Args:
        engine: an `nn.RNN`, `nn.LSTM` or `nn.GRU`; its weights are used.
        x: the sequences.
        state: initial state; zeros by default.

    Returns:
        The values of every gate at every step, by name (`hidden` is the output), and the last state.
    """
    step = STEPS[type(engine)]
    lstm = isinstance(engine, nn.LSTM)
    if state is None:
        zeros = x.new_zeros(1, len(x), engine.hidden_size)
        state = (zeros, zeros) if lstm else zeros
    hidden, carried = (state[0][0], state[1][0]) if lstm else (state[0], state[0])  # (B, H)
    w, u, b, d = engine.all_weights[0]
    trace: dict[str, list[Tensor]] = {}
    for now in x.unbind(1):  # (B, C)
        from_input, from_hidden = now @ w.T + b, hidden @ u.T + d
        gates = step(from_input, from_hidden, carried)
        hidden, carried = gates["hidden"], gates["cell" if lstm else "hidden"]
        for name, values in gates.items():
            trace.setdefault(name, []).append(values)
    last = (hidden[None], carried[None]) if lstm else hidden[None]
    return {name: torch.stack(values, dim=1) for name, values in trace.items()}, last
