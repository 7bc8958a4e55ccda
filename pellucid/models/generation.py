"""Text generation with an encoder-decoder: beam search; sampling is in `pellucid.models.sampling`.

Shapes: B examples, T tokens, V vocabulary, N beams. Every step computes one token per row; the model's cache
holds the previous tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pellucid.models.sampling import (
    BOS,
    EOS,
    NEVER,
    CachedModel,
    Continuations,
    SampleSettings,
    grown,
    sample,
    without,
)
from pellucid.nn import PAD
from pellucid.nn.modes import evaluating

__all__ = ["BOS", "EOS", "Beams", "beam_search", "sample", "sample_targets"]


class EncoderDecoder(CachedModel, Protocol):
    """A model of one text given another: `Seq2Seq`."""

    @property
    def max_target_len(self) -> int: ...

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]: ...

    def decode(self, target_in: Tensor, memory: Tensor, source_mask: Tensor, cache: Any) -> Tensor: ...


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
    never: Sequence[int] = (PAD,),
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
        never: tokens that are never chosen; padding never is.

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
            rows = search.advance(step, without(logits.float().log_softmax(1), (PAD, *never)))
            cache.reorder(rows)
            last = search.live[:, :, step].reshape(-1, 1)
            if bool(search.done.all()):
                break
        return search.result()


class _Targets:
    """The decoder of an encoder-decoder for some sources, as a language model of their targets."""

    max_seq_len: int | None = None

    def __init__(self, model: EncoderDecoder, source: Tensor):
        self.model, self.new_cache = model, model.new_cache
        self.memory, self.mask = model.encode(source)

    def __call__(self, tokens: Tensor, cache: Any) -> Tensor:
        return self.model.decode(tokens, self.memory, self.mask, cache)


def sample_targets(
    model: EncoderDecoder, source: Int[Tensor, "B S"], max_new_tokens: int | None = None, **settings: Any
) -> Int[Tensor, "B T"]:
    """Sample a target for every source, token by token.

    Args:
        model: the model; it is in evaluation mode during the call.
        source: the sources.
        max_new_tokens: maximum length of a target, including EOS; the maximum of the model by default.
        settings: those of `pellucid.models.sampling.SampleSettings`.

    Returns:
        The targets without BOS, with EOS, padded at the end.

    Raises:
        ValueError: a setting out of its range.
    """
    limit = min(max_new_tokens or model.max_target_len, model.max_target_len)
    with evaluating(model), torch.inference_mode():
        start = source.new_full((len(source), 1), BOS)
        how = SampleSettings(**settings)
        return grown(Continuations(_Targets(model, source), start, limit, how))[:, 1:]


class _BeamSearch:
    """Prefixes and ended texts of a batch.

    Attributes:
        live: (B, N, limit), the prefixes; `live_scores` (B, N) are their log-probabilities.
        ended: (B, N, limit), the best ended texts; `ended_scores` (B, N) are divided by the length penalty.
        done: (B,), True for examples with N ended texts, the best of which no prefix can beat any more.
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
        # Log-probabilities only fall, so a prefix scores best if it adds nothing up to the limit. A model
        # trained with label smoothing ends four beginnings of a text before the text itself.
        hope = self.live_scores[:, 0] / self._penalty(self.limit)
        self.done = self.done | ((self.ended_scores > NEVER).all(1) & (self.ended_scores[:, 0] >= hope))
        if step + 1 == self.limit:
            self._end(self.live, self.live_scores, self.limit)
        first = torch.arange(examples, device=scores.device)[:, None] * self.beams
        return (first + parents.gather(1, best)).flatten()

    def _end(self, texts: Tensor, scores: Tensor, length: int) -> None:
        """Keep the best N of the ended texts and these; examples that are done do not change."""
        scores = scores / self._penalty(length)
        scores = scores.masked_fill(self.done[:, None], NEVER)
        all_texts = torch.cat([self.ended, texts], dim=1)
        self.ended_scores, best = torch.cat([self.ended_scores, scores], dim=1).topk(self.beams, dim=1)
        self.ended = all_texts.gather(1, best[:, :, None].expand(-1, -1, self.limit))

    def _penalty(self, length: int) -> float:
        return ((5 + length) / 6) ** self.length_penalty

    def result(self) -> Beams:
        texts = self.ended.masked_fill((self.ended_scores == NEVER)[:, :, None], PAD)
        longest = int((texts != PAD).sum(2).max())
        return Beams(texts[:, :, :longest], self.ended_scores)
