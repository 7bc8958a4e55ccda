"""Text generation: sampling from a language model, and beam search with an encoder-decoder.

Shapes: B examples, T tokens, V vocabulary, N beams. Every step computes one token per row; the model's cache
holds the previous tokens.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pellucid.nn import PAD
from pellucid.nn.modes import HasTrainingMode, evaluating

BOS = 2  # beginning of sequence
EOS = 3  # end of sequence
NEVER = -float("inf")


class CachedModel(HasTrainingMode, Protocol):
    """A model that generates token by token with a cache."""

    def new_cache(self) -> Any: ...


class LanguageModel(CachedModel, Protocol):
    """A causal model of text: `GPT`, `RNNLanguageModel`."""

    @property
    def max_seq_len(self) -> int | None: ...

    def __call__(self, tokens: Tensor, cache: Any) -> Tensor: ...


class EncoderDecoder(CachedModel, Protocol):
    """A model of one text given another: `Seq2Seq`."""

    @property
    def max_target_len(self) -> int: ...

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]: ...

    def decode(self, target_in: Tensor, memory: Tensor, source_mask: Tensor, cache: Any) -> Tensor: ...


def sample(
    model: LanguageModel,
    prompts: Int[Tensor, "B T"],
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: int | None = EOS,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "B S"]:
    """Continue texts token by token.

    When a text exceeds the context of the model, it continues from the last half of the context, so that most
    steps still cost one token.

    Args:
        model: the model; it is in evaluation mode during the call.
        prompts: at least one token each; shorter ones are padded at the end.
        max_new_tokens: maximum number of tokens to add to each prompt.
        temperature: divisor of the logits; below 1 makes likely tokens more likely, above 1 less so, and 0
            always picks the most likely token.
        top_k: sample among the k most likely tokens.
        top_p: sample among the smallest set of tokens with this total probability, 0..1 (nucleus sampling,
            Holtzman et al. 2020).
        stop: token that ends a text; None for none.
        generator: random number generator; torch's global one by default.

    Returns:
        The prompts with their continuations, padded at the end.

    Raises:
        ValueError: an empty prompt, or a setting out of its range.
    """
    _check_sampling(prompts, temperature, top_k, top_p)
    lengths = (prompts != PAD).sum(1)  # (B,)
    now, ends = int(lengths.min()), lengths + max_new_tokens
    tokens = prompts.new_full((len(prompts), int(ends.max())), PAD)
    tokens[:, : prompts.shape[1]] = prompts[:, : tokens.shape[1]]
    with evaluating(model), torch.inference_mode():
        cache, begin, seen = model.new_cache(), 0, 0
        while now < tokens.shape[1]:
            if model.max_seq_len is not None and now - begin > model.max_seq_len:
                begin = seen = now - max(1, model.max_seq_len // 2)
                cache = model.new_cache()
            logits = model(tokens[:, seen:now], cache=cache)[:, -1]  # (B, V)
            chosen = choose(logits, temperature, top_k, top_p, generator)  # (B,)
            given, ended = now < lengths, now >= ends
            tokens[:, now] = torch.where(given, tokens[:, now], chosen.masked_fill(ended, PAD))
            if stop is not None:
                ends = torch.where(~given & ~ended & (chosen == stop), now + 1, ends)
            seen, now = now, now + 1
            if bool((ends <= now).all()):
                break
    return tokens[:, :now]


def _check_sampling(prompts: Tensor, temperature: float, top_k: int | None, top_p: float | None) -> None:
    if prompts.ndim != 2 or not bool((prompts != PAD).any(1).all()):
        raise ValueError(
            f"sample expects prompts (B, T) of at least one token each, received {tuple(prompts.shape)} "
            f"with an empty one. Try the token that starts a text, {BOS}."
        )
    if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise ValueError(
            "sample expects a temperature of 0 or more, a top_k of 1 or more and a top_p in 0..1, received "
            f"temperature={temperature}, top_k={top_k}, top_p={top_p}."
        )


def choose(
    logits: Float[Tensor, "B V"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "B"]:
    """Choose a token for each row, never padding; see `sample`."""
    logits = logits.float().index_fill(1, logits.new_tensor([PAD], dtype=torch.long), NEVER)
    if temperature == 0:
        return logits.argmax(1)
    logits = logits / temperature
    if top_k is not None:
        least = logits.topk(min(top_k, logits.shape[1])).values[:, -1:]  # (B, 1)
        logits = logits.masked_fill(logits < least, NEVER)
    probs = logits.softmax(1)
    if top_p is not None:
        probs = _nucleus(probs, top_p)
    return torch.multinomial(probs, 1, generator=generator).squeeze(1)


def _nucleus(probs: Tensor, top_p: float) -> Tensor:
    """Keep the most likely tokens of each row up to a total probability of `top_p`, and at least one."""
    ordered, order = probs.sort(dim=1, descending=True)
    before = ordered.cumsum(1) - ordered  # probability of all more likely tokens
    return torch.zeros_like(probs).scatter(1, order, ordered.masked_fill(before >= top_p, 0.0))


class Beams(NamedTuple):
    """Results of beam search, best first.

    Attributes:
        tokens: (B, N, T); without BOS, with EOS, padded at the end.
        scores: (B, N); log-probability divided by the length penalty, -inf where fewer than N were found.
    """

    tokens: Tensor
    scores: Tensor


def beam_search(
    model: EncoderDecoder,
    source: Int[Tensor, "B S"],
    *,
    beams: int = 4,
    max_new_tokens: int | None = None,
    length_penalty: float = 0.6,
) -> Beams:
    """Search for the most likely targets, keeping the N best prefixes at every step.

    The score of a text is its log-probability divided by ((5 + length) / 6) ** length_penalty (Wu et al.
    2016, equation 14). The search for an example ends when N of its texts have ended; one beam is greedy
    search.

    Args:
        model: the model; it is in evaluation mode during the call.
        source: the sources.
        beams: N.
        max_new_tokens: maximum length of a target, including EOS; the maximum of the model by default.
        length_penalty: 0 or more; 0 is no penalty and favors short targets.

    Raises:
        ValueError: fewer than one beam, or a length penalty below 0.
    """
    if beams < 1 or length_penalty < 0:
        raise ValueError(
            "beam_search expects at least one beam and a length_penalty of 0 or more, received "
            f"beams={beams} and length_penalty={length_penalty}."
        )
    limit = min(max_new_tokens or model.max_target_len, model.max_target_len)
    with evaluating(model):
        memory, mask = (part.repeat_interleave(beams, 0) for part in model.encode(source))  # (B N, ...)
        search = _BeamSearch(len(source), beams, limit, length_penalty, source.device)
        cache = model.new_cache()
        last = source.new_full((len(source) * beams, 1), BOS)
        for step in range(limit):
            logits = model.decode(last, memory, mask, cache)[:, -1]  # (B N, V)
            rows = search.advance(step, logits.float().log_softmax(1))
            cache.reorder(rows)
            last = search.live[:, :, step].reshape(-1, 1)
            if bool(search.done.all()):
                break
        return search.result()


class _BeamSearch:
    """Prefixes and ended texts of a batch.

    Attributes:
        live: (B, N, limit), the prefixes; `live_scores` (B, N) are their log-probabilities.
        ended: (B, N, limit), the best ended texts; `ended_scores` (B, N) are divided by the length penalty.
        done: (B,), True for examples with N ended texts.
    """

    def __init__(self, examples: int, beams: int, limit: int, length_penalty: float, device: torch.device):
        self.beams, self.limit, self.length_penalty = beams, limit, length_penalty
        self.live = torch.full((examples, beams, limit), PAD, device=device)
        self.live_scores = torch.full((examples, beams), NEVER, device=device)
        self.live_scores[:, 0] = 0.0  # all beams start equal, so only the first is expanded
        self.ended, self.ended_scores = self.live.clone(), torch.full_like(self.live_scores, NEVER)
        self.done = torch.zeros(examples, dtype=torch.bool, device=device)

    def advance(self, step: int, log_probs: Float[Tensor, "BN V"]) -> Int[Tensor, "BN"]:
        """Add a token to every prefix; return the row (of B N) that each new prefix continues."""
        examples, vocab = len(self.done), log_probs.shape[1]
        log_probs[:, PAD] = NEVER
        totals = self.live_scores[:, :, None] + log_probs.view(examples, self.beams, vocab)
        # Twice as many candidates as beams: even if N of them end, N remain.
        scores, places = totals.flatten(1).topk(2 * self.beams, dim=1)  # (B, 2N)
        parents, tokens = places // vocab, places % vocab
        texts = self.live.gather(1, parents[:, :, None].expand(-1, -1, self.limit))
        texts[:, :, step] = tokens  # (B, 2N, limit)

        among_best = torch.arange(2 * self.beams, device=scores.device) < self.beams
        ending = tokens == EOS
        self._end(texts, scores.masked_fill(~(ending & among_best), NEVER), step + 1)
        continuing = scores.masked_fill(ending, NEVER)
        self.live_scores, best = continuing.topk(self.beams, dim=1)  # (B, N)
        self.live = texts.gather(1, best[:, :, None].expand(-1, -1, self.limit))
        self.done = self.done | (self.ended_scores > NEVER).all(1)
        if step + 1 == self.limit:
            self._end(self.live, self.live_scores, self.limit)
        first = torch.arange(examples, device=scores.device)[:, None] * self.beams
        return (first + parents.gather(1, best)).flatten()

    def _end(self, texts: Tensor, scores: Tensor, length: int) -> None:
        """Keep the best N of the ended texts and these; examples that are done do not change."""
        scores = scores / ((5 + length) / 6) ** self.length_penalty
        scores = scores.masked_fill(self.done[:, None], NEVER)
        all_texts = torch.cat([self.ended, texts], dim=1)
        self.ended_scores, best = torch.cat([self.ended_scores, scores], dim=1).topk(self.beams, dim=1)
        self.ended = all_texts.gather(1, best[:, :, None].expand(-1, -1, self.limit))

    def result(self) -> Beams:
        texts = self.ended.masked_fill((self.ended_scores == NEVER)[:, :, None], PAD)
        longest = int((texts != PAD).sum(2).max())
        return Beams(texts[:, :, :longest], self.ended_scores)
