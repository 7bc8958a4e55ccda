"""The contract of all models of sequences and patches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from beartype import beartype
from jaxtyping import jaxtyped
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pellucid.models.rnn import gru, lstm, rnn
from pellucid.models.rnn_language import lstm_lm, lstm_mlm
from pellucid.models.seq2seq import seq2seq
from pellucid.models.tcn import tcn
from pellucid.models.text_cnn import PHRASE, phrase_lm, text_cnn
from pellucid.models.transformer import bert, gpt, transformer
from pellucid.models.vit import vit
from pellucid.nn import MultiHeadAttention, RecurrentLayer, explicit_attention
from tests.models.learning import least_error

V, T, K = 30, 9, 4
TOKENS, SERIES = (T,), (T, 3)


def norm(width: int) -> int:
    return 2 * width


def linear(fan_in: int, fan_out: int) -> int:
    return fan_in * fan_out + fan_out


def attention(width: int) -> int:
    return 4 * linear(width, width) + norm(width)


def block(width: int, attentions: int = 1) -> int:
    """Parameters of a transformer block."""
    mlp = linear(width, 4 * width) + linear(4 * width, width) + norm(width)
    return attentions * attention(width) + mlp


def direction(gates: int, fan_in: int, hidden: int) -> int:
    """Parameters of one direction of a recurrent layer."""
    return gates * (linear(fan_in, hidden) + linear(hidden, hidden))


ENCODER = 2 * block(64) + norm(64)
TCN_BLOCKS = 4 * (norm(32) + 2 * linear(3 * 32, 32)) + norm(32)


@dataclass(frozen=True)
class Case:
    """A model to test.

    Attributes:
        builder: what makes it.
        input_shape: of one example.
        outputs: its classes, or its vocabulary.
        parameters: how many there are, counted by hand.
        options: of the builder.
    """

    builder: Callable[..., nn.Module]
    input_shape: tuple[int, ...]
    outputs: int
    parameters: int
    options: dict[str, Any] = field(default_factory=dict)

    def build(self, seed: int = 0, **options: Any) -> nn.Module:
        torch.manual_seed(seed)
        chosen = {"size": "tiny", **self.options, **options}
        return self.builder(self.input_shape, self.outputs, **chosen)

    @property
    def name(self) -> str:
        return getattr(self.builder, "__name__", None) or self.builder.keywords["cell"]

    def __str__(self) -> str:
        options = ",".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.name}-{'x'.join(map(str, self.input_shape))}-{options}"


WORDS = {"vocab_size": V}
CLASSIFIERS = [
    Case(rnn, TOKENS, K, V * 32 + 2 * direction(1, 32, 32) + linear(64, K), {**WORDS, "pooling": "last"}),
    Case(lstm, TOKENS, K, V * 32 + 2 * direction(4, 32, 32) + linear(64, K), WORDS),
    Case(
        lstm,
        TOKENS,
        K,
        V * 32 + direction(4, 32, 8) + direction(4, 8, 8) + linear(8, K),
        {**WORDS, "hidden_size": 8, "num_layers": 2, "bidirectional": False, "pooling": "mean"},
    ),
    Case(
        gru,
        TOKENS,
        K,
        V * 32 + 2 * (direction(3, 32, 32) + direction(3, 64, 32)) + linear(64, 64) + 64 + linear(64, K),
        {**WORDS, "num_layers": 2, "pooling": "attention"},
    ),
    Case(gru, SERIES, K, linear(3, 32) + 2 * direction(3, 32, 32) + linear(64, K)),
    Case(transformer, TOKENS, K, V * 64 + ENCODER + linear(64, K), WORDS),
    Case(
        transformer,
        TOKENS,
        K,
        V * 64 + T * 64 + 64 + ENCODER + linear(64, K),
        {**WORDS, "pooling": "cls", "position": "learned"},
    ),
    Case(
        transformer,
        TOKENS,
        K,
        V * 64 + ENCODER - norm(64) + linear(64, K),
        {**WORDS, "pooling": "max", "position": "sinusoidal", "norm_first": False},
    ),
    Case(transformer, SERIES, K, linear(3, 64) + ENCODER + linear(64, K)),
    Case(lstm, TOKENS, K, V * 32 + 2 * direction(4, 32, 32) + linear(192, K), {**WORDS, "pooling": "concat"}),
    Case(tcn, TOKENS, K, V * 32 + TCN_BLOCKS + linear(32, K), WORDS),
    Case(tcn, SERIES, K, linear(3, 32) + TCN_BLOCKS + linear(32, K), {"causal": True, "pooling": "max"}),
    Case(text_cnn, TOKENS, K, V * 32 + linear(3 * 32, 32) + linear(64, K), WORDS),
    Case(
        text_cnn,
        TOKENS,
        K,
        2 * V * 32 + linear(3 * 32, 32) + linear(5 * 32, 32) + 32 * 32 + linear(64, K),
        {**WORDS, "phrases": True},
    ),
]
TOKEN_MODELS = [
    Case(lstm_lm, TOKENS, V, V * 32 + direction(4, 32, 32)),
    Case(
        lstm_lm,
        TOKENS,
        V,
        V * 16 + direction(3, 16, 8) + direction(3, 8, 8) + linear(8, V),
        {"cell": "gru", "embed_dim": 16, "hidden_size": 8, "num_layers": 2, "tied": False},
    ),
    Case(bert, TOKENS, V, V * 64 + ENCODER + linear(64, 64) + norm(64) + V),
    Case(gpt, TOKENS, V, V * 64 + ENCODER),
    Case(gpt, TOKENS, V, V * 64 + T * 64 + ENCODER, {"position": "learned"}),
    Case(lstm_mlm, TOKENS, V, V * 32 + 2 * direction(4, 32, 32) + linear(64, 32) + norm(32) + V),
    Case(phrase_lm, TOKENS, V, V * 32 + linear(5 * 32, 32) + linear(32, V)),
]
PAIRS = [
    Case(
        seq2seq,
        TOKENS,
        V,
        20 * 64 + V * 64 + T * 64 + (T + 1) * 64 + ENCODER + 2 * block(64, 2) + norm(64),
        {"vocab_size": 20},
    ),
    Case(
        seq2seq,
        TOKENS,
        V,
        V * 64 + 2 * (block(64) + block(64, 2)),
        {"position": "sinusoidal", "share_embeddings": True, "norm_first": False},
    ),
]
VIT = 4 * block(64) + norm(64) + linear(64, K)
IMAGES = [
    Case(vit, (1, 28, 28), K, linear(16, 64) + VIT),
    Case(vit, (1, 28, 28), K, 9 * 32 + norm(32) + 9 * 32 * 64 + norm(64) + VIT, {"stem": "conv"}),
    Case(
        vit,
        (3, 10, 13),
        K,
        linear(3 * 4, 64) + (35 + 1) * 64 + 64 + VIT,
        {"pooling": "cls", "position": "learned"},
    ),
]
CASES = CLASSIFIERS + TOKEN_MODELS + PAIRS + IMAGES
PADDED = [case for case in CASES if case.input_shape == TOKENS]
LANGUAGE = [case for case in TOKEN_MODELS if case.builder not in (bert, lstm_mlm)]
each = pytest.mark.parametrize("case", CASES, ids=str)


def batch(case: Case, rows: int = 12) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return (inputs, targets) for the model's forward and a cross-entropy."""
    generator = torch.Generator().manual_seed(1)
    if case.input_shape != TOKENS:
        return (torch.randn(rows, *case.input_shape, generator=generator),), torch.arange(rows) % K
    vocab_size = case.options.get("vocab_size", V)
    tokens = torch.randint(5, vocab_size, (rows, T), generator=generator)
    lengths = torch.arange(rows) % T + 1
    tokens[torch.arange(T) >= lengths[:, None]] = 0
    if case.outputs == K:
        return (tokens,), torch.arange(rows) % K
    if case in PAIRS:
        targets = torch.randint(5, V, (rows, T), generator=generator)
        return (tokens, F.pad(targets[:, :-1], (1, 0), value=2)), targets
    return (tokens,), tokens.cumsum(1) % V  # what a causal model can predict


