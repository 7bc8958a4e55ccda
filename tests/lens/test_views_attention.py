"""Attention is found in any model, and is what the model computes."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import pellucid
from pellucid.batch import Arguments, Batch
from pellucid.models import BUILDERS

TOKENS = torch.randint(1, 40, (3, 7), generator=torch.Generator().manual_seed(0))
MASK = torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 7])


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def checked(seen):
    assert seen.error < 1e-6
    for layer in seen.layers:
        assert np.allclose(layer.weights.sum(-1), 1, atol=1e-6)
        assert np.allclose(layer.weights @ layer.v, layer.mixed, atol=1e-6)
        assert not layer.weights[~layer.mask].any()
    return seen


def transformers_model(name):
    library = pytest.importorskip("transformers")
    small = {"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    if name == "bert":
        model = library.BertModel(library.BertConfig(vocab_size=40, **small))
        return model, {"input_ids": TOKENS, "attention_mask": MASK}
    if name == "gpt2":
        config = library.GPT2Config(
            vocab_size=40, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
        )
        return library.GPT2Model(config), {"input_ids": TOKENS, "attention_mask": MASK}
    if name == "t5":
        config = library.T5Config(vocab_size=40, d_model=16, d_kv=8, num_layers=2, num_heads=2, d_ff=32)
        return library.T5Model(config), {"input_ids": TOKENS, "decoder_input_ids": TOKENS[:, :4]}
    config = library.ViTConfig(image_size=16, patch_size=4, **small)
    return library.ViTModel(config), {"pixel_values": torch.rand(3, 3, 16, 16)}


@pytest.mark.parametrize("way", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "vit"])
def test_models_of_transformers(name, way):
    model, batch = transformers_model(name)
    model.eval()
    model.set_attn_implementation(way)
    seen = checked(pellucid.view(model, "attention", batch, row=1))
    model.set_attn_implementation("eager")
    with torch.no_grad():
        own = model(**batch, output_attentions=True)
    expected = [*own.encoder_attentions, *own.decoder_attentions] if name == "t5" else own.attentions
    if name == "t5":
        expected = [*own.encoder_attentions]
        for alone, across in zip(own.decoder_attentions, own.cross_attentions, strict=True):
            expected += [alone, across]
    assert len(seen.layers) == len(expected)
    for layer, weights in zip(seen.layers, expected, strict=True):
        assert np.allclose(layer.weights, weights[1], atol=1e-6)
    if name == "bert":
        assert seen.layers[0].mask[0, 0].tolist() == [True] * 5 + [False] * 2
        total = np.eye(7)
        for weights in own.attentions:
            total = (0.5 * weights[1].double().mean(0).numpy() + 0.5 * np.eye(7)) @ total
        rolled = pellucid.view(model, "rollout", batch, row=1)
        assert np.allclose(rolled.weights, total, atol=1e-6)
        assert np.allclose(rolled.weights.sum(1), 1)
    if name == "vit":
        patches = pellucid.view(model, "patch-attention", batch, row=1)
        assert (patches.before, patches.query, patches.grids.shape) == (1, 0, (2, 2, 4, 4))
        assert np.allclose(patches.grids[1], own.attentions[1][1][:, 0, 1:].unflatten(1, (4, 4)), atol=1e-6)


def test_our_models():
    for name, shape, batch in (
        ("gpt", (7,), TOKENS),
        ("transformer", (7,), TOKENS * MASK),
        ("vit", (1, 8, 8), torch.rand(3, 1, 8, 8).double()),
    ):
        options = {"vocab_size": 40} if name == "transformer" else {}
        model = BUILDERS[name](shape, 40 if name == "gpt" else 3, size="tiny", **options)
        model = model.double().eval()  # the fused kernel itself rounds by 1e-6 in float32
        seen = checked(pellucid.view(model, "attention", batch, row=1))
        with torch.no_grad(), pellucid.lens.capture.capture(model, attention=True) as taken:
            model(batch)
        layers = [call for call in taken.calls if call.attention]
        assert [layer.name for layer in seen.layers] == [call.name for call in layers]
        for layer, call in zip(seen.layers, layers, strict=True):
            assert np.allclose(layer.weights, call.attention["weights"][1], atol=1e-6)
            scores = call.attention["scores"][1].numpy()
            assert np.allclose(layer.scores, scores, atol=1e-6)
            assert np.array_equal(layer.mask, np.isfinite(scores) | np.zeros_like(layer.mask))


def test_a_multihead_attention_of_torch_with_all_its_options():
    x = torch.rand(3, 5, 8)
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2, [False] * 5])
    order = torch.ones(5, 5, dtype=torch.bool).triu(1)

    class Attends(nn.Module):
        def __init__(self, **options):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, **options)

        def forward(self, x):
            given = x if self.attention.batch_first else x.transpose(0, 1)
            out, self.weights = self.attention(
                given, given, given, key_padding_mask=padding, attn_mask=order, average_attn_weights=False
            )
            return out

    for options in (
        {"batch_first": True},
        {"batch_first": False, "bias": False},
        {"batch_first": True, "add_bias_kv": True, "add_zero_attn": True},
    ):
        model = Attends(**options).eval()
        seen = checked(pellucid.view(model, "attention", x, row=1))
        model(x)
        assert np.allclose(seen.layers[0].weights, model.weights[1].detach(), atol=1e-6)


def test_layers_of_torch_are_seen_though_their_fused_kernel_calls_no_module():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    assert [one.name for one in checked(pellucid.view(model, "attention", torch.rand(2, 5, 8))).layers] == [
        "layers.0.self_attn",
        "layers.1.self_attn",
    ]
    whole = nn.Transformer(8, 2, 1, 1, 16, batch_first=True).eval()
    batch = Batch(Arguments([torch.rand(2, 5, 8), torch.rand(2, 4, 8)]))
    found = checked(pellucid.view(whole, "attention", batch))
    assert [one.weights.shape for one in found.layers] == [(2, 5, 5), (2, 4, 4), (2, 4, 5)]
    assert pellucid.view(whole, "rollout", batch).layers == ["encoder.layers.0.self_attn"]


class ByHand(nn.Module):
    """Attention as people write it."""

    def __init__(self, way):
        super().__init__()
        self.qkv, self.way = nn.Linear(8, 24), way

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)  # (B, nh, T, hd)
        if self.way == "bmm":
            q, k, v = (part.flatten(0, 1) for part in (q, k, v))
            scores = torch.bmm(q / 2, k.transpose(1, 2))
            mixed = torch.bmm(F.softmax(scores, -1), v).unflatten(0, (-1, 2))
        elif self.way == "fused":
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = (q @ k.mT) * 0.5
            order = torch.ones(x.shape[1], x.shape[1]).tril() == 0
            scores = scores.masked_fill(order, -math.inf)
            mixed = F.dropout(scores.softmax(-1), 0.1, self.training) @ v
        self.mixed = mixed
        return mixed.transpose(1, 2).flatten(2)


@pytest.mark.parametrize("way", ["bmm", "fused", "matmul"])
def test_attention_written_by_hand(way):
    model, x = ByHand(way), torch.rand(3, 5, 8)
    seen = checked(pellucid.view(model, "attention", x, row=2))
    (layer,) = seen.layers
    model.eval()(x)
    assert np.allclose(layer.mixed, model.mixed[2].detach(), atol=1e-6)
    if way != "bmm":
        assert np.array_equal(layer.mask[0], np.tril(np.ones((5, 5), bool)))
    scores = np.where(
        layer.mask, layer.q @ layer.k.transpose(0, 2, 1) * (1 if way == "bmm" else 0.5), -math.inf
    )
    assert np.allclose(layer.scores, scores, atol=1e-6)


def einsum(q, k, v):
    weights = (torch.einsum("bqhd,bkhd->bhqk", q, k) * 0.5).softmax(-1)
    return torch.einsum("bhqk,bkhd->bqhd", weights, v).transpose(1, 2)


def einsum_of_other_forms(q, k, v):
    scores = torch.einsum("... i h d, ... j h d -> ... i j h", [q, k]) * 0.5
    return torch.einsum("...ijh,...jhd->...hid", scores.softmax(2), v)


def keys_on_the_left(q, k, v):
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    weights = (k @ q.mT * 0.5).softmax(-2)
    return weights.transpose(-1, -2) @ v


def values_on_the_left(q, k, v):
    q, k, v = (part.permute(0, 2, 3, 1).flatten(0, 1) for part in (q, k, v))  # (B nh, hd, T)
    weights = torch.bmm(q.mT, k).mul(0.5).softmax(2)
    return torch.bmm(v, weights.permute(0, 2, 1)).mT.unflatten(0, (-1, 2))


def heads_before_rows(q, k, v):
    q, k, v = (part.permute(2, 0, 1, 3) for part in (q, k, v))
    return torch.matmul(torch.softmax(q @ k.mT * 0.5, dim=-1), v).transpose(0, 1)


@pytest.mark.parametrize(
    "attend", [einsum, einsum_of_other_forms, keys_on_the_left, values_on_the_left, heads_before_rows]
)
def test_attention_in_any_layout(attend):
    class Attends(nn.Module):
        def forward(self, x):
            return attend(*x.unflatten(2, (3, 2, 4)).unbind(2))  # q, k, v (B, T, nh, hd)

    model, x = Attends(), torch.rand(3, 5, 24)
    (layer,) = checked(pellucid.view(model, "attention", x, row=2)).layers
    q, k, v = x[2].unflatten(1, (3, 2, 4)).permute(1, 2, 0, 3)
    for found, own in ((layer.q, q), (layer.k, k), (layer.v, v), (layer.scores, q @ k.mT * 0.5)):
        assert np.allclose(found, own, atol=1e-6)
    assert np.allclose(layer.mixed, model(x)[2], atol=1e-6)


def test_one_query_is_a_row_of_weights():
    class Attends(nn.Module):
        def forward(self, x):
            weights = torch.einsum("bd,btd->bt", x[:, -1], x).softmax(1)
            return torch.einsum("bt,btd->bd", weights, x)

    x = torch.rand(3, 5, 4)
    (layer,) = checked(pellucid.view(Attends(), "attention", x, row=1)).layers
    assert (layer.weights.shape, layer.q.shape) == ((1, 1, 5), (1, 1, 4))
    assert np.allclose(layer.weights[0, 0], (x[1] @ x[1, -1]).softmax(0), atol=1e-6)
