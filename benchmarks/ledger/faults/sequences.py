"""Faults of recurrent networks and Transformers."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmarks.ledger.bases import Attending, Recurrent, TextRecurrent, Transformer
from benchmarks.ledger.faults.registry import (
    attentions,
    fault,
    rescaled,
)
from benchmarks.ledger.program import Program


@fault("sequence", ("rnn-rows",), "rows-mixed", contract=True)
def wrong_batch_axis(program: Program, strength: int) -> Program:
    assert isinstance(program.model, Recurrent)
    program.model.rnn.batch_first = False
    return program


class LastPadded(TextRecurrent):
    """Classifies by the state at the last place, padding or not."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Classify (B, T) tokens."""
        return self.head(self.rnn(self.embed(tokens))[0][:, -1])


@fault("sequence", ("rnn-text",), "padding-read")
def padded_last_state(program: Program, strength: int) -> Program:
    program.model.__class__ = LastPadded
    return program


@fault("sequence", ("gpt",), "future-visible", contract=True)
def no_causal_mask(program: Program, strength: int) -> Program:
    for layer in attentions(program.model):
        layer.causal = False
    return program


@fault("sequence", ("gpt",), "future-visible", "mask-inverted", contract=True)
def inverted_mask(program: Program, strength: int) -> Program:
    class Inverted(Attending):
        def allowed(self, length: int, padded: Tensor | None) -> Tensor | None:
            mask = super().allowed(length, padded)
            return None if mask is None else ~mask

    for layer in attentions(program.model):
        layer.__class__ = Inverted
    return program


@fault("sequence", ("transformer-text",), "padding-read")
def padding_attended(program: Program, strength: int) -> Program:
    class Blind(Attending):
        def allowed(self, length: int, padded: Tensor | None) -> Tensor | None:
            return None

    for layer in attentions(program.model):
        layer.__class__ = Blind
    return program


@fault("sequence", ("gpt", "transformer-text"), "no-positions")
def no_positions(program: Program, strength: int) -> Program:
    assert isinstance(program.model, Transformer)
    program.model.positions = nn.Parameter(torch.zeros_like(program.model.positions), requires_grad=False)
    return program


@fault("sequence", ("gpt", "transformer-text"), "attention-unscaled")
def unscaled_scores(program: Program, strength: int) -> Program:
    class Unscaled(Attending):
        def forward(self, inputs: Tensor, padded: Tensor | None = None) -> Tensor:
            normed = self.norm1(inputs)
            q, k, v = (self._split(layer(normed)) for layer in (self.q_proj, self.k_proj, self.v_proj))
            scores = q @ k.transpose(-2, -1)
            mask = self.allowed(inputs.shape[1], padded)
            if mask is not None:
                scores = scores.masked_fill(~mask, -1e9)
            inputs = inputs + self.out_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
            return inputs + self.mlp(self.norm2(inputs))

    for layer in attentions(program.model):
        layer.__class__ = Unscaled
    return program


@fault("sequence", ("gpt", "transformer-text"), "shared-projections")
def shared_projections(program: Program, strength: int) -> Program:
    for layer in attentions(program.model):
        layer.k_proj = layer.q_proj
        if strength == 2:
            layer.v_proj = layer.q_proj
    return program


@fault("sequence", ("gpt",), "learning-rate-too-high", "warm-up-missing")
def lr_x10_no_warm_up(program: Program, strength: int) -> Program:
    return rescaled(program, 20 * strength)


@fault("sequence", ("gpt",), "targets-are-inputs", contract=True)
def targets_not_shifted(program: Program, strength: int) -> Program:
    return replace(program, train=(program.train[0], program.train[0]))


@fault(
    "sequence", ("rnn-rows",), "exploding-gradients", "learning-rate-too-high", "initial-weights-too-large"
)
def exploding_rnn(program: Program, strength: int) -> Program:
    model = Recurrent(14, 48, nn.RNN)
    for name, one in model.rnn.named_parameters():
        if "weight" in name:
            nn.init.normal_(one, std=1.0 * strength)
    return replace(program, model=model)
