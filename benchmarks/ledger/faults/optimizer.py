"""Faults of optimizers and learning rates."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn

from benchmarks.ledger.bases import adam
from benchmarks.ledger.faults.registry import (
    DENSE,
    SUPERVISED,
    fault,
    habit,
    layers,
    rescaled,
)
from benchmarks.ledger.program import Program


@fault(
    "optimizer",
    (*SUPERVISED, "mlp-regression", "gpt", "autoencoder"),
    "learning-rate-too-high",
    "dead-units",
    "non-finite-loss",
)
def lr_x100(program: Program, strength: int) -> Program:
    return rescaled(program, 100 if strength == 1 else 200)


@fault("optimizer", (*SUPERVISED, "mlp-regression", "gpt", "autoencoder"), "learning-rate-too-low")
def lr_div_1000(program: Program, strength: int) -> Program:
    return rescaled(program, 1 / (1000 if strength == 1 else 3000))


@fault("optimizer", DENSE, "weight-decay-too-strong")
def weight_decay_1(program: Program, strength: int) -> Program:
    return replace(program, optimizer=adam(1e-3, weight_decay=1.0 * strength))


@fault("optimizer", ("mlp-table", "cnn-norm"), "clipped-to-nothing")
def clip_1e_4(program: Program, strength: int) -> Program:
    return habit(program, clip=1e-4 / strength)


@fault("optimizer", ("mlp-images", "cnn", "cnn-norm"), "learning-rate-vanished")
def schedule_to_zero(program: Program, strength: int) -> Program:
    gamma = 0.5 if strength == 1 else 0.3
    return habit(
        replace(program, schedule=lambda o, steps, epochs: torch.optim.lr_scheduler.ExponentialLR(o, gamma)),
        schedule_each="batch",
    )


@fault("optimizer", ("mlp-images", "cnn", "mlp-regression"), "optimizer-of-other-parameters", contract=True)
def optimizer_of_a_copy(program: Program, strength: int) -> Program:
    other = copy.deepcopy(program.model)
    return replace(program, optimizer=lambda model: program.optimizer(other))


@fault("optimizer", ("mlp-images", "cnn", "rnn-rows"), "not-in-optimizer")
def layer_in_no_optimizer(program: Program, strength: int) -> Program:
    first = {
        id(p) for p in next(iter(layers(program.model, nn.Linear, nn.Conv2d, nn.RNNBase)))[2].parameters()
    }
    return replace(
        program,
        optimizer=lambda model: torch.optim.Adam([p for p in model.parameters() if id(p) not in first], 1e-3),
    )


@fault("optimizer", ("mlp-images", "cnn", "mlp-regression"), "frozen-random")
def frozen_by_mistake(program: Program, strength: int) -> Program:
    for _, _, layer in layers(program.model, nn.Linear, nn.Conv2d)[: 2 if strength == 1 else 1]:
        layer.requires_grad_(False)
    return program
