"""The masked language modeling objective: predict masked tokens."""

from __future__ import annotations

from torch import Tensor

from pellucid.tasks.language_model.objective import Options, language_model
from pellucid.train.objective import Objective


def masked_language_model(
    label_smoothing: float = 0.0,
    *,
    num_sampled: int | None = Options.num_sampled,
    counts: Tensor | None = None,
) -> Objective:
    """Predict the masked tokens: `language_model` where most targets are -100."""
    return language_model(
        label_smoothing, num_sampled=num_sampled, counts=counts, name="masked_language_model"
    )
