"""The multilabel objective: any number of K labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pellucid.batch import as_batch
from pellucid.train.losses import loss as named_loss
from pellucid.train.objective import Measures, Objective, logits_of, penalty, supervised
from pellucid.train.output_forms import to_logits


def multilabel(
    loss: str | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    outputs: str | None = None,
) -> Objective:
    """Any number of K labels. Logits and targets (B, K); measured are loss and share of correct labels.

    `outputs` is "probabilities" where the model returns those (`pellucid.train.output_forms`); None: logits.
    """
    function = named_loss(loss or "bce", **(options or {}))

    def score(logits: Tensor, batch: Any) -> Measures:
        targets = as_batch(batch).targets
        correct = (logits > 0) == (targets > 0.5)
        return {
            "loss": (function(logits, targets) * len(targets), len(targets)),
            "accuracy": (correct.sum(), targets.numel()),
        }

    convert = to_logits(outputs, several=True)
    made = supervised("multilabel", function, score, read=logits_of, convert=convert, penalty=penalty(l1, l2))
    return replace(made, probs=torch.sigmoid)
