"""The language modeling objective: predict the next token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pellucid.errors import ConfigError
from pellucid.tasks.shared.token_objective import (
    IGNORED,
    logits_at,
    mean_loss,
    sampled_loss,
    token_measures,
)
from pellucid.train.objective import Measures, Objective, Phase


@dataclass(frozen=True)
class Options:
    """Options of the task; see `language_model`."""

    num_sampled: int | None = None


def language_model(
    label_smoothing: float = 0.0,
    *,
    num_sampled: int | None = Options.num_sampled,
    counts: Tensor | None = None,
    name: str = "language_model",
) -> Objective:
    r"""Predict the token at every position that has a target.

    The loss is the mean over those positions of $-\ln p(y_t \mid x)$, in nats; its exponential is the
    perplexity. For the next token, x is what came before (Bengio et al. 2003, A Neural Probabilistic
    Language Model); for a masked one, the tokens around it (Devlin et al. 2019, BERT).

    Batches are (tokens (B, T), targets (B, T)), where -100 is ignored; models give logits (B, T, V).
    Measured are the loss, unsmoothed and over the whole vocabulary, and the share of tokens whose most likely
    value is right.

    Args:
        label_smoothing: share of the target that is spread over all tokens, 0..1 (Szegedy et al. 2016).
        num_sampled: learn from about this many tokens, drawn in every step, instead of the whole vocabulary,
            which takes most of a step where it is large; see `sampled_cross_entropy`. The model must be
            one of `TiedLanguageModel`. None: from all.
        counts: how often each token is there, (V,), by which they are drawn; None: uniformly.
        name: "language_model" or "masked_language_model". A masked one asks at few positions, and
            of a model of `TiedLanguageModel` only these are scored.

    Raises:
        ConfigError: a sample of no tokens, or a sample along with smoothing, which is over all of them.
    """
    if num_sampled is not None and num_sampled < 1:
        raise ConfigError(
            f"objective.options.num_sampled: expected 1 or more tokens, received {num_sampled}."
        )
    if num_sampled is not None and label_smoothing:
        raise ConfigError(
            f"objective.label_smoothing is {label_smoothing}, and it is over all tokens, of which "
            f"objective.options.num_sampled takes {num_sampled}.",
            remedy="--set objective.label_smoothing=0, or num_sampled=null",
        )
    sparse = name == "masked_language_model"

    def asked(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        tokens, targets = batch
        if not sparse:
            return model(tokens).flatten(0, 1), targets.flatten()
        chosen = targets != IGNORED
        return logits_at(model, tokens, chosen), targets[chosen]

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return mean_loss(*asked(model, batch), IGNORED, label_smoothing)

    def measure(model: nn.Module, batch: Any) -> Measures:
        return token_measures(*asked(model, batch), IGNORED)

    train = loss if num_sampled is None else sampled_loss(num_sampled, counts)
    return Objective(name, (Phase("train", train),), measure)
