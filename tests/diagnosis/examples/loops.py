"""Records of watched loops: what they do in which order, batches, and what outputs depend on."""

from __future__ import annotations

from dataclasses import replace

from pellucid.diagnosis.loss_graph import LossGraph
from pellucid.diagnosis.watched import (
    Look,
    Loop,
    ModuleFact,
    ModuleLook,
    Optimizing,
    Probes,
    Watched,
)
from tests.diagnosis.examples.making import (
    BATCHES,
    STUCK,
    classes,
    looks,
    loop,
    stuck,
    values,
    weight,
)

ATTENTION = (ModuleFact("blocks.0.attention", "MultiheadAttention"),)
DROPOUT = (ModuleFact("drop", "Dropout", {"p": 0.5}),)
TWO = (Optimizing("Adam", 1e-3, 6, steps=100), Optimizing("Adam", 1e-3, 6, steps=100))


def counted(losses=None, **counts) -> Watched:
    """Return a loop of which things were counted."""
    more = {} if losses is None else {"losses": losses}
    return loop(loop=Loop(**{"attended": 30, "forwards": 30, "backwards": 30, "steps": 30, **counts}), **more)


def batches(**more) -> Watched:
    return loop(batches=replace(BATCHES, **more))


LOOP = {
    "watch-unused": Watched(loop=Loop(forwards=120, ended=True)),
    "watched-twice": loop(watches=2),
    "meta-device": loop(devices=frozenset({"meta"})),
    "graph-broken": stuck(graph=LossGraph(()), loop=Loop(attended=30, forwards=30, without_graph=30)),
    "no-backward": stuck(loop=Loop(attended=30, forwards=30, steps=30)),
    "no-step": stuck(looks=looks(weight("fc.weight", update_rms=0.0)), loop=Loop(attended=30, backwards=30)),
    "optimizers-overlap": loop(optimizers=tuple(replace(one, shared=6) for one in TWO)),
    "missing-detach": replace(counted(backwards=60, joint=60), optimizers=TWO),
    "missing-zero-grad": counted(checked=10, stale=10),
    "zero-grad-before-step": counted(losses=STUCK, checked=10, emptied=10),
    "gradients-removed": replace(counted(checked=10, wasted=30), optimizers=TWO[:1]),
    "graph-grows": loop(graph=LossGraph(("nll_loss", "log_softmax"), nodes=(24, 47, 70))),
    "random-in-evaluation": loop(
        probes=Probes(random=True), graph=LossGraph(("nll_loss", "log_softmax"), reached=frozenset({"w"}))
    ),
    "optimizer-replaced": loop(
        looks=tuple(
            replace(look, updates=int(look.step == 1))
            for look in (*looks(weight("fc.weight")), Look(60, 2.3, parameters=(weight("fc.weight"),)))
        )
    ),
    "step-before-backward": counted(early=30),
    "trains-in-eval-mode": replace(counted(evaluating=0.9), modules=DROPOUT),
    "measured-in-train-mode": replace(counted(measured=10, measured_training=10), modules=DROPOUT),
    "weights-change-in-forward": loop(changed_in_forward="memory.slots"),
    "learning-rate-zero": stuck(rates=tuple((step, 0.0) for step in range(1, 101))),
    "learning-rate-vanished": loop(rates=tuple((step, 0.1 * 0.5**step) for step in range(1, 101))),
    "all-frozen": stuck(looks=(Look(1, 2.3, parameters=(weight("fc.weight", trainable=False),)),)),
    "optimizer-of-other-parameters": stuck(
        looks=looks(weight("fc.weight", optimized=False)),
        optimizers=(Optimizing("Adam", 1e-3, 0, foreign=6),)
    ),
    "layer-repeated": loop(shared=(("layers.0", "layers.1"), ("layers.0", "layers.2"))),
    "layers-in-plain-list": loop(lost=("blocks",)),
    "shared-projections": loop(shared=(("attention.q_proj", "attention.k_proj"),)),
    "not-in-optimizer": loop(
        looks=looks(weight("fc.weight"), weight("head.weight", optimized=False, update_rms=0.0, fresh=True)),
        optimizers=(Optimizing("Adam", 1e-3, 2),),
    ),
    "frozen-random": loop(
        looks=looks(weight("conv.weight", trainable=False, fresh=True), weight("fc.weight"))
    ),
    "unused-parameters": loop(
        looks=looks(weight("fc.weight"), weight("extra.weight", backward_rms=None, grad_rms=None)),
        graph=LossGraph(("nll_loss", "log_softmax"), reached=frozenset({"fc.weight"})),
        loop=Loop(attended=30, backwards=30, steps=30),
    ),
}  # fmt: skip

