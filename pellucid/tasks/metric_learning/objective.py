"""An embedding in which examples of one class lie together and those of two classes apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.batch import as_batch
from pellucid.train.losses import contrastive, triplet
from pellucid.train.objective import Measures, Objective, logits_of, one_of, supervised

LossName = Literal["triplet", "contrastive", "supcon"]


@dataclass(frozen=True)
class Options:
    """Options of the task; see `metric_learning`.

    Attributes:
        held_out: what validation and test hold out: "rows", or "classes", which training then never sees.
    """

    loss: LossName = "triplet"
    margin: float = 0.5
    temperature: float = 0.1
    held_out: Literal["rows", "classes"] = "rows"


def metric_learning(
    loss: LossName = Options.loss,
    *,
    margin: float = Options.margin,
    temperature: float = Options.temperature,
) -> Objective:
    """Learn distances from classes.

    The loss is `losses.triplet` (the farthest of a class nearer than the nearest of another; Hermans et al.
    2017), `losses.contrastive` (Hadsell et al. 2006) or `supcon` (Khosla et al. 2020). All compare the rows
    of a batch with each other, so a batch needs several rows of a class.

    Batches are (inputs, classes (B,)); models give embeddings (B, D) of unit length. Measured are the loss,
    and "precision": the share of rows whose nearest other row of the batch is of their class, among the rows
    whose batch holds another of their class. The best weights are those with the highest.

    Args:
        loss: "triplet", "contrastive" or "supcon".
        margin: a Euclidean distance; between unit vectors it lies in 0..2. Only for triplet and contrastive.
        temperature: cosines are divided by it, > 0. Only for supcon.

    Raises:
        ConfigError: no such loss.
    """
    functions = {
        "triplet": partial(triplet, margin=margin),
        "contrastive": partial(contrastive, margin=margin),
        "supcon": partial(supcon, temperature=temperature),
    }
    one_of("loss", loss, functions)
    function = functions[loss]

    def score(embeddings: Tensor, batch: Any) -> Measures:
        classes = as_batch(batch).targets
        hits, asked = _nearest(embeddings, classes)
        return {
            "loss": (function(embeddings, classes) * len(classes), len(classes)),
            "precision": (hits, asked),
        }

    return supervised("metric_learning", function, score, read=logits_of, monitor="val/precision", mode="max")


def supcon(embeddings: Tensor, classes: Tensor, *, temperature: float = 0.1) -> Tensor:
    r"""Cross-entropy of finding the others of a row's class among all other rows of the batch.

    $\frac{1}{|P_i|} \sum_{p \in P_i} -\ln
    \frac{\exp(z_i \cdot z_p / \tau)}{\sum_{a \ne i} \exp(z_i \cdot z_a / \tau)}$, mean over the rows i that
    have others of their class, $P_i$; 0 if none has. Khosla et al. 2020, Supervised Contrastive Learning,
    equation 2.

    Args:
        embeddings: (B, D); brought to unit length here.
        classes: (B,), integer.
        temperature: tau, > 0.
    """
    units = F.normalize(embeddings.float(), dim=1)
    own = torch.eye(len(units), dtype=torch.bool, device=units.device)
    positive = (classes[:, None] == classes[None, :]) & ~own  # (B, B)
    log_probs = (units @ units.T / temperature).masked_fill(own, -torch.inf).log_softmax(dim=1)
    counts = positive.sum(1)
    terms = -log_probs.masked_fill(~positive, 0).sum(1) / counts.clamp(min=1)  # (B,)
    return terms.sum() / (counts > 0).sum().clamp(min=1)


def _nearest(embeddings: Tensor, classes: Tensor) -> tuple[Tensor, int]:
    """How many rows have their nearest other row in their class; among how many that could."""
    distances = torch.cdist(embeddings, embeddings)
    distances.fill_diagonal_(torch.inf)
    same = classes[:, None] == classes[None, :]
    asked = same.sum(1) > 1
    hits = (classes[distances.argmin(1)] == classes) & asked
    return hits.sum(), int(asked.sum())
