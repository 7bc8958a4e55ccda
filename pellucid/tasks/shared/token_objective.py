"""What objectives over tokens share: logits where a target is set, losses and measures.

Shapes: B texts, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.tasks.shared.model_interfaces import is_tied_language_model, tied_language_model
from pellucid.tasks.shared.sampled_softmax import chances, chances_of, sampled_cross_entropy
from pellucid.train.objective import Measures

PAD = 0
IGNORED = -100
"""Target of a position that is not predicted."""


def logits_at(model: nn.Module, tokens: Tensor, chosen: Tensor) -> Tensor:
    """Return the logits (N, V) of N chosen positions; a `TiedLanguageModel` computes only these.

    Args:
        model: tokens (B, T) -> logits (B, T, V).
        tokens: the inputs, (B, T).
        chosen: True at the N positions, (B, T).
    """
    if not is_tied_language_model(model):
        return model(tokens)[chosen]
    scored = tied_language_model(model)
    return F.linear(scored.hidden(tokens)[chosen], *scored.output_weights())


def sampled_loss(size: int, counts: Tensor | None) -> Callable[[nn.Module, Any], Tensor]:
    """Return a training loss over a sample of the vocabulary.

    Args:
        size: number of sampled tokens.
        counts: (V,) how often each token occurs in the training texts; None: sample uniformly.
    """
    known = None if counts is None else chances(counts, size)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        tokens, targets = batch
        scored = tied_language_model(model)
        chosen = targets != IGNORED
        hidden = scored.hidden(tokens)[chosen]  # (N, H)
        weight, bias = scored.output_weights()
        pi = chances_of(known, size, weight)
        losses = sampled_cross_entropy(hidden, targets[chosen], weight, bias, pi)
        return losses.sum() / max(len(losses), 1)

    return loss


def mean_loss(logits: Tensor, targets: Tensor, ignored: int, label_smoothing: float) -> Tensor:
    """Return the mean over targets that are not ignored; 0 if there are none."""
    total = F.cross_entropy(
        logits.float(), targets, ignore_index=ignored, reduction="sum", label_smoothing=label_smoothing
    )
    return total / (targets != ignored).sum().clamp(min=1)


def token_measures(logits: Tensor, targets: Tensor, ignored: int) -> Measures:
    """Return the sum of the losses and the number of correct tokens, each with the number of tokens.

    Args:
        logits: (N, V).
        targets: (N,) token ids.
        ignored: the target of positions that do not count.
    """
    count = int((targets != ignored).sum())
    return {
        "loss": (F.cross_entropy(logits.float(), targets, ignore_index=ignored, reduction="sum"), count),
        "accuracy": (((logits.argmax(1) == targets) & (targets != ignored)).sum(), count),
    }
