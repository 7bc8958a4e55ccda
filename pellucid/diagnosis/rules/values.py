"""Values that are not finite in a watched loop: the first place where they appear."""

from __future__ import annotations

import math

from pellucid.diagnosis import contracts
from pellucid.diagnosis.asking import module_of, watched_rules
from pellucid.diagnosis.watched import Look, Watched
from pellucid.record import Finding

ROOT = "add a small number inside of a logarithm, root or division, or use a function that is safe: "
SAFE = "log_softmax, logsumexp, binary_cross_entropy_with_logits"

RISKY = ("log", "sqrt", "pow", "reciprocal")
"""Operations of a loss whose value or gradient is infinite at 0."""


def _inputs(watched: Watched) -> Finding | None:
    bad = next((look for look in watched.looks if look.inputs and look.inputs.non_finite), None)
    if bad is None or bad.inputs is None:
        return None
    return contracts.non_finite(
        "inputs",
        f"The inputs of step {bad.step:,} hold {bad.inputs.non_finite:,} values that are NaN or infinite.",
        bad.step,
    )


def _targets(watched: Watched) -> Finding | None:
    bad = next((look for look in watched.looks if look.targets and look.targets.non_finite), None)
    if bad is None or bad.targets is None:
        return None
    return contracts.non_finite(
        "targets",
        f"The targets of step {bad.step:,} hold {bad.targets.non_finite:,} values that are NaN or infinite.",
        bad.step,
    )


def loss_in_loop(watched: Watched) -> Finding | None:
    """The loss is not finite: name the first place that is known."""
    bad = next(((step, value) for step, value in watched.losses if not math.isfinite(value)), None)
    if bad is None:
        return None
    step, value = bad
    look = next((one for one in watched.looks if one.step >= step), None)
    where, means, remedy = _place(watched, look, step)
    return Finding(
        "non-finite-loss",
        "error",
        f"The loss became {value} at step {step:,}.",
        means,
        remedy,
        where=where,
        step=step,
        confidence=0.95,
    )


def _place(watched: Watched, look: Look | None, step: int) -> tuple[str, str, str]:
    before = [value for at, value in watched.losses if at < step and math.isfinite(value)]
    grew = len(before) >= 2 and before[-1] > 10 * max(min(before), 1e-12)
    if grew:
        return (
            "optimizer",
            f"The loss had grown to {before[-1]:.3g} before: the updates were too large and the weights "
            "overflowed.",
            "a learning rate ten times smaller, or gradient clipping; scale the inputs",
        )
    broken = (
        next((one for one in look.modules if one.outputs and one.outputs.non_finite), None) if look else None
    )
    weights = next((one for one in look.parameters if one.non_finite), None) if look else None
    at_once = look is not None and look.step == step
    if at_once and broken is not None and broken.inputs is not None and not broken.inputs.non_finite:
        return (
            broken.name,
            f"{broken.name} ({broken.kind}) is the first module with outputs that are not finite; its "
            "inputs are.",
            ROOT + SAFE,
        )
    if look is not None and look.step == step and look.outputs is not None and not look.outputs.non_finite:
        return (
            "loss",
            "The outputs of the model are finite: the loss function divides by 0, or takes the logarithm or "
            "root of 0 or less.",
            ROOT + SAFE,
        )
    if weights is not None and step <= 3:
        return module_of(weights.name), "Weights are not finite.", ROOT + SAFE
    risky = [op for op in (watched.graph.ops if watched.graph else ()) if op in RISKY]
    if risky:
        return (
            "loss",
            f"The loss was not growing before; it is computed with {', '.join(risky)}, whose value or "
            "gradient is infinite at 0.",
            ROOT + SAFE,
        )
    return (
        "model",
        "The loss was not growing before: a logarithm, root or division met 0, or one batch holds values "
        "that are not finite.",
        ROOT + SAFE + "; and check that batch",
    )


EXPLAINED = (
    *("non-finite-inputs", "non-finite-targets", "targets-unscaled", "inputs-unscaled"),
    *("initial-weights-too-large", "exploding-gradients", "learning-rate-too-high"),
    *("loss-summed", "accumulation-not-divided"),
)
"""Findings that say why a loss is not finite."""

RULES = watched_rules(
    ("non-finite-inputs", _inputs, ()),
    ("non-finite-targets", _targets, ()),
)
