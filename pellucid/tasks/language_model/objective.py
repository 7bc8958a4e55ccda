"""Objectives over tokens: the next one, the masked ones, or those of another sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import ConfigError
from pellucid.tasks.shared.model_interfaces import scores, scoring
from pellucid.tasks.shared.sampled_softmax import chances, chances_of, sampled_cross_entropy
from pellucid.train.objective import Measures, Objective, Phase

PAD = 0
IGNORED = -100
"""A target at which nothing is asked."""


def language_model(
    label_smoothing: float = 0.0,
    *,
    sampled: int | None = None,
    counts: Tensor | None = None,
    name: str = "language_model",
) -> Objective:
    r"""Say the token at every position that is asked for.

    The loss is the mean over those positions of $-\ln p(y_t \mid x)$, in nats; its exponential is the
    perplexity. For the next token, x is what came before (Bengio et al. 2003, A Neural Probabilistic
    Language Model); for a masked one, what stands around it (Devlin et al. 2019, BERT).

    Batches are (tokens (B, T), targets (B, T)), where -100 asks nothing; models give logits (B, T, V).
    Measured are the loss, unsmoothed and over the whole vocabulary, and the share of tokens whose most likely
    value is right.

    Args:
        label_smoothing: share of the target that is spread over all tokens, 0..1 (Szegedy et al. 2016).
        sampled: learn from about so many tokens, drawn anew in every step, instead of the whole vocabulary,
            which costs most of a step where it is large; see `sampled_cross_entropy`. The model must be
            one of `interfaces.Scoring`. None: from all.
        counts: how often each token is there, (V,), by which they are drawn; None: all alike.
        name: "language_model" or "masked_language_model". A masked one asks at few positions, and
            of a model of `interfaces.Scoring` only these are scored.

    Raises:
        ConfigError: a sample of no tokens, or a sample along with smoothing, which is over all of them.
    """
    if sampled is not None and sampled < 1:
        raise ConfigError(f"objective.options.sampled: expected 1 or more tokens, received {sampled}.")
    if sampled is not None and label_smoothing:
        raise ConfigError(
            f"objective.label_smoothing is {label_smoothing}, and it is over all tokens, of which "
            f"objective.options.sampled takes {sampled}.",
            remedy="--set objective.label_smoothing=0, or sampled=null",
        )
    sparse = name == "masked_language_model"

    def asked(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        tokens, targets = batch
        if not sparse:
            return model(tokens).flatten(0, 1), targets.flatten()
        chosen = targets != IGNORED
        return logits_at(model, tokens, chosen), targets[chosen]

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return _mean_loss(*asked(model, batch), IGNORED, label_smoothing)

    def measure(model: nn.Module, batch: Any) -> Measures:
        return _measures(*asked(model, batch), IGNORED)

    train = loss if sampled is None else _sampled_loss(sampled, counts)
    return Objective(name, (Phase("train", train),), measure)


def logits_at(model: nn.Module, tokens: Tensor, chosen: Tensor) -> Tensor:
    """Return the logits (N, V) of N chosen places alone, which of `interfaces.Scoring` costs the less for it.

    Args:
        model: tokens (B, T) -> logits (B, T, V).
        tokens: what it reads, (B, T).
        chosen: True at the N places, (B, T).
    """
    if not scores(model):
        return model(tokens)[chosen]
    scored = scoring(model)
    return F.linear(scored.hidden(tokens)[chosen], *scored.output_weights())


def _sampled_loss(size: int, counts: Tensor | None) -> Callable[[nn.Module, Any], Tensor]:
    known = None if counts is None else chances(counts, size)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        tokens, targets = batch
        scored = scoring(model)
        chosen = targets != IGNORED
        hidden = scored.hidden(tokens)[chosen]  # (N, H)
        weight, bias = scored.output_weights()
        pi = chances_of(known, size, weight)
        losses = sampled_cross_entropy(hidden, targets[chosen], weight, bias, pi)
        return losses.sum() / max(len(losses), 1)

    return loss


def masked_language_model(
    label_smoothing: float = 0.0, *, sampled: int | None = None, counts: Tensor | None = None
) -> Objective:
    """Say the tokens that were hidden: `language_model` where most targets are -100."""
    return language_model(label_smoothing, sampled=sampled, counts=counts, name="masked_language_model")


def seq2seq(label_smoothing: float = 0.1, *, name: str = "seq2seq") -> Objective:
    r"""Write one sequence after reading another.

    The loss is the mean over target tokens of $-\ln p(y_t \mid y_{<t}, x)$, in nats, with the true tokens
    before t given to the decoder, "teacher forcing" (Sutskever, Vinyals and Le 2014).

    Batches are (source (B, S), target (B, T)) with targets BOS ... EOS, padded with 0, which asks nothing.
    The model is called as `model(source, target[:, :-1])` and gives logits (B, T - 1, V) for
    `target[:, 1:]`. Measured are the loss, unsmoothed, and the share of tokens that are right.

    Args:
        label_smoothing: share of the target that is spread over all tokens, 0..1; 0.1 as in Vaswani et al.
            2017.
        name: "seq2seq" or "span_denoising" (Raffel et al. 2020), which differ in their data alone.
    """

    def answered(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        source, target = batch
        return model(source, target[:, :-1]).flatten(0, 1), target[:, 1:].flatten()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return _mean_loss(*answered(model, batch), PAD, label_smoothing)

    def measure(model: nn.Module, batch: Any) -> Measures:
        return _measures(*answered(model, batch), PAD)

    return Objective(name, (Phase("train", loss),), measure)


def span_denoising(label_smoothing: float = 0.0) -> Objective:
    """Write the spans that were cut out of a text: `seq2seq` on corrupted text."""
    return seq2seq(label_smoothing, name="span_denoising")


def _mean_loss(logits: Tensor, targets: Tensor, ignored: int, label_smoothing: float) -> Tensor:
    """The mean over targets that ask something; 0 if none does."""
    total = F.cross_entropy(
        logits.float(), targets, ignore_index=ignored, reduction="sum", label_smoothing=label_smoothing
    )
    return total / (targets != ignored).sum().clamp(min=1)


def _measures(logits: Tensor, targets: Tensor, ignored: int) -> Measures:
    count = int((targets != ignored).sum())
    return {
        "loss": (F.cross_entropy(logits.float(), targets, ignore_index=ignored, reduction="sum"), count),
        "accuracy": (((logits.argmax(1) == targets) & (targets != ignored)).sum(), count),
    }