PIXELS = ModuleLook("fc1", "Linear", values((32, 784), 33.0, 78.0, low=0.0, high=255.0), None)
PRICES = Look(1, 3.9e10, outputs=values((32, 1), 0.1, 0.2), targets=values((32, 1), 180_000, 80_000))
STANDARD = (Look(1, 2.3, inputs=values((32, 784))),)

BATCH = {
    "unshuffled-batches": replace(
        batches(classes={0: 320, 1: 320}, scatter=29.0), looks=(Look(1, 2.3, targets=classes()),)
    ),
    "same-batch": replace(
        batches(distinct=1, seen=40), validations={"accuracy": ((50, 0.38), (100, 0.41))}
    ),
    "imbalanced-classes": batches(classes={0: 1254, 1: 26}),
    "inputs-unscaled": stuck(looks=(Look(1, 2.3, modules=(PIXELS,)),)),
    "targets-unscaled": Watched(
        steps=100,
        losses=tuple((step, 3.9e10) for step in range(1, 101)),
        looks=(PRICES,),
        graph=LossGraph(("mse_loss",)),
        batches=replace(BATCHES, prior=6.4e9),
    ),
    "batch-norm-of-few-rows": replace(batches(rows=1), modules=(ModuleFact("bn1", "BatchNorm2d"),)),
    "batch-norm-too-slow": loop(modules=(ModuleFact("bn1", "BatchNorm2d", {"momentum": 0.001}),)),
    "constant-inputs": stuck(looks=(Look(1, 2.3, inputs=values((32, 10), 0.0, 0.0)),)),
    "measured-on-other-scale": loop(looks=STANDARD, measured=values((256, 784), 33.0, 78.0)),
    "target-in-inputs": batches(telling=(7, 0.9996)),
    "positions-unread": loop(probes=Probes(unread=(31, 32))),
    "rows-mixed": loop(
        probes=Probes(rows_mixed=0.4), modules=(ModuleFact("lstm", "LSTM", {"batch_first": 0}),)
    ),
    "future-visible": replace(
        batches(aligned="next"), probes=Probes(future_seen=0.7), modules=ATTENTION
    ),
    "targets-are-inputs": batches(aligned="same"),
    "no-positions": stuck(probes=Probes(order_blind=True), modules=ATTENTION),
    "attention-unscaled": loop(graph=LossGraph(("nll_loss", "log_softmax"), unscaled_attention=4)),
    "padding-read": replace(batches(padding=0), probes=Probes(padding_read=0.38)),
    "inputs-ignored": stuck(probes=Probes(inputs_ignored=True)),
    "non-finite-inputs": stuck(looks=(Look(1, 2.3, inputs=values((32, 10), non_finite=3)),)),
    "non-finite-targets": stuck(looks=(Look(7, 2.3, targets=values((32, 1), non_finite=1)),)),
    "padding-in-loss": replace(
        batches(padding=0, padded=0.6),
        graph=LossGraph(("nll_loss", "log_softmax"), ignored=-100, reached=frozenset({"w"})),
    ),
    "class-weights-inverted": replace(batches(classes={0: 1180, 1: 100}), class_weights=(1.0, 0.1)),
    "labels-shifted-twice": replace(
        batches(aligned="next"), modules=(ModuleFact("", "GPT2LMHeadModel"), *ATTENTION)
    ),
}  # fmt: skip

EXAMPLES = {**LOOP, **BATCH}
