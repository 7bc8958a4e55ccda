"""Recurrent layers compared with torch's own, with and without padding; pooling; dropout."""

from __future__ import annotations

import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from pellucid.nn import (
    AttentionPool,
    LockedDropout,
    RecurrentLayer,
    concat_pool,
    last_pool,
    max_pool,
    mean_pool,
    unroll,
)
from pellucid.nn.old_names import rename
from pellucid.nn.recurrent import CELLS

B, T, C, H = 4, 6, 5, 3
LENGTHS = torch.tensor([6, 1, 3, 4])
each_cell = pytest.mark.parametrize("cell", CELLS)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer_of(cell: str, bidirectional: bool = True) -> RecurrentLayer:
    torch.manual_seed(0)
    return RecurrentLayer(cell, C, H, bidirectional=bidirectional)


def peer_of(layer: RecurrentLayer, cell: str) -> nn.RNNBase:
    """torch's own layer with two directions and the same weights."""
    peer = CELLS[cell](C, H, batch_first=True, bidirectional=True)
    assert layer.backward_rnn is not None
    backward = {f"{name}_reverse": w for name, w in layer.backward_rnn.state_dict().items()}
    state = layer.forward_rnn.state_dict() | backward
    peer.load_state_dict(state)
    return peer


@each_cell
@pytest.mark.parametrize("explicit", [False, True])
def test_layer_equals_torch_on_packed_sequences(cell: str, explicit: bool) -> None:
    layer = layer_of(cell)
    layer.explicit = explicit
    packed = pack_padded_sequence(noise(B, T, C), LENGTHS, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(peer_of(layer, cell)(packed)[0], batch_first=True)
    checked = jaxtyped(typechecker=beartype)(RecurrentLayer.forward)
    content = torch.arange(T) < LENGTHS[:, None]
    actual, _ = checked(layer, noise(B, T, C), LENGTHS)
    torch.testing.assert_close(actual[content], expected[content], rtol=1e-5, atol=1e-6)


@each_cell
def test_full_sequences_need_no_lengths(cell: str) -> None:
    layer, x = layer_of(cell), noise(B, T, C)
    expected, _ = peer_of(layer, cell)(x)
    torch.testing.assert_close(layer(x)[0], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(layer(x, torch.full((B,), T))[0], expected, rtol=1e-5, atol=1e-6)


@each_cell
def test_unrolled_layer_equals_torch(cell: str) -> None:
    engine = CELLS[cell](C, H, batch_first=True)
    x = noise(B, T, C)
    first, state = unroll(engine, x[:, :2])
    second, last = unroll(engine, x[:, 2:], state)
    expected, expected_last = engine(x)
    hidden = torch.cat([first["hidden"], second["hidden"]], 1)
    torch.testing.assert_close(hidden, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(last, expected_last, rtol=1e-5, atol=1e-6)


def test_gates_are_in_the_order_of_the_steps() -> None:
    layer = layer_of("lstm")
    layer.explicit = True
    y, _ = layer(noise(B, T, C), LENGTHS)
    gates = layer.gates
    assert set(gates) == {
        f"{direction}.{name}"
        for direction in ("forward", "backward")
        for name in ("input", "forget", "output", "candidate", "cell", "hidden")
    }
    torch.testing.assert_close(torch.cat([gates["forward.hidden"], gates["backward.hidden"]], 2), y)
    for direction in ("forward", "backward"):
        hidden = gates[f"{direction}.output"] * gates[f"{direction}.cell"].tanh()
        torch.testing.assert_close(gates[f"{direction}.hidden"], hidden)
    cell, forget = gates["backward.cell"], gates["backward.forget"]
    new = gates["backward.input"] * gates["backward.candidate"]
    torch.testing.assert_close(cell[0, :-1], forget[0, :-1] * cell[0, 1:] + new[0, :-1])


@each_cell
def test_state_continues_a_sequence(cell: str) -> None:
    layer, x = layer_of(cell, bidirectional=False), noise(B, T, C)
    first, state = layer(x[:, :4])
    second, _ = layer(x[:, 4:], state=state)
    torch.testing.assert_close(torch.cat([first, second], 1), layer(x)[0])


def test_forget_gate_starts_open() -> None:
    engine = layer_of("lstm").forward_rnn
    assert engine.bias_ih_l0.tolist() == [0] * H + [1] * H + [0] * 2 * H
    assert not engine.bias_hh_l0.any()
    for square in engine.weight_hh_l0.split(H):
        torch.testing.assert_close(square @ square.T, torch.eye(H), rtol=1e-5, atol=1e-6)


def test_one_mask_for_all_steps_of_a_sequence() -> None:
    torch.manual_seed(0)
    dropout = LockedDropout(0.5)
    y = dropout(torch.ones(50, 8, 40))
    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert 0.4 < y[:, 0].eq(0).float().mean() < 0.6
    assert not torch.equal(y[0], y[1])
    assert torch.equal(dropout.eval()(y), y)


class TestPooling:
    x = noise(3, 4, 2)
    content = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)

    def test_mean(self) -> None:
        pooled = mean_pool(self.x, self.content)
        torch.testing.assert_close(pooled, torch.stack([self.x[0, :3].mean(0), self.x[1, 0], torch.zeros(2)]))

    def test_max(self) -> None:
        pooled = max_pool(self.x - 9, self.content)
        expected = torch.stack([(self.x[0, :3] - 9).amax(0), self.x[1, 0] - 9, torch.zeros(2)])
        torch.testing.assert_close(pooled, expected)

    def test_last(self) -> None:
        pooled = last_pool(self.x, self.content)
        torch.testing.assert_close(pooled, torch.stack([self.x[0, 2], self.x[1, 0], torch.zeros(2)]))
        both = last_pool(self.x, self.content, bidirectional=True)
        torch.testing.assert_close(both[0], torch.stack([self.x[0, 2, 0], self.x[0, 0, 1]]))

    def test_concat(self) -> None:
        pooled = concat_pool(self.x, self.content, bidirectional=True)
        assert pooled.shape == (3, 6)
        torch.testing.assert_close(pooled[0, :2], torch.stack([self.x[0, 2, 0], self.x[0, 0, 1]]))
        torch.testing.assert_close(pooled[0, 2:4], self.x[0, :3].amax(0))
        torch.testing.assert_close(pooled[0, 4:], self.x[0, :3].mean(0))
        assert not pooled[2].any()

    def test_attention(self) -> None:
        pool = AttentionPool(2)
        pooled = pool(self.x, self.content)
        assert pool.attn_weights is not None
        torch.testing.assert_close(pool.attn_weights.sum(1), torch.tensor([1.0, 1.0, 0.0]))
        assert not pool.attn_weights[~self.content].any()
        torch.testing.assert_close(pooled, (pool.attn_weights[:, :, None] * self.x).sum(1))


def test_unknown_cell_suggests_the_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean 'lstm'"):
        RecurrentLayer("lsmt", C, H)


def test_weights_with_the_names_of_version_0_1_are_loaded() -> None:
    layer = layer_of("gru")
    current = {name: torch.randn_like(weight) for name, weight in layer.state_dict().items()}
    old = {n.replace("forward_rnn", "ahead").replace("backward_rnn", "back"): w for n, w in current.items()}
    nn.Sequential(layer).load_state_dict({f"0.{name}": weight for name, weight in old.items()})
    torch.testing.assert_close(dict(layer.state_dict()), current, rtol=0, atol=0)


def test_only_names_that_a_model_lacks_are_changed() -> None:
    old = {"ahead.weight_ih_l0": 1, "layer.back.bias_hh_l0": 2, "ahead.weight": 3}
    assert list(rename(old, {"ahead.weight_ih_l0", "layer.backward_rnn.bias_hh_l0"})) == [
        "ahead.weight_ih_l0",
        "layer.backward_rnn.bias_hh_l0",
        "ahead.weight",
    ]
