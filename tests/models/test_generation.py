"""The cache does not change outputs, sampling has the right distribution, beam search beats greedy search."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from pellucid.models.generation import BOS, EOS, beam_search, sample, sample_targets
from pellucid.models.rnn_language import lstm_lm
from pellucid.models.sampling import choose, context_start, penalized
from pellucid.models.seq2seq import seq2seq
from pellucid.models.transformer import gpt

V = 20
MODELS = {
    "gpt": lambda: gpt((12,), V, size="tiny"),
    "gpt-rotary": lambda: gpt((12,), V, size="tiny", position="rotary"),
    "gpt-sinusoidal": lambda: gpt((12,), V, size="tiny", position="sinusoidal"),
    "lstm": lambda: lstm_lm((12,), V, size="tiny", num_layers=2),
    "gru": lambda: lstm_lm((12,), V, size="tiny", cell="gru"),
}
each = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def bold(model: nn.Module) -> nn.Module:
    """An untrained model with confident predictions: weights far larger than the initial ones."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.3, generator=generator)
    return model.eval()


def prompts(rows: int = 3, length: int = 4) -> Tensor:
    return torch.randint(5, V, (rows, length), generator=torch.Generator().manual_seed(0))


def greedy(model: nn.Module, tokens: Tensor, new: int) -> Tensor:
    """Repeatedly append the most likely next token, without a cache."""
    for _ in range(new):
        logits = model(tokens)[:, -1]
        logits[:, 0] = -math.inf
        tokens = torch.cat([tokens, logits.argmax(1, keepdim=True)], 1)
    return tokens


@each
@pytest.mark.parametrize("steps", [[1] * 8, [5, 1, 2]])
def test_cache_gives_the_same_logits(make, steps: list[int]) -> None:
    model, tokens = bold(make()), prompts(length=8)
    cache = model.new_cache()
    parts = [model(part, cache=cache) for part in tokens.split(steps, 1)]
    torch.testing.assert_close(torch.cat(parts, 1), model(tokens), rtol=1e-5, atol=1e-5)
    assert cache.length == 8


@each
def test_cache_reorders_rows(make) -> None:
    model, tokens, rows = bold(make()), prompts(), torch.tensor([2, 0, 0])
    cache = model.new_cache()
    model(tokens[:, :3], cache=cache)
    cache.reorder(rows)
    mixed = torch.cat([tokens[rows, :3], tokens[:, 3:]], 1)
    torch.testing.assert_close(model(tokens[:, 3:], cache=cache), model(mixed)[:, 3:], rtol=1e-5, atol=1e-5)


@each
def test_temperature_0_picks_the_most_likely_token(make) -> None:
    model = bold(make())
    texts = sample(model, prompts(), 8, temperature=0, stop=None)
    assert torch.equal(texts, greedy(model, prompts(), 8))
    assert len(texts[:, 4:].unique()) > 3  # not one token repeated


@each
def test_prompts_of_different_lengths_do_not_affect_each_other(make) -> None:
    model, ragged = bold(make()), prompts(length=6)
    ragged[0, 2:], ragged[2, 5:] = 0, 0
    together = sample(model, ragged, 5, temperature=0, stop=None)
    for row, length in enumerate([2, 6, 5]):
        alone = sample(model, ragged[row : row + 1, :length], 5, temperature=0, stop=None)[0]
        assert together[row].tolist() == alone.tolist() + [0] * (11 - length - 5)


def test_text_ends_at_the_stop_token() -> None:
    model = bold(gpt((12,), V, size="tiny"))
    free = sample(model, prompts(), 6, temperature=0, stop=None)
    stop = free[0, 6].item()
    texts = sample(model, prompts(), 6, temperature=0, stop=int(stop))
    end = free[0, 4:].tolist().index(stop) + 5
    assert texts[0, :end].tolist() == free[0, :end].tolist()
    assert not texts[0, end:].any()


@pytest.mark.parametrize("rows", [1, 3])
def test_text_may_exceed_the_context(rows: int) -> None:
    model = bold(gpt((6,), V, size="tiny"))
    texts = sample(model, prompts(rows), 10, temperature=0, stop=None)
    assert texts.shape == (rows, 14)
    assert torch.equal(texts[:, :7], greedy(model, prompts(rows), 3))
    for now in range(7, 14):  # the context moves on by half of it: by 3 after 6, 9 and 12 tokens
        begin = [3, 3, 3, 6, 6, 6, 9][now - 7]
        assert torch.equal(texts[:, now], greedy(model, texts[:, begin:now], 1)[:, -1])


@each
@pytest.mark.parametrize("temperature", [0, 0.9])
def test_texts_beyond_the_context_do_not_depend_on_their_neighbors(make, temperature: float) -> None:
    model, ragged = bold(make()), prompts(length=30)
    ragged[0, 2:], ragged[2, 14:] = 0, 0

    def generators(count: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(5) for _ in range(count)]

    how = {"temperature": temperature, "stop": None, "repetition_penalty": 1.3}
    together = sample(model, ragged, 20, **how, generator=generators(3))
    for row, length in enumerate([2, 30, 14]):
        alone = sample(model, ragged[row : row + 1, :length], 20, **how, generator=generators(1))[0]
        assert together[row, : length + 20].tolist() == alone.tolist()


