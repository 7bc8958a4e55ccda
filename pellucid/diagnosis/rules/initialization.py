"""Causes in the first weights."""

from __future__ import annotations

import math

from pellucid.diagnosis.asking import by_health, module_of, symptom, watched_rules, weights
from pellucid.diagnosis.health import Health
from pellucid.diagnosis.watched import ParameterLook, Watched
from pellucid.diagnosis.wording import figure
from pellucid.record import Finding

LAYERS = {"Linear", "Conv1d", "Conv2d", "Conv3d", "LSTM", "GRU", "RNN", "Bilinear"}
"""Modules whose weights multiply their inputs."""


def _symmetric(watched: Watched) -> Finding | None:
    """Units of a hidden layer that have the same weights and keep them."""
    if len(watched.looks) < 3:
        return None
    look = watched.looks[-1]
    same = [one for one in weights(look) if one.same_rows and one.shape[0] > 1]
    named = [one for one in same if "embed" not in one.name.lower() and not _is_output(watched, one)]
    always = [one for one in named if _same_before(watched, one.name)]
    if not always:
        return None
    first = always[0]
    zero = first.rms == 0
    return Finding(
        "symmetric-units",
        "warning",
        f"All {first.shape[0]} units of {module_of(first.name)} have the same weights"
        f"{' (0)' if zero else ''} at step 1 and still at step {look.step:,}.",
        "Units that start equal get equal gradients and stay equal: the layer is as wide as one unit.",
        "random initial weights, e.g. PyTorch's own",
        where=module_of(first.name),
        confidence=0.95,
    )


def _same_before(watched: Watched, name: str) -> bool:
    return all(one.same_rows for look in watched.looks for one in look.parameters if one.name == name)


def _is_output(watched: Watched, one: ParameterLook) -> bool:
    look = watched.first
    made = look.outputs if look else None
    return made is not None and bool(made.shape) and made.shape[-1] == one.shape[0] and one.rms > 0


def _large(watched: Watched, state: Health) -> Finding | None:
    """Weights that are far too large at the start: outputs and the first loss are far from guessing."""
    look = watched.first
    if look is None:
        return None
    if not (state.ill or state.far or state.poor):
        return None
    recurrent = [one for one in weights(look) if "weight_hh" in one.name and one.rms > 3 * _usual(one)]
    large = recurrent or [
        one for one in weights(look) if one.rms > 5 * _usual(one) and "embed" not in one.name.lower()
    ]
    if not recurrent and len(large) < max(1, len(weights(look)) / 2):
        return None
    one = large[0]
    return Finding(
        "initial-weights-too-large",
        "warning",
        f"{symptom(state)}. The weights of {module_of(one.name)} start at {figure(one.rms)} on average, "
        f"{one.rms / _usual(one):.0f} times the usual 1/sqrt(fan in).",
        "Sums of inputs become so large that activations saturate and the first loss is huge.",
        "PyTorch's own initialization, or nn.init.kaiming_normal_ / xavier_uniform_",
        where=module_of(one.name),
        confidence=0.87,
    )


def _small(watched: Watched, state: Health) -> Finding | None:
    """Weights that are far too small at the start: signals and gradients shrink layer by layer."""
    look = watched.first
    if look is None or watched.module("LayerNorm", "BatchNorm1d", "BatchNorm2d", "GroupNorm", "RMSNorm"):
        return None
    limit = 0.05 if state.ill else 0.02
    tiny = [one for one in weights(look) if 0 < one.rms < limit * _usual(one) and not one.constant]
    if len(tiny) < max(1, len(weights(look)) / 2):
        return None
    one = tiny[0]
    return Finding(
        "initial-weights-too-small",
        "warning",
        f"{symptom(state)}. The weights of {module_of(one.name)} start at {figure(one.rms)} on average, a "
        f"{_usual(one) / one.rms:.0f}th of the usual 1/sqrt(fan in).",
        "Signals and gradients shrink with every layer, so nothing is learned.",
        "PyTorch's own initialization, or nn.init.kaiming_normal_ / xavier_uniform_",
        where=module_of(one.name),
        confidence=0.87,
    )


def _usual(one: ParameterLook) -> float:
    return 1 / math.sqrt(max(1, math.prod(one.shape[1:])))


def _constant(watched: Watched) -> Finding | None:
    """Hidden layers that start with one value everywhere."""
    look = watched.first
    if look is None:
        return None
    kinds = {one.name: one.kind for one in watched.modules}
    every = [one for one in look.parameters if one.is_weight and kinds.get(module_of(one.name)) in LAYERS]
    constant = [one for one in every if one.constant]
    if not constant or (constant[0].name != every[0].name and len(constant) < max(2, len(every) / 2)):
        return None
    one = constant[0]
    return Finding(
        "constant-initial-weights",
        "warning",
        f"{len(constant)} of {len(every)} weights start with the same value everywhere "
        f"({module_of(one.name)}: {figure(one.rms)}).",
        "Units that start equal get equal gradients: they become different slowly or never. With 0, no "
        "gradient passes at all.",
        "PyTorch's own initialization, or nn.init.kaiming_normal_ / xavier_uniform_; zeros are for biases",
        where=module_of(one.name),
        confidence=0.96,
    )


RULES = watched_rules(
    ("symmetric-units", _symmetric, ("constant-initial-weights",)),
    ("constant-initial-weights", _constant, ()),
    ("initial-weights-too-large", by_health(_large), ("inputs-unscaled",)),
    ("initial-weights-too-small", by_health(_small), ()),
)
