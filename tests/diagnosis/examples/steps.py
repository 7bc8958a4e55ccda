"""Records of watched loops: how often and how far optimizers step, and what batches and arguments hold."""

from __future__ import annotations

from dataclasses import replace

from pellucid.diagnosis.loss_graph import LossGraph
from pellucid.diagnosis.watched import Look, Loop, ModuleFact, Optimizing, Probes
from tests.diagnosis.examples.making import BATCHES, FALLING, STUCK, classes, looks, loop, values, weight

ADAM = Optimizing("Adam", 1e-3, 6, steps=100)
SGD = Optimizing("SGD", 0.1, 6, steps=100)
TWO = (ADAM, replace(ADAM, parameters=4, steps=0))
ROSE = tuple((step, 2.3 if step < 20 else 40.0) for step in range(1, 101))
SUMMED = tuple((step, 73.6 if step < 20 else 900.0) for step in range(1, 101))
LARGE = weight("fc1.weight", update_rms=0.004)
EMBEDDING = (ModuleFact("embed", "Embedding", {"num_embeddings": 8000}),)

STEPS = {
    "optimizer-never-steps": loop(optimizers=TWO),
    "accumulation-not-divided": loop(
        ROSE,
        looks=looks(LARGE),
        optimizers=(SGD,),
        loop=Loop(attended=40, forwards=40, backwards=40, steps=10),
        expected=2.3,
    ),
    "loss-summed": loop(
        SUMMED,
        looks=tuple(replace(look, loss=73.6) for look in looks(LARGE)),
        optimizers=(SGD,),
        expected=2.3,
    ),
    "clipped-while-scaled": loop(STUCK, looks=looks(weight("fc1.weight", grad_rms=2.0**-22))),
    "steps-rare": loop(STUCK, optimizers=(ADAM,), loop=Loop(attended=50, forwards=50, backwards=50, steps=1)),
    "schedule-returns-rate": loop(
        STUCK,
        optimizers=(replace(ADAM, initial_lr=1e-3),),
        rates=tuple((step, 1e-6) for step in range(1, 101)),
    ),
}

CONTENTS = {
    "channels-interleaved": loop(looks=(Look(1, 2.3, inputs=values((32, 3, 32, 32), interleaved=0.41)),)),
    "tokens-unknown": loop(batches=replace(BATCHES, token=(1, 0.94)), modules=EMBEDDING),
    "mask-inverted": loop(
        batches=replace(BATCHES, padding=0), probes=Probes(content_unread=True), modules=EMBEDDING
    ),
    "target-visible": loop(probes=Probes(target_seen=True)),
    "worse-than-guessing": loop(
        FALLING,
        looks=(Look(1, 0.69, targets=classes(most=1)),),
        graph=LossGraph(("nll_loss", "log_softmax"), reached=frozenset({"w"})),
        batches=replace(BATCHES, classes={0: 320, 1: 320}, prior=0.6931),
        validations={"accuracy": ((50, 0.21), (100, 0.08))},
    ),
}

EXAMPLES = {**STEPS, **CONTENTS}
