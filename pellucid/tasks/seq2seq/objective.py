"""The sequence-to-sequence objective: write one sequence after reading another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pellucid.tasks.shared.token_objective import (
    PAD,
    mean_loss,
    token_measures,
)
from pellucid.train.objective import Measures, Objective, Phase


@dataclass(frozen=True)
class Options:
    """Options of the task.

    Attributes:
        shared_vocabulary: whether source and target have one vocabulary.
    """

    shared_vocabulary: bool = False


def seq2seq(label_smoothing: float = 0.1, *, name: str = "seq2seq") -> Objective:
    r"""Predict the tokens of a sequence from another sequence and the tokens before.

    The loss is the mean over target tokens of $-\ln p(y_t \mid y_{<t}, x)$, in nats, with the true tokens
    before t given to the decoder, "teacher forcing" (Sutskever, Vinyals and Le 2014).

    Batches are (source (B, S), target (B, T)) with targets BOS ... EOS, padded with 0, which asks nothing.
    The model is called as `model(source, target[:, :-1])` and gives logits (B, T - 1, V) for
    `target[:, 1:]`. Measured are the loss, unsmoothed, and the share of tokens that are right.

    Args:
        label_smoothing: share of the target that is spread over all tokens, 0..1; 0.1 as in Vaswani et al.
            2017.
        name: "seq2seq" or "span_denoising" (Raffel et al. 2020), which differ only in their data.
    """

    def answered(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        source, target = batch
        return model(source, target[:, :-1]).flatten(0, 1), target[:, 1:].flatten()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return mean_loss(*answered(model, batch), PAD, label_smoothing)

    def measure(model: nn.Module, batch: Any) -> Measures:
        return token_measures(*answered(model, batch), PAD)

    return Objective(name, (Phase("train", loss),), measure)
