"""The objective of predicting which words follow soon, in any order.

Shapes: B windows, T tokens, P places that are looked at, H features, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import ConfigError
from pellucid.tasks.shared.model_interfaces import tied_language_model
from pellucid.tasks.shared.sampled_softmax import chances, chances_of, draw
from pellucid.train.objective import Measures, Objective, Phase

STRIDE = 2
"""Distance between positions that are trained on; their neighbors are nearly the same."""
MEASURED = 8
"""Distance between positions that are evaluated."""
SPECIAL = 5
"""Tokens that are no words: padding, unknown, beginning, end, mask."""


@dataclass(frozen=True)
class Options:
    """Options of the task; see `next_words`."""

    window: int = 20
    num_sampled: int | None = None
    subsample: float = 1e-4


def next_words(
    *,
    window: int = Options.window,
    num_sampled: int | None = Options.num_sampled,
    subsample: float = Options.subsample,
    counts: Tensor | None = None,
) -> Objective:
    r"""Predict at each position which words are among the next ones.

    A network that predicts only the next word learns grammar first; the topic of a passage and its sentiment
    show in the words of the next sentence or two (Johnson and Zhang 2015, "two-view
    embedding"; Mikolov et al. 2013). The loss is the mean over the words y of the next `window` ones of

    $$-\ln \frac{q_y e^{s_y}}{\sum_v q_v e^{s_v}}, \quad q_y \propto \omega_y f_y, \quad
    \omega_y = \min(1, \sqrt{r / f_y}),$$

    in nats, each weighted by $\omega_y$: words with a frequency f above r, which are common everywhere, are
    subsampled (Mikolov et al., section 2.3). The scores s are the log of how many times as likely a word is
    here as elsewhere. Batches are (tokens (B, T), targets (B, T)), the tokens that follow, where -100 is
    ignored. The model must be one of `TiedLanguageModel`, and causal. Evaluation measures the loss over the
    whole vocabulary.

    Args:
        window: words that count as the next ones.
        num_sampled: learn from about this many words, drawn in every step; see `sampled_cross_entropy`.
            None: from all.
        subsample: r; words that are rarer count in full.
        counts: how often each token is there, (V,); None: all words have the same weight.

    Raises:
        ConfigError: an option out of its range.
    """
    for option, value in (("window", window), ("num_sampled", num_sampled)):
        if value is not None and value < 1:
            raise ConfigError(f"objective.options.{option}: expected 1 or more, received {value}.")
    if subsample <= 0:
        raise ConfigError(f"objective.options.subsample: expected a frequency above 0, received {subsample}.")
    weigh = None if counts is None else importance(counts, subsample)
    pi = (
        None
        if weigh is None or counts is None or num_sampled is None
        else chances(counts * weigh, num_sampled)
    )
    prior = None if weigh is None or counts is None else (counts * weigh).clamp(min=1e-3).log()

    def bags(model: nn.Module, batch: Any, stride: int, size: int | None) -> tuple[Tensor, Tensor]:
        """Return the summed losses of the next words at every position, (B, P), and their weights."""
        tokens, targets = batch
        scored = tied_language_model(model)
        hidden = scored.hidden(tokens)[:, ::stride]  # (B, P, H)
        weight, bias = scored.output_weights()
        offset = weight.new_zeros(len(weight)) if prior is None else prior.to(weight.device)  # (V,)
        offset = offset if bias is None else offset + bias
        omega = weight.new_ones(len(weight)) if weigh is None else weigh.to(weight.device)
        words = targets.clamp(min=0)
        weights = omega[words] * (targets >= SPECIAL)  # (B, T)
        sums = _ahead(F.embedding(words, weight) * weights[..., None], window, stride)  # (B, P, H)
        offsets = _ahead((offset[words] * weights)[..., None], window, stride)[..., 0]  # (B, P)
        total = _ahead(weights[..., None], window, stride)[..., 0]  # (B, P)
        own = (hidden.float() * sums).sum(-1) + offsets
        return total * _normalizer(hidden, weight, offset, pi, size) - own, total

    def loss(model: nn.Module, batch: Any) -> Tensor:
        losses, total = bags(model, batch, STRIDE, num_sampled)
        return losses.sum() / total.sum().clamp(min=1e-6)

    def measure(model: nn.Module, batch: Any) -> Measures:
        losses, total = bags(model, batch, MEASURED, None)
        return {"loss": (losses.sum(), total.sum().item())}

    return Objective("next_words", (Phase("train", loss),), measure)


def importance(counts: Tensor, subsample: float) -> Tensor:
    """Return the weight of every word, (V,): see `next_words`; tokens that are no words have none.

    Args:
        counts: how often each is there, (V,).
        subsample: the frequency up to which a word counts in full.
    """
    shares = counts / counts.sum().clamp(min=1)
    weights = (subsample / shares.clamp(min=1e-12)).sqrt().clamp(max=1).float()
    weights[:SPECIAL] = 0
    return weights


def _normalizer(
    hidden: Tensor, weight: Tensor, offset: Tensor, pi: Tensor | None, size: int | None
) -> Tensor:
    """The logarithm of the sum over words of the exponential of their scores, (B, P), or an estimate."""
    if size is None:
        return (F.linear(hidden, weight).float() + offset).logsumexp(-1)
    chance = chances_of(pi, size, weight)  # (V,)
    drawn = draw(chance)  # (S,)
    scores = F.linear(hidden, F.embedding(drawn, weight)).float()  # (B, P, S)
    return (scores + (offset[drawn] - chance[drawn].log())).logsumexp(-1)


def _ahead(x: Tensor, window: int, stride: int) -> Tensor:
    """Sum x (B, T, C) over every `stride`-th place and the `window` - 1 places that follow it: (B, P, C)."""
    sums = F.pad(x.cumsum(1), (0, 0, 1, 0))  # (B, T + 1, C)
    starts = torch.arange(0, x.shape[1], stride, device=x.device)
    return sums[:, (starts + window).clamp(max=x.shape[1])] - sums[:, starts]
