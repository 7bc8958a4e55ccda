"""Causes read from weights, gradients and activations, of loops that are measurably unhealthy."""

from __future__ import annotations

import math
import statistics

from pellucid.diagnosis.asking import (
    by_health,
    median_ratio,
    module_of,
    symptom,
    watched_rules,
    weights,
    when_ill,
)
from pellucid.diagnosis.health import Health
from pellucid.diagnosis.watched import Watched
from pellucid.diagnosis.wording import figure, percent
from pellucid.record import Finding

LARGE, SMALL = 0.1, 1e-5
"""Updates relative to the weights that are suspicious; about 1e-3 is healthy."""
NOTABLE = 0.2
"""The least first update of a learning rate that is too high from the start."""
REPLACED = 0.4
"""A first update of this share of the weights replaces what they were; it is no matter of taste."""


# ---- the size of the steps ---------------------------------------------------------------------------


def _rate_high(watched: Watched, state: Health) -> Finding | None:
    if watched.optimizers and watched.optimizers[0].kind == "LBFGS":
        return None  # it searches for the length of its steps
    ratios = [ratio for look in watched.looks if (ratio := median_ratio(look)) is not None]
    ratios = [ratio for ratio in ratios if math.isfinite(ratio)]
    if not ratios or not (state.ill or state.spiked or state.learned is None or state.learned < 0.9):
        return None
    burst = state.spiked or state.state in ("diverging", "non-finite")
    ratio = max(ratios[:4]) if burst else statistics.median(ratios)
    if not burst and ratios[0] < NOTABLE:
        return None  # it began with usual steps
    if not state.ill and not state.spiked:
        ratio = ratios[0]
        if ratio < REPLACED:
            return None
    grown = _growth(watched)
    if ratio < LARGE and not (grown > 3 and ratio > 0.02):
        return None
    rate = watched.highest_rate
    return Finding(
        "learning-rate-too-high",
        "warning",
        f"{symptom(state)}. One step changes the weights by {percent(ratio)} of their size; about 0.1 % "
        "is usual" + (f" (learning rate {rate:g})." if rate else "."),
        "Each step jumps over what the one before has found; rectifiers die and activations saturate.",
        "a learning rate ten times smaller, or a hundred times where the loss is not finite",
        where="optimizer",
        confidence=0.85 if ratio > LARGE else 0.6,
    )


def _growth(watched: Watched) -> float:
    """How many times larger the weights are at the end."""
    if len(watched.looks) < 2:
        return 1.0
    first = {one.name: one.rms for one in weights(watched.looks[0])}
    grown = [one.rms / first[one.name] for one in weights(watched.looks[-1]) if first.get(one.name, 0) > 0]
    finite = [value for value in grown if math.isfinite(value)]
    return statistics.median(finite) if finite else 1.0


def _rate_low(watched: Watched, state: Health) -> Finding | None:
    if state.state not in ("stuck", "slow") or not watched.optimizers:
        return None
    looks = [look for look in watched.looks if median_ratio(look) is not None]
    ratios = [median_ratio(look) or 0.0 for look in looks]
    if not ratios or statistics.median(ratios) > 20 * SMALL or max(ratios) == 0:
        return None
    moved = statistics.median(ratios) * watched.steps
    if moved > 0.1:
        return None
    kind, lr = watched.optimizers[0].kind, watched.highest_rate or 0.0
    usual = 1e-3 if watched.optimizers[0].adaptive else 1e-2
    if lr >= usual / 3:
        return None
    return Finding(
        "learning-rate-too-low",
        "warning",
        f"{symptom(state)}. One step changes the weights by {percent(statistics.median(ratios))} "
        f"({figure(statistics.median(ratios))}) of their size; about 1e-3 is usual ({kind}, learning "
        f"rate {lr:g}).",
        f"In {watched.steps:,} steps the weights could move by {percent(moved)} at most.",
        f"a larger learning rate, e.g. {usual:g} for {kind}",
        where="optimizer",
        confidence=0.85,
    )


def _clipped(watched: Watched, state: Health) -> Finding | None:
    """Gradients are cut to a small part of what backward computed, in every step."""
    shares = []
    for look in watched.looks:
        pairs = [
            (one.grad_rms, one.backward_rms) for one in weights(look) if one.grad_rms and one.backward_rms
        ]
        if pairs:
            shares.append(statistics.median(seen / added for seen, added in pairs))
    if len(shares) < 3 or statistics.median(shares) > 0.02 or state.state not in ("stuck", "slow"):
        return None
    return Finding(
        "clipped-to-nothing",
        "warning",
        f"{symptom(state)}. The optimizer sees {percent(statistics.median(shares))} of each gradient.",
        "Clipping to a norm far below that of the gradients makes every step tiny.",
        "clip to the usual norm of the gradients (often 1) or not at all",
        where="optimizer",
        confidence=0.9,
    )


