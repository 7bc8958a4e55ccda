"""Faults of the loss and of what it is given."""

from __future__ import annotations

from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.ledger.bases import elbo
from benchmarks.ledger.faults.registry import (
    SUPERVISED,
    fault,
    headed,
)
from benchmarks.ledger.program import Program


@fault("loss", SUPERVISED, "activation-before-loss", contract=True)
def softmax_before_cross_entropy(program: Program, strength: int) -> Program:
    return headed(program, nn.Softmax(-1))


@fault("loss", ("mlp-images", "cnn", "rnn-text"), "activation-before-loss", contract=True)
def sigmoid_before_bce_logits(program: Program, strength: int) -> Program:
    def loss(outputs: Tensor, wanted: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs, F.one_hot(wanted, outputs.shape[1]).float())

    return replace(headed(program, nn.Sigmoid()), loss=loss)


@fault("loss", ("mlp-images", "cnn", "mlp-table"), "nll-without-log-softmax", contract=True)
def nll_of_logits(program: Program, strength: int) -> Program:
    return replace(program, loss=F.nll_loss)


@fault("loss", ("mlp-images", "mlp-table", "cnn", "mlp-regression"), "loss-sign", contract=True)
def flipped_sign(program: Program, strength: int) -> Program:
    loss = program.loss
    return replace(program, loss=lambda outputs, wanted: -loss(outputs, wanted))


@fault("loss", ("mlp-images", "cnn"), "classes-as-numbers")
def mse_on_class_numbers(program: Program, strength: int) -> Program:
    model = nn.Sequential(program.model, nn.Linear(10, 1))

    def nearest(model: nn.Module, x: Tensor, y: Tensor) -> float:
        return (model(x)[:, 0].round() == y).float().mean().item()

    return replace(program, model=model, loss=lambda o, y: F.mse_loss(o[:, 0], y.float()), metric=nearest)


@fault("loss", ("mlp-regression",), "loss-broadcasts", contract=True)
def broadcasting(program: Program, strength: int) -> Program:
    loss = nn.MSELoss() if strength == 1 else (lambda o, y: ((o - y) ** 2).mean())
    return replace(program, loss=loss)


@fault("loss", ("mlp-regression", "autoencoder", "mlp-images"), "rectified-output")
def relu_on_outputs(program: Program, strength: int) -> Program:
    return headed(program, nn.ReLU())


@fault("loss", ("mlp-regression", "autoencoder"), "output-range")
def sigmoid_on_outputs(program: Program, strength: int) -> Program:
    return headed(program, nn.Sigmoid())


@fault("loss", ("vae",), "kl-too-strong", "posterior-collapse")
def kl_x100(program: Program, strength: int) -> Program:
    return replace(program, loss=elbo(50.0 * strength))


@fault("loss", ("mlp-images", "cnn"), "non-finite-loss", "non-finite-gradients", contract=True)
def log_of_zero(program: Program, strength: int) -> Program:
    def loss(outputs: Tensor, wanted: Tensor) -> Tensor:
        probabilities = (outputs * 1000).softmax(1)
        return -(F.one_hot(wanted, outputs.shape[1]) * probabilities.log()).sum(1).mean()

    return replace(program, loss=loss)