def test_the_context_depends_only_on_the_length_of_the_text() -> None:
    for size in (1, 2, 5, 8):
        starts = [context_start(length, size) for length in range(60)]
        assert starts == sorted(starts)
        contexts = [length - start for length, start in enumerate(starts)]
        assert max(contexts) == size
        assert all(size - max(1, size // 2) < context for context in contexts[size:])
    assert context_start(10_000, None) == 0


def test_repeated_tokens_are_penalized_by_the_sign_of_their_logits() -> None:
    logits = torch.tensor([[2.0, -1.0, 4.0, 3.0]])
    found = penalized(logits, torch.tensor([[0, 1, 0, 3]]), 2.0, exempt=3)
    assert found.tolist() == [[1.0, -2.0, 4.0, 3.0]]


def test_tokens_that_are_excluded_are_never_chosen() -> None:
    logits = torch.tensor([[9.0, 8.0, 1.0, 2.0]]).expand(500, 4)
    assert set(choose(logits, 0, never=(0, 1)).tolist()) == {3}
    assert set(choose(logits, 5.0, never=(0, 1)).tolist()) == {2, 3}
    model, source = translator(), sources()
    unruled = beam_search(model, source, beams=1).tokens
    banned = int(unruled[unruled > EOS][0])
    assert banned not in beam_search(model, source, beams=2, never=(banned,)).tokens


def test_generator_determines_the_text_and_the_mode_is_restored() -> None:
    model = bold(gpt((12,), V, size="tiny")).train()

    def draw(seed: int) -> Tensor:
        return sample(model, prompts(), 6, stop=None, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    assert model.training


PROBS = torch.tensor([0.3, 0.1, 0.32, 0.2, 0.08])  # the first is padding, which is never sampled


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 0.1, 0.32, 0.2, 0.08]),
        ({"temperature": 0.5}, [0, 0.01, 0.1024, 0.04, 0.0064]),
        ({"top_k": 2}, [0, 0, 0.32, 0.2, 0]),
        ({"top_k": 99}, [0, 0.1, 0.32, 0.2, 0.08]),
        ({"top_p": 0.7}, [0, 0, 0.32, 0.2, 0]),  # 0.457, 0.743 of what is left
        ({"top_p": 0.01}, [0, 0, 1, 0, 0]),
        ({"top_p": 1.0}, [0, 0.1, 0.32, 0.2, 0.08]),
        ({"temperature": 0}, [0, 0, 1, 0, 0]),
    ],
)
def test_tokens_are_sampled_with_their_probabilities(options: dict, expected: list[float]) -> None:
    generator = torch.Generator().manual_seed(0)
    chosen = choose(PROBS.log().expand(20_000, 5), **options, generator=generator)
    shares = torch.bincount(chosen, minlength=5) / 20_000
    torch.testing.assert_close(shares, torch.tensor(expected) / sum(expected), rtol=0, atol=0.012)
    assert shares[torch.tensor(expected) == 0].eq(0).all()


@pytest.mark.parametrize(
    ("prompt", "options"),
    [([[5], [0]], {}), ([[5]], {"temperature": -1}), ([[5]], {"top_k": 0}), ([[5]], {"top_p": 1.5})],
)
def test_invalid_sampling_is_refused(prompt: list, options: dict) -> None:
    with pytest.raises(ValueError, match=r"expects .* received"):
        sample(gpt((6,), V, size="tiny"), torch.tensor(prompt), 2, **options)


# ---- beam search -------------------------------------------------------------------------------


class KeepsNothing:
    def reorder(self, rows: Tensor) -> None:
        pass


class Chain(nn.Module):
    """An encoder-decoder whose next token depends only on the last one."""

    max_target_len = 4

    def __init__(self, follow: dict[int, dict[int, float]]):
        super().__init__()
        table = torch.full((8, 8), 1e-9)
        for token, probs in follow.items():
            for other, prob in probs.items():
                table[token, other] = prob
        self.log_probs = table.log()

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        return source[:, :, None].float(), source != 0

    def decode(self, target_in: Tensor, memory: Tensor, source_mask: Tensor, cache: object) -> Tensor:
        return self.log_probs[target_in]

    def new_cache(self) -> KeepsNothing:
        return KeepsNothing()


GARDEN_PATH = {BOS: {5: 0.6, 6: 0.4}, 5: {EOS: 0.35, 7: 0.33, 5: 0.32}, 6: {EOS: 0.9, 7: 0.1}, 7: {EOS: 1.0}}