def _decay(watched: Watched, state: Health) -> Finding | None:
    """Weight decay pulls harder than the gradient."""
    look = watched.first
    if look is None:
        return None
    pulls = [
        one.weight_decay * one.rms / max(one.grad_rms, 1e-30)
        for one in weights(look)
        if one.weight_decay > 0 and one.grad_rms is not None
    ]
    strong = max((one.weight_decay for one in weights(look)), default=0.0)
    rate = watched.optimizers[0].lr if watched.optimizers else 0.0
    decoupled = bool(watched.optimizers) and watched.optimizers[0].kind == "AdamW"
    effective = strong * rate * watched.steps if decoupled else strong
    pulled = bool(pulls) and (_growth(watched) < 0.5 or statistics.median(pulls) > 1)
    if not pulled or strong < 0.02 or (decoupled and effective < 0.5):
        return None
    return Finding(
        "weight-decay-too-strong",
        "warning",
        f"{symptom(state)}. Weight decay {strong:g} pulls {figure(statistics.median(pulls))} times as hard "
        f"as the gradient, and the weights shrank to {percent(_growth(watched))} of their first size.",
        "The penalty on the weights outweighs the data.",
        "weight decay of 0.01 (AdamW) or 1e-4 (SGD), or none",
        where="optimizer",
        confidence=0.85,
    )


# ---- activations -------------------------------------------------------------------------------------


def _dead(watched: Watched, state: Health) -> Finding | None:
    """Rectifiers that are 0 for every row, at several looks and at the last."""
    looks = [look for look in watched.looks if any(one.silent for one in look.modules)]
    if len(looks) < 2:
        return None
    rectified = watched.graph is not None and "relu" in watched.graph.nonlinear
    last = looks[-1].modules[-1].name
    for name in [one.name for one in looks[-1].modules if one.silent and one.name != last]:
        if not rectified and not any(one.name == name and "ReLU" in one.kind for one in looks[-1].modules):
            continue
        shares = []
        for look in looks[-3:]:
            one = next((m for m in look.modules if m.name == name and m.silent), None)
            if one is not None and one.silent is not None:
                shares.append(one.silent[0] / max(1, one.silent[1]))
        if shares and min(shares) >= 0.9:
            return Finding(
                "dead-units",
                "warning",
                f"{symptom(state)}. {percent(shares[-1])} of the units of {name} are 0 for every row, at "
                f"each of the last {len(shares)} looks.",
                "A rectifier that is 0 for every row gets no gradient and stays 0: a bias far below 0 or "
                "one step that was too large.",
                "a smaller learning rate, initial biases of 0, or LeakyReLU / GELU",
                where=name,
                confidence=0.85,
            )
    return None


def _saturated(watched: Watched, state: Health) -> Finding | None:
    look = watched.last
    if look is None:
        return None
    first = {one.name: one.saturated for one in watched.looks[0].modules}
    worse = 0.0 if state.ill else 0.8
    hidden = [
        one for one in look.modules if one.saturated is not None and (first.get(one.name) or 0) >= worse
    ]
    last = look.modules[-1].name if look.modules else ""
    flat = [one for one in hidden if (one.saturated or 0) > 0.8 and one.name != last]
    if not flat:
        return None
    return Finding(
        "saturated-activations",
        "warning",
        f"{symptom(state)}. {percent(flat[0].saturated or 0)} of the outputs of {flat[0].name} "
        f"({flat[0].kind}) are at its bounds.",
        "There its slope is nearly 0, so almost no gradient passes.",
        "scaled inputs, smaller initial weights or a smaller learning rate; ReLU or GELU",
        where=flat[0].name,
        confidence=0.75,
    )


