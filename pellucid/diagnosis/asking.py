"""How rules ask a watched loop: always, or only where it is measurably unhealthy."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from pellucid.diagnosis.facts import Facts
from pellucid.diagnosis.health import Health, health
from pellucid.diagnosis.rule import Check, Rule
from pellucid.diagnosis.watched import Look, ParameterLook, Watched
from pellucid.diagnosis.wording import figure
from pellucid.record import Finding

OnWatched = Callable[[Watched], Finding | None]


def watched_rules(
    *rules: tuple[str, OnWatched, tuple[str, ...]], need: str = "watched", last_resort: bool = False
) -> tuple[Rule, ...]:
    """Return rules on watched loops.

    Args:
        rules: (id, check, ids of the rules whose findings explain this one).
        need: "loop" where runs have rules of their own.
        last_resort: see `Rule`.
    """
    return tuple(Rule(id, (need,), on_watched(check), unless, last_resort) for id, check, unless in rules)


def on_watched(check: Callable[[Watched], Finding | None]) -> Check:
    """Return a check of facts that passes what was recorded of a loop."""

    def on_facts(facts: Facts) -> Finding | None:
        return None if facts.watched is None else check(facts.watched)

    return on_facts


def module_of(parameter: str) -> str:
    """Return the name of the module that a parameter belongs to; "model" for one of the model itself."""
    return parameter.rpartition(".")[0] or "model"


def when_ill(check: Callable[[Watched, Health], Finding | None]) -> Callable[[Watched], Finding | None]:
    """Ask a check only of loops that are measurably unhealthy."""

    def checked(watched: Watched) -> Finding | None:
        state = health(watched)
        return check(watched, state) if state.ill else None

    return checked


def by_health(check: Callable[[Watched, Health], Finding | None]) -> Callable[[Watched], Finding | None]:
    """Tell a check how the loop is doing and let it decide."""
    return lambda watched: check(watched, health(watched))


def weights(look: Look) -> list[ParameterLook]:
    """Return the weight matrices and kernels that a step could change."""
    return [one for one in look.trained() if one.is_weight]


def median_ratio(look: Look) -> float | None:
    """Return the median, over a look's weights, of one update relative to the weight; None if not known."""
    ratios = [one.ratio for one in weights(look) if one.ratio is not None]
    return statistics.median(ratios) / max(1, look.updates) if ratios else None


def symptom(state: Health) -> str:
    """Say in words what is wrong with a loss."""
    if state.state == "non-finite":
        return "The loss is not finite"
    if state.state == "diverging":
        return f"The loss rose to {figure(state.end)} (at the start {figure(state.start)})"
    if state.spiked:
        return f"The loss went up to {figure(state.peak)} and ends at {figure(state.end)}"
    if state.state == "unstable":
        return f"The loss jumps and ends at {figure(state.end)}"
    if state.prior is not None and state.state in ("stuck", "slow"):
        return f"The loss is {figure(state.end)}, where guessing gives {figure(state.prior)}"
    if state.state == "stuck":
        return f"The loss went from {figure(state.start)} to {figure(state.end)} only"
    if state.chance:
        return f"The loss is {figure(state.end)}, and new rows are predicted no better than by guessing"
    return f"The loss is {figure(state.end)}"
