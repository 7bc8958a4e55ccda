"""What to try against the findings of a run, as settings: the candidates of a trial.

A finding has one patch; where the right value is not known, several are tried. Nothing here is called a fix:
`pellucid.diagnosis.verified` holds what a trial showed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.diagnosis.rule import OLD_IDS
from pellucid.record import Finding

MOST = 6
"""Candidates of a trial."""
LR, DECAY, CLIP = "optimizer.lr", "optimizer.weight_decay", "train.clip_grad_norm"
Patch = dict[str, Any]


@dataclass(frozen=True)
class Remedy:
    """A change of settings that may help.

    Attributes:
        name: the settings as on the command line: "optimizer.lr=0.001".
        words: "optimizer.lr is 0.001 instead of 0.1".
        patch: new values by dotted key.
        findings: the ids of the findings it is for.
        size: how large the change is: 1 for each setting, and more the farther a number is moved.
    """

    name: str
    words: str
    patch: Mapping[str, Any]
    findings: tuple[str, ...]
    size: float


def remedies(
    findings: Iterable[Finding],
    settings: Mapping[str, Any],
    usable: Callable[[Mapping[str, Any]], bool] = lambda patch: True,
    most: int = MOST,
) -> list[Remedy]:
    """Return what to try, for the first findings first.

    Args:
        findings: of a run, ranked.
        settings: of the run, in full.
        usable: whether the config accepts a patch.
        most: how many to return.
    """
    found: dict[str, Remedy] = {}
    queues = [(finding, list(_patches(finding, settings))) for finding in findings]
    for finding, patches in queues:
        for patch in patches:
            changed = {key: value for key, value in patch.items() if setting(settings, key) != value}
            made = _remedy(changed, settings, finding.rule)
            if not changed or not usable(changed):
                continue
            known = found.get(made.name)
            if known is None:
                found[made.name] = made
            elif finding.rule not in known.findings:
                found[made.name] = _remedy(changed, settings, *known.findings, finding.rule)
    return list(found.values())[:most]


def setting(settings: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key; None where there is none."""
    value: Any = settings
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _remedy(patch: Patch, settings: Mapping[str, Any], *rules: str) -> Remedy:
    words = ", ".join(
        f"{key} is {shown(v)} instead of {shown(setting(settings, key))}" for key, v in patch.items()
    )
    name = ", ".join(f"{key}={shown(value)}" for key, value in patch.items())
    return Remedy(
        name, words, patch, rules, sum(_size(setting(settings, key), v) for key, v in patch.items())
    )


def shown(value: Any) -> str:
    """Write a value of a setting briefly."""
    if value is None:
        return "not set"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{key} {shown(one)}" for key, one in value.items()) + ")"
    return str(value)


def _size(before: Any, after: Any) -> float:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (before, after))
    if not numbers or before <= 0 or after <= 0:
        return 1.0
    return 1 + abs(math.log10(after / before))


# ---- what to try for each finding --------------------------------------------------------------------


def _patches(finding: Finding, settings: Mapping[str, Any]) -> Iterator[Patch]:
    rule = OLD_IDS.get(finding.rule, finding.rule)
    yield from TRIED.get(rule, lambda settings: iter(()))(settings)
    if finding.patch:
        if len(finding.patch) > 1:
            yield from ({key: value} for key, value in finding.patch.items())
        yield dict(finding.patch)


def _rates(*factors: float) -> Callable[[Mapping[str, Any]], Iterator[Patch]]:
    """Return the patches for other learning rates."""

    def patches(settings: Mapping[str, Any]) -> Iterator[Patch]:
        rate = setting(settings, LR)
        if isinstance(rate, int | float) and not setting(settings, "optimizer.phases"):
            yield from ({LR: float(f"{rate * factor:.3g}")} for factor in factors)

    return patches


def _regularized(settings: Mapping[str, Any]) -> Iterator[Patch]:
    yield {DECAY: max(0.05, 10 * float(setting(settings, DECAY) or 0))}
    yield {"model.options.dropout": 0.3}
    yield {"objective.label_smoothing": 0.1}
    yield {"data.augment.shift": 0.1}
    yield {DECAY: 1.0}


def _unstable(settings: Mapping[str, Any]) -> Iterator[Patch]:
    yield from _rates(1 / 3, 1 / 10, 1 / 100)(settings)
    yield {CLIP: 1.0}


def _undertrained(settings: Mapping[str, Any]) -> Iterator[Patch]:
    yield from _rates(1 / 10, 10, 1 / 100)(settings)


def _fixed(*patches: Patch) -> Callable[[Mapping[str, Any]], Iterator[Patch]]:
    return lambda settings: iter(patches)


TRIED: dict[str, Callable[[Mapping[str, Any]], Iterator[Patch]]] = {
    **dict.fromkeys(("non-finite-loss", "exploding-gradients"), _unstable),
    **dict.fromkeys(
        ("diverging", "learning-rate-too-high", "dead-units", "saturated-activations"),
        _rates(1 / 3, 1 / 10, 1 / 100),
    ),
    "learning-rate-too-low": _rates(10, 100, 1000),
    "underfitting": _undertrained,
    "still-improving": _rates(3, 10),
    **dict.fromkeys(
        ("overfitting", "overconfident", "memorizing", "overfitting-gap", "overfitting-turn", "label-noise"),
        _regularized,
    ),
    "clipped-to-nothing": _fixed({CLIP: 1.0}, {CLIP: None}),
    "weight-decay-too-strong": _fixed({DECAY: 0.01}, {DECAY: 0.0}),
    "dropout-too-strong": _fixed({"model.options.dropout": 0.3}, {"model.options.dropout": 0.0}),
    "imbalanced-classes": _fixed({"objective.class_weights": True}),
    "discriminator-winning": _fixed({"objective.options.instance_noise": 0.1}),
    "collapsed": _fixed({"model.options.minibatch_std": True}),
}
"""What is tried for a finding before its own patch, by the id of its rule."""
