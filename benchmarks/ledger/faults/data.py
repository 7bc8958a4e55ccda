"""Faults of the data and their order."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmarks.ledger.faults.registry import (
    SUPERVISED,
    fault,
    habit,
    inputs,
    targets,
)
from benchmarks.ledger.program import Program


@fault("data", ("mlp-images", "mlp-table", "cnn", "rnn-rows"), "inputs-unscaled")
def unscaled_inputs(program: Program, strength: int) -> Program:
    return inputs(program, lambda x: (x + 1) * 255 * strength)


@fault("data", ("mlp-images", "cnn", "rnn-rows"), "inputs-unscaled")
def scaled_twice(program: Program, strength: int) -> Program:
    return inputs(program, lambda x: x / (255 * 100 * strength))


@fault("data", SUPERVISED, "labels-unrelated")
def permuted_labels(program: Program, strength: int) -> Program:
    order = torch.randperm(len(program.train[1]), generator=torch.Generator().manual_seed(strength))
    return targets(program, lambda y: y[order])


@fault("data", ("mlp-images", "cnn", "cnn-norm"), "label-noise")
def label_noise_30(program: Program, strength: int) -> Program:
    generator = torch.Generator().manual_seed(7)

    def change(y: Tensor) -> Tensor:
        wrong = torch.rand(len(y), generator=generator) < (0.3 if strength == 1 else 0.4)
        return torch.where(wrong, torch.randint(0, int(y.max()) + 1, y.shape, generator=generator), y)

    return targets(program, change)


@fault("data", ("mlp-images", "cnn", "cnn-norm", "rnn-rows"), "unshuffled-batches")
def sorted_batches(program: Program, strength: int) -> Program:
    x, y = program.train
    order = y.argsort(stable=True)
    return habit(replace(program, train=(x[order], y[order])), shuffle=False)


@fault("data", ("mlp-images", "cnn"), "imbalanced-classes")
def imbalance_99(program: Program, strength: int) -> Program:
    x, y = program.train
    (u, v) = program.held
    rare = torch.nonzero(y == 1).flatten()[: 8 // strength]
    keep = torch.cat([torch.nonzero(y == 0).flatten().repeat(6), rare])

    def balanced(model: nn.Module, inputs: Tensor, wanted: Tensor) -> float:
        found = model(inputs).argmax(1)
        return sum((found[wanted == k] == k).float().mean().item() for k in (0, 1)) / 2

    held = v < 2
    return replace(program, train=(x[keep], y[keep]), held=(u[held], v[held]), metric=balanced)


@fault("data", ("mlp-images", "cnn", "rnn-text"), "overfitting-gap", "overfitting-turn")
def five_percent(program: Program, strength: int) -> Program:
    x, y = program.train
    few = len(x) // (20 * strength)
    return replace(program, train=(x[:few], y[:few]), epochs=program.epochs * 20)


@fault("data", ("mlp-images", "mlp-regression"), "non-finite-inputs", contract=True)
def nan_rows(program: Program, strength: int) -> Program:
    x, y = program.train
    x = x.clone()
    x[:: 40 // strength, 0] = float("nan")
    return replace(program, train=(x, y))


@fault("data", ("mlp-regression",), "targets-unscaled")
def unscaled_targets(program: Program, strength: int) -> Program:
    (x, y), (u, v) = program.train, program.held
    return replace(program, train=(x, y * 80 * strength + 500), held=(u, v * 80 * strength + 500))


@fault("data", ("cnn-norm",), "batch-norm-of-few-rows")
def batches_of_two(program: Program, strength: int) -> Program:
    return replace(program, batch=2, epochs=1)


@fault("data", ("mlp-images", "cnn"), "too-few-steps", "still-improving", "batch-too-large")
def one_batch_of_everything(program: Program, strength: int) -> Program:
    return replace(program, batch=len(program.train[0]))


@fault("data", ("cnn", "gpt", "rnn-rows"), "too-few-steps", "still-improving")
def too_few_epochs(program: Program, strength: int) -> Program:
    few = len(program.train[0]) // 3
    return replace(program, train=(program.train[0][:few], program.train[1][:few]), epochs=1)