def _vanishing(watched: Watched, state: Health) -> Finding | None:
    """Gradients of the first layer are a tiny part of those of the last, and its updates are tiny."""
    looks = [look for look in watched.looks if len(weights(look)) >= 4]
    if not looks or state.state not in ("stuck", "slow", "learning"):
        return None
    ratios, updates = [], []
    for look in looks:
        known = [one for one in weights(look) if one.backward_rms]
        if len(known) < 4:
            return None
        first, last = known[0], known[-1]
        ratios.append((first.backward_rms or 0) / max(last.backward_rms or 0, 1e-30))
        updates.append(first.ratio or 0.0)
    if statistics.median(ratios) > 1e-3:
        return None
    kinds = {one.kind for look in looks[:1] for one in look.modules}
    squashing = [kind for kind in ("Sigmoid", "Tanh") if kind in kinds]
    return Finding(
        "vanishing-gradients",
        "warning",
        f"{symptom(state)}. The gradient of {module_of(weights(looks[0])[0].name)} is "
        f"{statistics.median(ratios):.1e} of "
        f"that of {module_of(weights(looks[0])[-1].name)}.",
        "Each layer multiplies the gradient by its slope and weights"
        + (
            f"; {squashing[0]} has a slope of at most {0.25 if squashing[0] == 'Sigmoid' else 1}."
            if squashing
            else "."
        ),
        "ReLU or GELU, normalization layers, residual connections, or fewer layers",
        where=module_of(weights(looks[0])[0].name),
        confidence=0.85,
    )


def _exploding(watched: Watched, state: Health) -> Finding | None:
    """Signals grow from layer to layer."""
    look = watched.first
    if look is None or look.inputs is None or state.state in ("early",):
        return None
    first = [one for one in weights(look) if one.backward_rms]
    gradient = math.sqrt(sum((one.backward_rms or 0) ** 2 * math.prod(one.shape) for one in first))
    size = math.sqrt(sum(one.rms**2 * math.prod(one.shape) for one in first))
    if math.isnan(gradient) or gradient < 100 * max(size, 1e-12) or look.inputs.rms > 10:
        return None
    return Finding(
        "exploding-gradients",
        "warning",
        f"{symptom(state)}. The norm of the first gradient is {figure(gradient)}, that of the weights "
        f"{figure(size)}.",
        "Gradients grow from layer to layer or from step to step of a sequence.",
        "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0), smaller initial weights, normalization",
        where="model",
        confidence=0.75,
    )


def _dropout(watched: Watched, state: Health) -> Finding | None:
    strong = [one for one in watched.modules if "Dropout" in one.kind and one.options.get("p", 0) >= 0.75]
    if not strong:
        return None
    return Finding(
        "dropout-too-strong",
        "warning",
        f"{symptom(state)}. {strong[0].name} drops {percent(strong[0].options['p'])} of its inputs.",
        "Too little of the signal is left to learn from.",
        "dropout of 0.1 to 0.5",
        where=strong[0].name,
        confidence=0.8,
    )


def _linear_only(watched: Watched) -> Finding | None:
    graph = watched.graph
    if graph is None or graph.compiled or graph.layers < 2 or graph.bare < graph.layers - 1:
        return None
    if watched.module("Embedding"):
        return None  # a codebook between two layers is not linear
    return Finding(
        "no-activation",
        "warning",
        f"{graph.layers} layers follow each other without an activation between them.",
        "Linear layers in a row are one linear layer: the model can only learn a linear function.",
        "ReLU or GELU between the layers",
        where="model",
        confidence=0.93,
    )


STARTS = (
    *("initial-weights-too-large", "inputs-unscaled", "targets-unscaled", "non-finite-inputs"),
    *("non-finite-targets", "loss-sign", "nll-without-log-softmax"),
)
"""Findings that explain values and updates that are too large."""

STEPS = (
    *("weight-decay-too-strong", "accumulation-not-divided", "loss-summed", "missing-zero-grad"),
    "clipped-while-scaled",
)
"""What explains steps that are too large."""

RULES = watched_rules(
    ("no-activation", _linear_only, ()),
    ("learning-rate-too-high", by_health(_rate_high), (*STARTS, *STEPS)),
    ("learning-rate-too-low", when_ill(_rate_low), ("schedule-returns-rate",)),
    ("clipped-to-nothing", when_ill(_clipped), ("clipped-while-scaled",)),
    ("weight-decay-too-strong", when_ill(_decay), ()),
    ("dead-units", when_ill(_dead), ("learning-rate-too-high", "tokens-unknown")),
    ("saturated-activations", by_health(_saturated), STARTS),
    (
        "vanishing-gradients",
        when_ill(_vanishing),
        ("initial-weights-too-small", "constant-initial-weights", "padding-read", "mask-inverted"),
    ),
    ("exploding-gradients", when_ill(_exploding), (*STARTS, *STEPS)),
    ("dropout-too-strong", when_ill(_dropout), ()),
)
