"""Attention compared with torch's own, its two paths compared with each other, masks and positions."""

from __future__ import annotations

import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from torch import Tensor, nn

from pellucid.nn import (
    KVCache,
    MultiHeadAttention,
    Rotary,
    TransformerBlock,
    explicit_attention,
    init_transformer,
    positions,
)
from pellucid.nn.position import LearnedPositions, PlanePositions, SinusoidalPositions

B, T, S, C, HEADS = 3, 5, 7, 16, 4


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def content(length: int) -> Tensor:
    """A mask with a full row, a row of one, and a row of two."""
    return torch.arange(length) < torch.tensor([[length], [1], [2]])


def attention(**options) -> MultiHeadAttention:
    torch.manual_seed(0)
    return MultiHeadAttention(C, HEADS, **options)


CASES = {
    "self": ({}, {}),
    "causal": ({"causal": True}, {}),
    "masked": ({}, {"mask": content(T)}),
    "causal-masked": ({"causal": True}, {"mask": content(T)}),
    "pairs": ({}, {"mask": noise(B, 1, T, T, seed=3) > 0}),
    "cross": ({}, {"memory": noise(B, S, C, seed=1)}),
    "cross-masked": ({}, {"memory": noise(B, S, C, seed=1), "mask": content(S)}),
    "rotary": ({"rotary": Rotary(T, C // HEADS)}, {}),
    "sees nothing": ({}, {"mask": torch.zeros(B, T, dtype=torch.bool)}),
}
each = pytest.mark.parametrize(("options", "call"), CASES.values(), ids=CASES)


@each
def test_explicit_path_equals_fused_path(options: dict, call: dict) -> None:
    layer = attention(**options)
    results = []
    for explicit in (False, True):
        layer.explicit = explicit
        x = noise(B, T, C).requires_grad_()
        checked = jaxtyped(typechecker=beartype)(MultiHeadAttention.forward)
        y = checked(layer, x, **call)
        (gradient,) = torch.autograd.grad(y.square().sum(), x)
        results.append((y.detach(), gradient))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-4, atol=1e-5)
    assert layer.attn_weights is not None
    assert layer.attn_scores is not None
    keys = call["memory"].shape[1] if "memory" in call else T
    assert layer.attn_weights.shape == layer.attn_scores.shape == (B, HEADS, T, keys)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_torch(masked: bool) -> None:
    layer, peer = attention(), nn.MultiheadAttention(C, HEADS, batch_first=True)
    parts = (layer.q_proj, layer.k_proj, layer.v_proj)
    peer.load_state_dict(
        {
            "in_proj_weight": torch.cat([p.weight for p in parts]),
            "in_proj_bias": torch.cat([p.bias for p in parts]),
            "out_proj.weight": layer.out_proj.weight,
            "out_proj.bias": layer.out_proj.bias,
        }
    )
    x, memory, mask = noise(B, T, C), noise(B, S, C, seed=1), content(S) if masked else None
    layer.explicit = True
    expected, weights = peer(
        x, memory, memory, key_padding_mask=None if mask is None else ~mask, average_attn_weights=False
    )
    torch.testing.assert_close(layer(x, memory=memory, mask=mask), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(layer.attn_weights, weights, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm_first", [True, False])
def test_block_equals_torch(norm_first: bool) -> None:
    torch.manual_seed(0)
    block = TransformerBlock(C, HEADS, mlp_dim=24, norm_first=norm_first).eval()
    peer = nn.TransformerEncoderLayer(
        C, HEADS, 24, activation="gelu", batch_first=True, norm_first=norm_first
    ).eval()
    parts = (block.attention.q_proj, block.attention.k_proj, block.attention.v_proj)
    state = {
        "self_attn.in_proj_weight": torch.cat([p.weight for p in parts]),
        "self_attn.in_proj_bias": torch.cat([p.bias for p in parts]),
    }
    names = {
        "self_attn.out_proj": block.attention.out_proj,
        "linear1": block.mlp[0],
        "linear2": block.mlp[2],
        "norm1": block.attention_norm,
        "norm2": block.mlp_norm,
    }
    for name, layer in names.items():
        state |= {f"{name}.{key}": value for key, value in layer.state_dict().items()}
    peer.load_state_dict(state)
    x, mask = noise(B, T, C), content(T)
    expected = peer(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(block(x, mask=mask)[mask], expected[mask], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_half_precision_is_close_to_float32_and_keeps_its_dtype(training: bool) -> None:
    model, x = attention(causal=True), noise(B, T, C)
    full = model(x)
    with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(training):
        half = model(x)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), full, rtol=0.05, atol=0.02)


def test_double_precision_keeps_its_dtype() -> None:
    model, x = attention(causal=True).double(), noise(B, T, C).double()
    fused = model(x)
    model.explicit = True
    torch.testing.assert_close(model(x), fused, rtol=1e-12, atol=1e-12)


def test_attention_weights_sum_to_one_over_allowed_keys() -> None:
    layer = attention()
    layer.explicit = True
    layer(noise(B, T, C), mask=content(T))
    weights = layer.attn_weights
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, HEADS, T))
    assert not weights[2, :, :, 2:].any()
    assert weights[1, :, :, 0].eq(1).all()


def test_causal_tokens_do_not_depend_on_later_tokens() -> None:
    block = TransformerBlock(C, HEADS, causal=True, rotary=Rotary(T, C // HEADS))
    x = noise(1, T, C).requires_grad_()
    for t in range(T):
        (gradient,) = torch.autograd.grad(block(x)[0, t].sum(), x)
        assert gradient[0, : t + 1].abs().sum(1).min() > 0
        assert gradient[0, t + 1 :].eq(0).all()


@pytest.mark.parametrize("steps", [[5], [1, 1, 1, 1, 1], [2, 3]])
@pytest.mark.parametrize("explicit", [False, True])
def test_cache_does_not_change_outputs(steps: list[int], explicit: bool) -> None:
    torch.manual_seed(0)
    block = TransformerBlock(C, HEADS, causal=True, cross_attention=True, rotary=Rotary(T, C // HEADS))
    block.attention.explicit = block.cross_attention.explicit = explicit
    x, memory, cache = noise(B, T, C), noise(B, S, C, seed=1), KVCache()
    parts = []
    for part in x.split(steps, dim=1):
        parts.append(block(part, memory=memory, memory_mask=content(S), cache=cache))
        cache.length += part.shape[1]
    expected = block(x, memory=memory, memory_mask=content(S))
    torch.testing.assert_close(torch.cat(parts, 1), expected, rtol=1e-5, atol=1e-5)


def test_cache_reorders_rows() -> None:
    block, x, cache = TransformerBlock(C, HEADS, causal=True), noise(B, T, C), KVCache()
    block(x[:, :3], cache=cache)
    rows = torch.tensor([2, 0, 0])
    cache.reorder(rows)
    mixed = torch.cat([x[rows, :3], x[:, 3:4]], 1)
    torch.testing.assert_close(block(x[:, 3:4], cache=cache), block(mixed)[:, 3:], rtol=1e-5, atol=1e-5)


def test_explicit_attention_restores_the_layers() -> None:
    block, x = TransformerBlock(C, HEADS, cross_attention=True), noise(B, T, C)
    with explicit_attention(block) as maps:
        assert maps() == {}
        inside = block(x, memory=noise(B, S, C))
        seen = maps()
    assert {name: tuple(w.shape) for name, w in seen.items()} == {
        "attention": (B, HEADS, T, T),
        "cross_attention": (B, HEADS, T, S),
    }
    torch.testing.assert_close(inside, block(x, memory=noise(B, S, C)), rtol=1e-5, atol=1e-6)
    assert not block.attention.explicit
    assert block.attention.attn_weights is None


def test_rotary_products_depend_only_on_the_distance() -> None:
    rotary = Rotary(50, 8)
    q, k = noise(1, 1, 1, 8), noise(1, 1, 1, 8, seed=1)

    def product(at: int, other: int) -> Tensor:
        return (rotary(q, at) * rotary(k, other)).sum()

    torch.testing.assert_close(product(3, 10), product(40, 47), rtol=1e-4, atol=1e-5)
    assert not torch.isclose(product(3, 10), product(3, 11))
    torch.testing.assert_close(rotary(q, 7).norm(), q.norm())


def test_sinusoidal_positions_follow_the_paper() -> None:
    added = SinusoidalPositions(20, 8)(torch.zeros(1, 4, 8), start=3)[0]  # positions 3 to 6
    angle = torch.tensor(5 / 10_000 ** (4 / 8))
    torch.testing.assert_close(added[2, 4:6], torch.stack([angle.sin(), angle.cos()]))


def test_plane_positions_encode_row_and_column() -> None:
    added = PlanePositions(2, 3, 8, before=1)(torch.zeros(5, 7, 8))[0]  # a class token, and 2 rows of 3
    row, column = SinusoidalPositions(2, 4), SinusoidalPositions(3, 4)
    assert not added[0].any()
    torch.testing.assert_close(added[1 + 1 * 3 + 2], torch.cat([row.table[1], column.table[2]]))
    with pytest.raises(ValueError, match="multiple of 4 features, received 6"):
        PlanePositions(2, 3, 6)


def test_learned_positions_start_at_the_given_position() -> None:
    layer = LearnedPositions(10, 4)
    assert torch.equal(layer(torch.zeros(1, 3, 4), start=5)[0], layer.weight[5:8])


def test_last_layers_of_residual_branches_start_smaller() -> None:
    torch.manual_seed(0)
    blocks = nn.Sequential(*(TransformerBlock(128, 4) for _ in range(4)))
    init_transformer(blocks)
    block = blocks[1]
    assert block.attention.q_proj.weight.std().item() == pytest.approx(128**-0.5, rel=0.05)
    for end, fans in ((block.attention.out_proj, 128 + 128), (block.mlp[2], 512 + 128)):
        assert end.weight.std().item() == pytest.approx((2 / fans / 8) ** 0.5, rel=0.05)
        assert not end.bias.any()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MultiHeadAttention(10, 4), "expects an embed_dim .* received embed_dim=10 and num_heads=4"),
        (lambda: positions("rotery", 8, 16, 4), "Did you mean 'rotary'"),
        (lambda: positions("rotary", 8, 12, 4), "even number of features, received 3"),
    ],
)
def test_invalid_options_are_refused(make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
