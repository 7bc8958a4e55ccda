"""Faults of the loop itself."""

from __future__ import annotations

from benchmarks.ledger.faults.registry import (
    fault,
    habit,
)
from benchmarks.ledger.program import Program


@fault("loop", ("mlp-images", "mlp-table", "cnn", "rnn-rows", "gpt"), "missing-zero-grad", contract=True)
def missing_zero_grad(program: Program, strength: int) -> Program:
    return habit(program, zero_grad=False)


@fault("loop", ("mlp-images", "cnn"), "no-backward", contract=True)
def no_backward(program: Program, strength: int) -> Program:
    return habit(program, backward=False)


@fault("loop", ("mlp-images", "rnn-rows"), "no-step", contract=True)
def no_step(program: Program, strength: int) -> Program:
    return habit(program, step=False)


@fault("loop", ("mlp-images", "cnn", "gpt"), "step-before-backward", contract=True)
def step_before_backward(program: Program, strength: int) -> Program:
    return habit(program, step_first=True)


@fault("loop", ("mlp-images", "mlp-regression", "autoencoder"), "graph-broken", contract=True)
def detached(program: Program, strength: int) -> Program:
    return habit(program, detach=True)


@fault("loop", ("cnn-norm",), "trains-in-eval-mode", contract=True)
def trains_in_eval(program: Program, strength: int) -> Program:
    return habit(program, train_mode=False)


@fault("loop", ("cnn-norm", "mlp-images"), "measured-in-train-mode", contract=True)
def measured_in_train(program: Program, strength: int) -> Program:
    return habit(program, eval_mode=False)


@fault("loop", ("cnn", "mlp-images"), "same-batch")
def one_batch_only(program: Program, strength: int) -> Program:
    return habit(program, first_batch_only=True)
