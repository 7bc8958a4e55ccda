"""Text generation by sampling: continue texts token by token with a causal model.

Shapes: B texts, T tokens, V vocabulary. Every step computes one token per row; the model's cache holds the
previous tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pellucid.nn import PAD
from pellucid.nn.modes import HasTrainingMode, evaluating

BOS = 2  # beginning of sequence
EOS = 3  # end of sequence
NEVER = -float("inf")

Generators = torch.Generator | Sequence[torch.Generator] | None
"""One random number generator for all texts, or one for each; None: torch's global one."""


class CachedModel(HasTrainingMode, Protocol):
    """A model that generates token by token with a cache."""

    def new_cache(self) -> Any: ...


class NextToken(Protocol):
    """Anything that gives the logits of next tokens, with a cache."""

    @property
    def max_seq_len(self) -> int | None: ...

    @property
    def new_cache(self) -> Callable[[], Any]: ...

    def __call__(self, tokens: Tensor, cache: Any) -> Tensor: ...


class LanguageModel(CachedModel, Protocol):
    """A causal model of text: `GPT`, `RNNLanguageModel`."""

    @property
    def max_seq_len(self) -> int | None: ...

    def __call__(self, tokens: Tensor, cache: Any) -> Tensor: ...


@dataclass(frozen=True)
class SampleSettings:
    """How texts are continued.

    Attributes:
        temperature: divisor of the logits; below 1 makes likely tokens more likely, above 1 less so, and 0
            always picks the most likely token.
        top_k: sample among the k most likely tokens.
        top_p: sample among the smallest set of tokens with this total probability, 0..1 (nucleus sampling,
            Holtzman et al. 2020).
        repetition_penalty: above 1 makes the tokens of the text so far less likely (CTRL, Keskar et al. 2019,
            section 4.1): their logits are divided by it where they are positive and multiplied where they are
            negative. `stop` is not penalized. 1 is no penalty.
        never: tokens that are never chosen; padding never is.
        stop: token that ends a text; None for none.
        ended: new tokens of a text -> whether it ends with them; None: only `stop` ends texts.
        generator: random number generators; with one for each text, texts do not depend on their neighbors.

    Raises:
        ValueError: a setting is out of its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0
    never: Sequence[int] = (PAD,)
    stop: int | None = EOS
    ended: Callable[[list[int]], bool] | None = None
    generator: Generators = None

    def __post_init__(self) -> None:
        wrong_top = (self.top_k is not None and self.top_k < 1) or (
            self.top_p is not None and not 0 < self.top_p <= 1
        )
        if self.temperature < 0 or wrong_top or self.repetition_penalty <= 0:
            raise ValueError(
                "sample expects a temperature of 0 or more, a top_k of 1 or more, a top_p in 0..1 and a "
                f"repetition_penalty above 0, received temperature={self.temperature}, top_k={self.top_k}, "
                f"top_p={self.top_p}, repetition_penalty={self.repetition_penalty}."
            )


def sample(
    model: LanguageModel, prompts: Int[Tensor, "B T"], max_new_tokens: int, **settings: Any
) -> Int[Tensor, "B S"]:
    """Continue texts token by token.

    A text does not depend on the others: what a model sees of it follows only from its length, see
    `context_start`.

    Args:
        model: the model; it is in evaluation mode during the call.
        prompts: at least one token each; shorter ones are padded at the end.
        max_new_tokens: maximum number of tokens to add to each prompt.
        settings: those of `SampleSettings`, such as temperature=0.

    Returns:
        The prompts with their continuations, padded at the end.

    Raises:
        ValueError: an empty prompt, or a setting out of its range.
    """
    texts = Continuations(model, prompts, max_new_tokens, SampleSettings(**settings))
    with evaluating(model):
        return grown(texts)


def grown(texts: Continuations) -> Int[Tensor, "B S"]:
    """Let texts grow until all have ended; their model must be in evaluation mode."""
    while not texts.done:
        texts.advance()
    return texts.tokens[:, : texts.now]


class Continuations:
    """Texts that grow by one token a step.

    Args:
        model: gives the logits of next tokens.
        prompts: see `sample`.
        max_new_tokens: see `sample`.
        settings: how a token is chosen, and what ends a text.

    Attributes:
        tokens: (B, S), the texts so far in their first `now` columns.
        lengths: (B,) tokens of the prompts.
        ends: (B,) where each text ends at the latest.
        done: whether all texts have ended.

    Raises:
        ValueError: an empty prompt.
    """

    def __init__(
        self,
        model: NextToken,
        prompts: Int[Tensor, "B T"],
        max_new_tokens: int,
        settings: SampleSettings = SampleSettings(),
    ):
        _check(prompts)
        self.model, self.settings = model, settings
        self.never = tuple({PAD, *settings.never})
        self.lengths = (prompts != PAD).sum(1)  # (B,)
        self.now, self.ends = int(self.lengths.min()), self.lengths + max_new_tokens
        self.tokens = prompts.new_full((len(prompts), int(self.ends.max())), PAD)
        self.tokens[:, : prompts.shape[1]] = prompts[:, : self.tokens.shape[1]]
        self.cache, self.begin, self.seen = model.new_cache(), 0, 0
        self.done = self.now >= self.tokens.shape[1]

    @torch.inference_mode()
    def advance(self) -> None:
        """Add a token to every text that has not ended."""
        begin = context_start(self.now, self.model.max_seq_len)
        if begin != self.begin:
            self.begin = self.seen = begin
            self.cache = self.model.new_cache()
        logits = self.model(self.tokens[:, self.seen : self.now], cache=self.cache)[:, -1]  # (B, V)
        how = self.settings
        if how.repetition_penalty != 1:
            logits = penalized(logits, self.tokens[:, : self.now], how.repetition_penalty, how.stop)
        now, given = self.now, self.now < self.lengths
        over = now >= self.ends
        chosen = choose(
            logits, how.temperature, how.top_k, how.top_p, never=self.never, **self._random(given)
        )  # (B,)
        self.tokens[:, now] = torch.where(given, self.tokens[:, now], chosen.masked_fill(over, PAD))
        self.seen, self.now = now, now + 1
        if how.stop is not None:
            self.ends = torch.where(~given & ~over & (chosen == how.stop), now + 1, self.ends)
        if how.ended is not None:
            self._end_by(how.ended)
        self.done = bool((self.ends <= self.now).all())

    def _random(self, given: Bool[Tensor, "B"]) -> dict[str, Any]:
        """Return what chooses at random; the generator of a text is not used within its prompt."""
        if not isinstance(self.settings.generator, Sequence):
            return {"generator": self.settings.generator}
        if self.settings.temperature == 0:
            return {}
        draws = [
            0.0 if inside else torch.rand(1, dtype=torch.double, device=each.device, generator=each).item()
            for inside, each in zip(given.tolist(), self.settings.generator, strict=True)
        ]
        return {"draws": torch.tensor(draws, dtype=torch.double, device=given.device)}

    def _end_by(self, ended: Callable[[list[int]], bool]) -> None:
        for row, (length, end) in enumerate(zip(self.lengths.tolist(), self.ends.tolist(), strict=True)):
            if length < self.now < end and ended(self.tokens[row, length : self.now].tolist()):
                self.ends[row] = self.now


def context_start(length: int, max_seq_len: int | None) -> int:
    """Return where the context for the next token starts in a text of `length` tokens.

    It is 0 until a text exceeds the context of the model, and then moves on by half a context at a time, so
    that most steps still cost one token. It depends on nothing else, so neither the prompt nor other texts
    change a continuation.
    """
    if max_seq_len is None or length <= max_seq_len:
        return 0
    hop = max(1, max_seq_len // 2)
    return -(-(length - max_seq_len) // hop) * hop


def _check(prompts: Tensor) -> None:
    if prompts.ndim != 2 or not bool((prompts != PAD).any(1).all()):
        raise ValueError(
            f"sample expects prompts (B, T) of at least one token each, received {tuple(prompts.shape)} "
            f"with an empty one. Try the token that starts a text, {BOS}."
        )


# ---- one token -----------------------------------------------------------------------------------


def choose(
    logits: Float[Tensor, "B V"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
    never: Sequence[int] = (PAD,),
    draws: Float[Tensor, "B"] | None = None,
) -> Int[Tensor, "B"]:
    """Choose a token for each row, none of `never`; see `sample`.

    `draws`, random numbers in [0, 1), take the place of the generator.
    """
    logits = without(logits.float(), never)
    if temperature == 0:
        return logits.argmax(1)
    logits = logits / temperature
    if top_k is not None:
        least = logits.topk(min(top_k, logits.shape[1])).values[:, -1:]  # (B, 1)
        logits = logits.masked_fill(logits < least, NEVER)
    probs = logits.softmax(1)
    if top_p is not None:
        probs = _nucleus(probs, top_p)
    if draws is None:
        return torch.multinomial(probs, 1, generator=generator).squeeze(1)
    total = probs.double().cumsum(1)  # (B, V)
    found = torch.searchsorted(total, draws[:, None] * total[:, -1:], right=True)  # (B, 1)
    return found.squeeze(1).clamp(max=logits.shape[1] - 1)


def without(logits: Float[Tensor, "B V"], never: Sequence[int]) -> Float[Tensor, "B V"]:
    """Return logits, or log-probabilities, that rule out some tokens."""
    return logits.index_fill(1, torch.tensor(never, dtype=torch.long, device=logits.device), NEVER)


def penalized(
    logits: Float[Tensor, "B V"], tokens: Int[Tensor, "B T"], penalty: float, exempt: int | None = None
) -> Float[Tensor, "B V"]:
    """Make tokens that were there before less likely; see `repetition_penalty` of `sample`."""
    logits = logits.float()
    found = logits.gather(1, tokens)  # (B, T)
    lower = torch.where(found > 0, found / penalty, found * penalty)
    if exempt is not None:
        lower = torch.where(tokens == exempt, found, lower)
    return logits.scatter(1, tokens, lower)


def _nucleus(probs: Tensor, top_p: float) -> Tensor:
    """Keep the most likely tokens of each row up to a total probability of `top_p`, and at least one."""
    ordered, order = probs.sort(dim=1, descending=True)
    before = ordered.cumsum(1) - ordered  # probability of all more likely tokens
    return torch.zeros_like(probs).scatter(1, order, ordered.masked_fill(before >= top_p, 0.0))