def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())


@each
def test_logits_have_the_documented_shape(case: Case) -> None:
    inputs, targets = batch(case)
    model = case.build()
    checked = jaxtyped(typechecker=beartype)(type(model).forward)
    logits = checked(model, *inputs)
    assert logits.shape == (*targets.shape, case.outputs)
    assert logits.dtype == torch.float32


@each
def test_parameter_count(case: Case) -> None:
    assert sum(p.numel() for p in case.build().parameters()) == case.parameters


@each
def test_untrained_model_has_the_loss_of_guessing(case: Case) -> None:
    """The loss is that of guessing. With tied embeddings the logits have variance 1, and a token predicts
    itself at first, which is left out."""
    inputs, targets = batch(case)
    logits = case.build()(*inputs)
    if case.builder not in (bert, gpt, lstm_mlm, seq2seq):
        assert loss_of(logits, targets).item() == pytest.approx(math.log(case.outputs), abs=0.15)
        return
    others = torch.ones_like(logits, dtype=torch.bool).scatter(-1, inputs[-1][..., None], False)
    assert logits[others].std().item() == pytest.approx(1, abs=0.1)


@each
def test_gradients_reach_every_parameter(case: Case) -> None:
    model = case.build()
    inputs, targets = batch(case)
    loss_of(model(*inputs), targets).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # The softmax does not depend on what all keys have in common.
    assert [name for name in without if not name.endswith("k_proj.bias")] == []


