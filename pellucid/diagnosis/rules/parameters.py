"""Contracts of parameters: which of them are trained, and which should be."""

from __future__ import annotations

from collections import Counter

from pellucid.diagnosis import contracts
from pellucid.diagnosis.asking import module_of, watched_rules
from pellucid.diagnosis.rules.loop import CUT
from pellucid.diagnosis.watched import Look, ParameterLook, Watched
from pellucid.diagnosis.wording import listed
from pellucid.record import Finding


def _names(parameters: list[ParameterLook]) -> str:
    return listed([one.name for one in parameters])


def _foreign_parameters(watched: Watched) -> Finding | None:
    for one in watched.optimizers:
        if one.parameters == 0 and one.foreign and watched.first is not None:
            return contracts.other_parameters(
                f"{one.kind} has {one.foreign} parameters, and none of them is the model's.", "error", 0.97
            )
    return None


def _not_optimized(watched: Watched) -> Finding | None:
    """Parameters get a gradient and are in no optimizer: a mistake where they have their first values."""
    look = watched.last
    if look is None or not watched.optimizers or all(one.parameters == 0 for one in watched.optimizers):
        return None
    outside = [one for one in look.parameters if one.trainable and not one.optimized and one.backward_rms]
    if not outside:
        return None
    replaced = any(one.foreign for one in watched.optimizers)
    fresh = [one for one in outside if one.fresh or replaced]
    moved = [one for one in outside if one.update_rms]
    if moved:
        return None  # something else updates them
    return Finding(
        "not-in-optimizer",
        "warning" if fresh else "note",
        f"{_names(outside)}: gradients are computed, and no optimizer has "
        f"{'it' if len(outside) == 1 else 'them'}.",
        "The optimizer was made before these layers, and holds parameters that the model no longer has."
        if replaced
        else "These layers keep their random weights."
        if fresh
        else "These layers are not trained; they do not look as if they had been initialized just now.",
        "add them to the optimizer"
        if fresh
        else "add them to the optimizer, or switch their requires_grad off",
        where=module_of((fresh or outside)[0].name),
        confidence=0.9 if fresh else 0.4,
    )


def _frozen(watched: Watched) -> Finding | None:
    """Layers that are frozen with random weights, as PyTorch initializes them."""
    look = watched.last
    if look is None:
        return None
    whole = _frozen_models(watched, look)
    frozen = [
        one
        for one in look.parameters
        if not one.trainable and one.is_weight and one.name.partition(".")[0] not in whole
    ]
    fresh = [one for one in frozen if one.fresh]
    if not fresh or not any(one.trainable for one in look.parameters):
        return None
    return Finding(
        "frozen-random",
        "warning",
        f"{_names(fresh)}: requires_grad is off, and the values are spread as PyTorch initializes them.",
        "A layer that is frozen before it has learned anything keeps random weights.",
        "requires_grad_(True) for it, or load pretrained weights before freezing",
        where=module_of(fresh[0].name),
        confidence=0.85,
    )


def _frozen_models(watched: Watched, look: Look) -> set[str]:
    """Models of several that are frozen as a whole: targets and references, on purpose."""
    if not watched.modules or watched.modules[0].kind not in ("ModuleDict", "ModuleList"):
        return set()
    trained = {one.name.partition(".")[0] for one in look.parameters if one.trainable}
    return {one.name.partition(".")[0] for one in look.parameters} - trained


def _all_frozen(watched: Watched) -> Finding | None:
    look = watched.first
    if look is None or not look.parameters or any(one.trainable for one in look.parameters):
        return None
    return contracts.all_frozen(len(look.parameters))


def _unreached(watched: Watched) -> Finding | None:
    """Trainable parameters on which the loss does not depend."""
    graph, look = watched.graph, watched.last
    if graph is None or look is None or not graph.reached or graph.compiled or len(watched.looks) < 3:
        return None
    seen = {one.name for each in watched.looks for one in each.parameters if one.backward_rms or one.grad_rms}
    never = [one for one in look.trained() if one.name not in graph.reached and one.name not in seen]
    weights = [one for one in never if one.is_weight]
    if not weights:
        return None
    return contracts.unused_parameters(
        f"The loss does not depend on {_names(weights)}.", module_of(weights[0].name), 0.9
    )


def _lost_layers(watched: Watched) -> Finding | None:
    if not watched.lost:
        return None
    return contracts.layers_in_plain_list(watched.lost, "warning")


def _shared_projections(watched: Watched) -> Finding | None:
    """Two of the projections of an attention are one and the same module."""
    roles = ("q", "k", "v", "query", "key", "value")

    def role(name: str) -> str:
        own = name.rpartition(".")[2].lower()
        for end in ("_proj", "_lin", "_linear", "proj", "_layer"):
            own = own.removesuffix(end)
        return own.removeprefix("to_").removeprefix("w_").removeprefix("w")

    pair = next((pair for pair in watched.shared if all(role(name) in roles for name in pair)), None)
    if pair is None:
        return None
    return Finding(
        "shared-projections",
        "warning",
        f"{pair[0]} and {pair[1]} are the same module.",
        "Queries and keys (or values) that are equal make each position attend mostly to itself.",
        "a projection of its own for each of query, key and value",
        where=pair[1],
        confidence=0.9,
    )


def _repeated(watched: Watched) -> Finding | None:
    """One layer stands at three places or more of a stack that is meant to be deep."""
    counted = Counter(first for first, _ in watched.shared)
    if not counted or max(counted.values()) < 2:
        return None
    name, count = counted.most_common(1)[0]
    return Finding(
        "layer-repeated",
        "warning",
        f"{name} stands at {count + 1} places: they are one and the same layer.",
        "[layer] * n repeats one layer, so all of them share their weights and the model has fewer than "
        "it seems.",
        "a new layer for each place, e.g. nn.ModuleList(Layer() for _ in range(n))",
        where=name,
        confidence=0.75,
    )


RULES = watched_rules(
    ("all-frozen", _all_frozen, ("meta-device",)),
    ("optimizer-of-other-parameters", _foreign_parameters, ()),
    ("layer-repeated", _repeated, ("shared-projections",)),
    ("layers-in-plain-list", _lost_layers, ()),
    ("shared-projections", _shared_projections, ()),
    ("not-in-optimizer", _not_optimized, CUT),
    ("frozen-random", _frozen, ("all-frozen",)),
    ("unused-parameters", _unreached, (*CUT, "no-backward")),
)