def test_beam_search_finds_a_better_text_than_greedy_search() -> None:
    model, source = Chain(GARDEN_PATH), torch.tensor([[5], [6]])
    one = beam_search(model, source, beams=1, length_penalty=0)
    assert one.tokens.tolist() == [[[5, EOS]]] * 2  # 0.6 * 0.35
    two = beam_search(model, source, beams=2, length_penalty=0)
    assert two.tokens[:, 0].tolist() == [[6, EOS]] * 2  # 0.4 * 0.9
    torch.testing.assert_close(two.scores.exp(), torch.tensor([[0.36, 0.21]] * 2), rtol=1e-4, atol=1e-4)


def test_length_penalty_favors_longer_texts() -> None:
    follow = {BOS: {EOS: 0.5, 5: 0.5}, 5: {EOS: 0.9, 6: 0.1}}
    short = beam_search(Chain(follow), torch.tensor([[5]]), beams=2, length_penalty=0)
    long = beam_search(Chain(follow), torch.tensor([[5]]), beams=2, length_penalty=2)
    assert short.tokens[0, 0].tolist() == [EOS, 0]
    assert long.tokens[0, 0].tolist() == [5, EOS]
    expected = math.log(0.45) / ((5 + 2) / 6) ** 2
    assert long.scores[0, 0].item() == pytest.approx(expected, rel=1e-4)


def test_text_is_truncated_at_the_limit() -> None:
    endless = Chain({BOS: {5: 1.0}, 5: {5: 1.0}})
    found = beam_search(endless, torch.tensor([[5]]), beams=2, max_new_tokens=3)
    assert found.tokens[0, 0].tolist() == [5, 5, 5]


def translator(**options) -> nn.Module:
    return bold(seq2seq((6,), V, size="tiny", **options))


def sources() -> Tensor:
    source = prompts(4, 6)
    source[1, 3:] = 0
    return source


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_decoder_cache_gives_the_same_logits(position: str) -> None:
    model, source, target = translator(position=position), sources(), prompts(4, 7)
    memory, mask = model.encode(source)
    cache = model.new_cache()
    parts = [model.decode(part, memory, mask, cache) for part in target.split([1, 3, 1, 2], 1)]
    torch.testing.assert_close(torch.cat(parts, 1), model(source, target), rtol=1e-5, atol=1e-5)


def test_one_beam_is_greedy_search() -> None:
    model, source = translator(), sources()
    found = beam_search(model, source, beams=1).tokens[:, 0]
    for row in range(len(source)):
        target = [BOS]
        while len(target) <= model.max_target_len and target[-1] != EOS:
            logits = model(source[row : row + 1], torch.tensor([target]))[0, -1]
            logits[0] = -math.inf
            target.append(int(logits.argmax()))
        assert found[row].tolist() == target[1:] + [0] * (found.shape[1] - len(target) + 1)


def test_targets_sampled_at_temperature_0_are_those_of_greedy_search() -> None:
    model, source = translator(), sources()
    found = beam_search(model, source, beams=1).tokens[:, 0]
    targets = sample_targets(model, source, temperature=0)
    assert torch.equal(targets, found)
    assert sample_targets(model, source[1:2, :3], temperature=0)[0].tolist() == [
        token for token in targets[1].tolist() if token
    ]


def test_wide_beam_search_finds_the_best_of_all_texts() -> None:
    model, source, limit = translator(), sources()[:2], 2
    found = beam_search(model, source, beams=V, max_new_tokens=limit, length_penalty=1.0)
    memory, mask = model.encode(source)
    for row in range(2):
        best = -math.inf
        for text in itertools.product(range(1, V), repeat=limit):
            ended = text[: text.index(EOS) + 1] if EOS in text else text
            if len(ended) == 2 and text[0] != EOS:
                best = max(best, score_of(model, memory[row], mask[row], text))
        best = max(best, score_of(model, memory[row], mask[row], (EOS,)))
        assert found.scores[row, 0].item() == pytest.approx(best, abs=1e-4)


def score_of(model: nn.Module, memory: Tensor, mask: Tensor, text: tuple[int, ...]) -> float:
    target_in = torch.tensor([[BOS, *text[:-1]]])
    log_probs = model.decode(target_in, memory[None], mask[None]).log_softmax(2)[0]
    total = sum(log_probs[t, token].item() for t, token in enumerate(text))
    return total / ((5 + len(text)) / 6)


def test_scores_belong_to_the_texts_and_rows_are_independent() -> None:
    model, source = translator(), sources()
    found = beam_search(model, source, beams=3, length_penalty=1.0)
    memory, mask = model.encode(source)
    for row in range(len(source)):
        alone = beam_search(model, source[row : row + 1], beams=3, length_penalty=1.0)
        torch.testing.assert_close(found.scores[row], alone.scores[0], rtol=1e-4, atol=1e-4)
        assert found.scores[row].tolist() == sorted(found.scores[row].tolist(), reverse=True)
        for text, score in zip(found.tokens[row].tolist(), found.scores[row].tolist(), strict=True):
            tokens = tuple(token for token in text if token)
            assert score == pytest.approx(score_of(model, memory[row], mask[row], tokens), abs=1e-4)


def test_invalid_beam_search_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expects at least one beam .* received beams=0"):
        beam_search(translator(), sources(), beams=0)