@each
def test_examples_are_independent_in_evaluation(case: Case) -> None:
    model = case.build().eval()
    inputs, _ = batch(case)
    alone = model(*(part[3:5] for part in inputs))
    torch.testing.assert_close(model(*inputs)[3:5], alone, rtol=1e-5, atol=1e-5)


@each
def test_training_differs_from_evaluation_only_by_dropout_and_batch_norm(case: Case) -> None:
    inputs, _ = batch(case)
    model = case.build()
    assert not torch.allclose(model.train()(*inputs), model.eval()(*inputs), atol=1e-6)
    model = case.build(dropout=0.0)
    norms = any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
    assert torch.equal(model.train()(*inputs), model.eval()(*inputs)) is not norms


@each
def test_seed_determines_the_weights(case: Case) -> None:
    first, second, other = case.build(0).state_dict(), case.build(0).state_dict(), case.build(1).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@each
def test_saved_weights_are_restored(case: Case, tmp_path: Path) -> None:
    model, other = case.build(0), case.build(1)
    inputs, _ = batch(case)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(model.eval()(*inputs), other.eval()(*inputs))


@each
def test_one_batch_can_be_overfitted(case: Case) -> None:
    model = case.build(dropout=0.0)
    inputs, targets = batch(case)
    if case in TOKEN_MODELS or case in PAIRS:
        targets = targets.masked_fill(inputs[0] == 0, -100)
    recurrent = any(isinstance(layer, RecurrentLayer) for layer in model.modules())
    lr = 0.01 if recurrent else 0.003
    assert least_error(model, lambda: loss_of(model(*inputs), targets), 0.05, lr=lr) < 0.05


