"""Records of watched loops: outputs and losses, weights and gradients, and how far they got."""

from __future__ import annotations

from dataclasses import replace

from pellucid.diagnosis.loss_graph import LossGraph
from pellucid.diagnosis.watched import (
    Glance,
    Look,
    Loop,
    ModuleFact,
    ModuleLook,
    Optimizing,
)
from tests.diagnosis.examples.making import (
    BATCHES,
    FALLING,
    classes,
    looks,
    loop,
    stuck,
    values,
    weight,
)

CROSS = LossGraph(("nll_loss", "log_softmax"), reached=frozenset({"w"}))
SQUARED = LossGraph(("mse_loss",), reached=frozenset({"w"}))
ADAM = (Optimizing("Adam", 1e-3, 6),)


def outputs(made, wanted, *, graph=SQUARED, losses=FALLING, modules=(), **more):
    """Return a loop with outputs and targets that are known."""
    return loop(
        losses, looks=(Look(1, 2.3, modules=modules, outputs=made, targets=wanted),), graph=graph, **more
    )


def head(*ops: str) -> LossGraph:
    """Return the graph of a loss with operations after the last layer."""
    return LossGraph(ops, reached=frozenset({"w"}))


def module(name: str, kind: str, **more) -> ModuleLook:
    return ModuleLook(name, kind, values((32, 64)), values((32, 64)), **more)


FLAGS = values((32, 1), 0.5, 0.5, low=0.0, high=1.0)

PAIRING = {
    "loss-broadcasts": outputs(values((32, 1)), values((32,)), graph=replace(SQUARED, compared=(32, 32))),
    "nll-without-log-softmax": loop(graph=head("nll_loss")),
    "rectified-output": outputs(values((32, 10)), classes(), graph=head("nll_loss", "log_softmax", "relu")),
    "output-range": outputs(
        values((32, 1), 0.5, 0.1, low=0.2, high=0.9),
        values((32, 1), 21.0, 9.0, low=5.0, high=50.0),
        graph=head("mse_loss", "sigmoid"),
    ),
    "targets-not-probabilities": outputs(
        values((32, 1)),
        values((32, 1), 2.0, 0.8, low=1.0, high=3.0),
        graph=head("binary_cross_entropy_with_logits"),
    ),
    "loss-sign": loop(tuple((step, -0.05 * step) for step in range(1, 101)), graph=CROSS),
    "classes-as-numbers": outputs(
        values((32, 1)), classes(), batches=replace(BATCHES, classes=dict.fromkeys(range(10), 64))
    ),
    "dropout-on-outputs": outputs(
        values((32, 10)),
        classes(),
        graph=CROSS,
        modules=(module("drop", "Dropout"),),
    ),
    "axes-scrambled": loop(graph=replace(CROSS, scrambled=((8, 20, 50), (8, 50, 20)))),
    "softmax-over-rows": loop(graph=replace(CROSS, over_rows=True)),
    "softmax-for-labels": outputs(values((32, 5)), FLAGS, graph=head("binary_cross_entropy", "softmax")),
    "loss-without-limit": loop(
        tuple((step, -0.1 * step) for step in range(1, 101)), graph=head("mean", "kl_div")
    ),
    "no-gradient-operation": stuck(graph=replace(CROSS, nonlinear=frozenset({"round", "relu"}))),
    "normalized-outputs": outputs(
        values((32, 1)),
        values((32, 1), 21.0, 9.0, low=5.0, high=50.0),
        modules=(module("norm", "BatchNorm1d"),),
    ),
}
PAIRING["dropout-on-outputs"] = replace(
    PAIRING["dropout-on-outputs"], modules=(ModuleFact("drop", "Dropout", {"p": 0.5}),)
)

FIRST, LAST = weight("fc1.weight"), weight("fc2.weight")
HOT = tuple((step, 2.3 if step < 20 else 40.0) for step in range(1, 101))

