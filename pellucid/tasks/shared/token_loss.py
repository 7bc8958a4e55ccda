"""What every token costs a model of text, in nats: its surprise, -ln p.

Shapes: B windows, T tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from pellucid.data.batches import Batches
from pellucid.data.text.text_inputs import TextInputs
from pellucid.data.text.token_rows import IGNORED
from pellucid.evaluation import Trained
from pellucid.nn.modes import evaluating
from pellucid.tasks.shared.token_objective import logits_at
from pellucid.train.execution import execution_mode

PASSAGE = 120
"""Tokens of the passage to show."""


@dataclass
class Losses:
    """What the predicted tokens cost, added up.

    Attributes:
        places: (T, 2) nats and tokens by place in the window.
        passage: the tokens of the first window, and what each cost.
        total: nats over all tokens.
        count: tokens that were predicted.
        hits: how many of them were the most likely.
    """

    places: np.ndarray
    passage: tuple[np.ndarray, np.ndarray]
    total: float = 0.0
    count: int = 0
    hits: int = 0

    @classmethod
    def of(cls, trained: Trained, batches: Batches) -> Losses:
        """Run a split through a model; all its windows are of one length."""
        made: Losses | None = None
        for targets, losses, hits in token_losses(trained, batches):
            known = targets != IGNORED
            if made is None:
                made = cls(np.zeros((targets.shape[1], 2)), (targets[0][known[0]], losses[0][known[0]]))
            made.total += float(losses.sum(dtype=np.float64))
            made.count += int(known.sum())
            made.hits += int(hits.sum())
            made.places += np.stack([losses.sum(0), known.sum(0)], 1)
        assert made is not None
        return made

    @property
    def mean(self) -> float:
        """Mean loss of a token, in nats."""
        return self.total / max(self.count, 1)

    @property
    def metrics(self) -> dict[str, float]:
        """Return loss, perplexity and accuracy."""
        perplexity = math.exp(min(self.mean, 700.0))
        return {"loss": self.mean, "perplexity": perplexity, "accuracy": self.hits / max(self.count, 1)}

    def loss_by_token(self, encoded: TextInputs) -> dict[str, Any]:
        """A passage, each token with its loss."""
        tokens, losses = (part[:PASSAGE] for part in self.passage)
        row = {
            "tokens": encoded.pieces(tokens),
            "weights": [round(loss, 3) for loss in losses.tolist()],
            "label": f"{losses.mean():.2f} nats per token" if len(losses) else "",
            "note": "the beginning of this split",
        }
        caption = "The loss of each token given the previous ones, in nats: 0 where the model was certain."
        return {"kind": "tokens", "title": "Loss by token", "caption": caption, "rows": [row]}

    def loss_by_position(self) -> dict[str, Any]:
        """The mean loss at each place of a window."""
        seen = self.places[:, 1] > 0
        x = (np.flatnonzero(seen) + 1).tolist()
        y = (self.places[seen, 0] / self.places[seen, 1]).tolist()
        return {
            "kind": "lines",
            "title": "Loss by length of context",
            "caption": "The mean loss at each position of a window: later tokens have more context.",
            "x_label": "tokens of context",
            "y_label": "loss, in nats per token",
            "series": [{"name": "loss", "x": x, "y": y}],
        }


def token_losses(trained: Trained, batches: Batches) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Targets, losses (0 where a target is ignored) and hits, (B, T) each, batch by batch."""
    mode = execution_mode(trained.execution)
    with evaluating(trained.model):
        for inputs, targets in batches:
            known = targets != IGNORED
            wanted = targets[known].to(trained.device)
            with mode.computing(trained.device):
                tokens = mode.place_batch(inputs, trained.device)
                logits = logits_at(trained.model, tokens, known.to(trained.device)).float()  # (N, V)
            losses, hits = torch.zeros(targets.shape), torch.zeros(targets.shape, dtype=torch.bool)
            losses[known] = F.cross_entropy(logits, wanted, reduction="none").cpu()
            hits[known] = (logits.argmax(1) == wanted).cpu()
            yield targets.numpy(), losses.numpy(), hits.numpy()