@pytest.mark.parametrize("case", PADDED, ids=str)
def test_padding_does_not_change_outputs(case: Case) -> None:
    model = case.build().eval()
    inputs, _ = batch(case)
    text = inputs[0][3:4, :4]  # four tokens
    padded = F.pad(text, (0, 5))
    rest = tuple(part[3:4] for part in inputs[1:])
    short, long = model(text, *rest), model(padded, *rest)
    torch.testing.assert_close(short, long[:, :4] if case in TOKEN_MODELS else long, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", PADDED, ids=str)
def test_empty_texts_give_finite_outputs(case: Case) -> None:
    model = case.build()
    inputs, targets = batch(case)
    inputs[0][2] = 0
    logits = model(*inputs)
    loss_of(logits, targets).backward()
    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("case", LANGUAGE + PAIRS, ids=str)
def test_causal_outputs_do_not_depend_on_later_tokens(case: Case) -> None:
    model = case.build().eval()
    inputs, _ = batch(case)
    embedding = model.target_embedding if case in PAIRS else model.embedding
    vectors: list[Tensor] = []
    embedding.register_forward_hook(lambda _, __, output: vectors.append(output))
    row = tuple(part[8:9] for part in inputs)  # of full length
    logits = model(*row)
    reach = PHRASE if case.builder is phrase_lm else T
    for t in range(T):
        (gradient,) = torch.autograd.grad(logits[0, t].square().sum(), vectors[-1], retain_graph=True)
        assert gradient[0, max(0, t + 1 - reach) : t + 1].abs().sum(1).min() > 0
        assert gradient[0, t + 1 :].eq(0).all()


@each
def test_inspection_does_not_change_outputs(case: Case) -> None:
    model = case.build().eval()
    inputs, _ = batch(case)
    expected = model(*inputs)
    with explicit_attention(model) as maps:
        for layer in model.modules():
            if isinstance(layer, RecurrentLayer):
                layer.explicit = True
        torch.testing.assert_close(model(*inputs), expected, rtol=1e-5, atol=1e-5)
        attentions = [m for m in model.modules() if isinstance(m, MultiHeadAttention)]
        assert len(maps()) == len(attentions)
        for weights in maps().values():
            torch.testing.assert_close(weights.sum(3), torch.ones_like(weights[..., 0]))


WRONG = [
    (CLASSIFIERS[1], torch.zeros(2, T), r"\(2, 9\) of float32"),
    (CLASSIFIERS[1], torch.zeros(2, T, 3, dtype=torch.long), r"\(2, 9, 3\) of int64"),
    (CLASSIFIERS[1], torch.full((2, T), V), "ids of 30 to 30"),
    (CLASSIFIERS[4], torch.zeros(2, T, 5), r"\(2, 9, 5\)"),
    (CLASSIFIERS[4], torch.zeros(2, T, dtype=torch.long), r"\(2, 9\) of int64"),
    (CLASSIFIERS[5], torch.ones(2, T + 1, dtype=torch.long), "10"),
    (TOKEN_MODELS[2], torch.ones(2, T + 1, dtype=torch.long), "10"),
    (TOKEN_MODELS[3], torch.ones(2, T + 1, dtype=torch.long), "10"),
    (IMAGES[0], torch.zeros(2, 1, 28, 29), r"\(2, 1, 28, 29\)"),
]


@pytest.mark.parametrize(("case", "wrong", "received"), WRONG)
def test_wrong_input_is_refused_with_both_shapes(case: Case, wrong: Tensor, received: str) -> None:
    with pytest.raises(ValueError, match=rf"expects .* received {received}"):
        case.build()(wrong)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: lstm(TOKENS, K), r"vocab_size; received shape|received shape \(9,\)"),
        (lambda: transformer(SERIES, K, vocab_size=V), r"received shape \(9, 3\) and vocab_size=30"),
        (lambda: lstm(TOKENS, K, vocab_size=V, pooling="maxx"), "Did you mean 'max'"),
        (lambda: transformer(TOKENS, K, vocab_size=V, size="smal"), "Did you mean 'small'"),
        (lambda: lstm_lm(TOKENS, V, embed_dim=8), "expect embed_dim and hidden_size .* received 8 and 128"),
        (lambda: gpt(SERIES, V), r"expects tokens .* received inputs of shape \(9, 3\)"),
        (lambda: lstm_mlm(SERIES, V), r"expects tokens .* received inputs of shape \(9, 3\)"),
        (lambda: phrase_lm(SERIES, V), r"expects tokens .* received inputs of shape \(9, 3\)"),
        (lambda: text_cnn(TOKENS, K), r"expects tokens .* vocab_size=None"),
        (lambda: text_cnn(TOKENS, 1, vocab_size=V, ngrams=True), "2 or more; received 1"),
        (lambda: lstm_lm(SERIES, V), r"expects tokens .* received inputs of shape \(9, 3\)"),
        (lambda: seq2seq(TOKENS, V, vocab_size=20, share_embeddings=True), "received 20 source .* 30 target"),
        (lambda: vit((784,), K), r"expects images .* received inputs of shape \(784,\)"),
        (lambda: vit((1, 28, 28), K, pooling="max"), "no pooling named 'max'. Did you mean 'mean'"),
        (
            lambda: vit((1, 28, 28), K, position="rotary"),
            "no position named 'rotary'. One of: learned, sinusoidal",
        ),
        (lambda: vit((1, 28, 28), K, stem="conv", patch_size=7), "patch_size of 2, 4, 8 or 16, received 7"),
    ],
)
def test_invalid_options_are_refused(build: Callable[[], nn.Module], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()


def test_a_classifier_can_start_from_a_language_model() -> None:
    for source, target, prefix in [
        (bert(TOKENS, V, size="tiny"), transformer(TOKENS, K, size="tiny", vocab_size=V), ("encoder.",)),
        (lstm_lm(TOKENS, V), lstm(TOKENS, K, vocab_size=V, bidirectional=False), ("embedding.", "layers.")),
        (lstm_mlm(TOKENS, V), lstm(TOKENS, K, vocab_size=V), ("embedding.", "layers.")),
    ]:
        learned = {name: w for name, w in source.state_dict().items() if name.startswith(prefix)}
        missing, unexpected = target.load_state_dict(learned, strict=False)
        assert unexpected == []
        assert set(missing) == {"output.weight", "output.bias"}
        tokens = batch(TOKEN_MODELS[0])[0][0]
        assert torch.equal(target.eval().encode(tokens), encode(source.eval(), tokens))


def encode(model: nn.Module, tokens: Tensor) -> Tensor:
    """The outputs of the last layer of a language model."""
    if hasattr(model, "encoder"):
        return model.encoder(tokens)[0]
    x, lengths = model.embedding(tokens), model.embedding.content(tokens).sum(1)
    for layer in model.layers:
        x, _ = layer(x, lengths)
    return x


def test_frozen_phrases_do_not_learn() -> None:
    source = phrase_lm(TOKENS, V)
    target = text_cnn(TOKENS, K, vocab_size=V, phrases=True, learn_phrases=False)
    learned = {name: w for name, w in source.state_dict().items() if name.startswith("phrases.")}
    assert target.load_state_dict(learned, strict=False).unexpected_keys == []
    (tokens,), targets = batch(CLASSIFIERS[0])
    loss_of(target(tokens), targets).backward()
    assert all(p.grad is None for p in target.phrases.parameters())
    assert torch.equal(target.phrases(tokens), source.phrases(tokens))


def test_dropped_words_are_dropped_everywhere_in_the_batch() -> None:
    model = lstm((T,), K, vocab_size=V, dropout=0.5)
    seen: list[Tensor] = []
    model.locked_dropout = nn.Identity()
    model.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    tokens = torch.arange(5, V).repeat(4, 1)
    torch.manual_seed(0)
    model(tokens)
    vectors = seen[0]
    assert torch.equal(vectors, vectors[:1].expand_as(vectors))
    dropped = vectors[0].eq(0).all(1)
    assert 5 < dropped.sum() < 20
    torch.testing.assert_close(vectors[0, ~dropped], 2 * model.embedding(tokens)[0, ~dropped])


def test_vit_patches_are_ordered_row_by_row() -> None:
    model = vit((1, 10, 13), K).eval()  # patches of 2: five rows of seven, the last half empty
    assert model.grid == (5, 7)
    image = torch.randn(1, 1, 10, 13, requires_grad=True)
    tokens: list[Tensor] = []
    model.blocks[0].register_forward_pre_hook(lambda _, args: tokens.append(args[0]))
    model(image)
    (gradient,) = torch.autograd.grad(tokens[0][0, 8].sum(), image)  # second row, second column
    touched = gradient[0, 0].abs() > 0
    assert touched.nonzero().tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]