WEIGHTS = {
    "symmetric-units": stuck(looks=looks(weight("fc1.weight", same_rows=True), LAST)),
    "constant-initial-weights": stuck(
        looks=looks(weight("fc1.weight", rms=0.0, constant=True, same_rows=True), LAST),
        modules=(ModuleFact("fc1", "Linear"), ModuleFact("fc2", "Linear")),
    ),
    "initial-weights-too-large": loop(
        ((1, 94.0), *((step, 60.0) for step in range(2, 101))),
        looks=looks(weight("fc1.weight", rms=1.0), weight("fc2.weight", rms=1.0)),
    ),
    "initial-weights-too-small": stuck(
        looks=looks(weight("fc1.weight", rms=1e-4), weight("fc2.weight", rms=1e-4))
    ),
    "no-activation": loop(graph=replace(CROSS, layers=3, bare=2)),
    "learning-rate-too-high": loop(
        HOT, looks=looks(weight("fc1.weight", update_rms=0.03)), optimizers=(Optimizing("Adam", 0.1, 6),)
    ),
    "learning-rate-too-low": stuck(
        looks=looks(weight("fc1.weight", update_rms=1e-7)), optimizers=(Optimizing("Adam", 1e-6, 6),)
    ),
    "clipped-to-nothing": stuck(
        looks=looks(weight("fc1.weight", grad_rms=1e-5), weight("fc2.weight", grad_rms=1e-5))
    ),
    "weight-decay-too-strong": stuck(
        looks=looks(weight("fc1.weight", weight_decay=1.0), weight("fc2.weight", weight_decay=1.0)),
        optimizers=(Optimizing("SGD", 0.1, 6),),
    ),
    "dead-units": stuck(
        looks=looks(FIRST, modules=(module("relu", "ReLU", silent=(64, 64)), module("fc2", "Linear")))
    ),
    "saturated-activations": stuck(
        looks=looks(FIRST, modules=(module("tanh", "Tanh", saturated=0.93), module("fc2", "Linear")))
    ),
    "vanishing-gradients": stuck(
        looks=looks(
            weight("fc1.weight", backward_rms=1e-8),
            weight("fc2.weight", backward_rms=1e-6),
            weight("fc3.weight", backward_rms=1e-4),
            weight("fc4.weight", backward_rms=1e-2),
            modules=(module("act1", "Sigmoid"),),
        )
    ),
    "exploding-gradients": stuck(
        looks=looks(weight("rnn.weight_hh_l0", backward_rms=90.0), inputs=values((32, 50)))
    ),
    "dropout-too-strong": stuck(modules=(ModuleFact("drop", "Dropout", {"p": 0.9}),)),
}

HALF = tuple((step, 2.3 - 0.012 * step) for step in range(1, 101))
NOISY = tuple(Glance(step, right=0.62, contradicted=0.24) for step in range(55, 101, 5))
KNOWN = tuple(Glance(step, right=0.995, contradicted=0.0) for step in range(5, 101, 5))
PICTURES = Look(
    100,
    0.1,
    inputs=values((32, 784)),
    outputs=values((32, 784), 0.13, 0.3, between=0.01),
    targets=values((32, 784)),
)

OUTCOME = {
    "labels-unrelated": stuck(looks=looks(FIRST, LAST), optimizers=ADAM),
    "label-noise": loop(HALF, glances=NOISY),
    "overfitting-turn": loop(
        validations={"val_loss": tuple(enumerate([1.9, 1.2, 0.9, 0.8, 1.0, 1.1, 1.4]))},
        lower=frozenset({"val_loss"}),
    ),
    "overfitting-gap": loop(glances=KNOWN, validations={"accuracy": ((50, 0.71), (100, 0.7))}),
    "too-few-steps": loop(
        tuple((step, 2.3 - 0.01 * step) for step in range(1, 21)),
        loop=Loop(attended=20, forwards=20, backwards=20, steps=20, ended=True),
        batches=replace(BATCHES, rows=1000),
    ),
    "posterior-collapse": loop(
        looks=(replace(PICTURES, step=1), PICTURES),
        graph=replace(SQUARED, nonlinear=frozenset({"exp", "relu"})),
        loop=Loop(attended=30, forwards=30, backwards=30, steps=30, ended=True),
    ),
    "bottleneck-too-narrow": loop(
        HALF, looks=(PICTURES,), modules=(ModuleFact("encoder.2", "Linear", {"out_features": 1}),)
    ),
    "discriminator-too-strong": loop(
        tuple((step, 0.7 + 0.06 * step) for step in range(1, 101)),
        graph=head("binary_cross_entropy_with_logits"),
        optimizers=(Optimizing("Adam", 2e-4, 6), Optimizing("Adam", 2e-3, 6)),
    ),
}

EXAMPLES = {**PAIRING, **WEIGHTS, **OUTCOME}
