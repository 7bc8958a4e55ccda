"""Collect the facts that `run.json` records about a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from pellucid.config import Config, Goal, Published
from pellucid.diagnosis.rules import ORIGINS as RULES
from pellucid.record.measures import lower_is_better
from pellucid.record.spec import TaskSpec
from pellucid.report.views import ORIGINS as VIEWS
from pellucid.runner.components import spec_of
from pellucid.runner.model_builder import OWN_MODEL, model_origin
from pellucid.runner.supplied import NOTHING, Supplied
from pellucid.tasks.prepared import PreparedData
from pellucid.train.objective import Objective


def run_facts(
    config: Config,
    prepared: PreparedData,
    model: nn.Module,
    objective: Objective,
    supplied: Supplied = NOTHING,
    activation: str = "",
) -> dict[str, Any]:
    """Return everything that is known before the first step."""
    spec = spec_of(config, objective)
    own, published = config.model.name == OWN_MODEL, config.published
    return {
        "summary": config.summary,
        "task": spec.name,
        "spec": spec.to_dict(),
        "seed": config.train.seed,
        "supplied": supplied.described(),
        "registered": {"models": model_origin(config), "views": dict(VIEWS), "rules": dict(RULES)},
        "dataset": prepared.facts(),
        "model": {
            "name": type(model).__name__ if own else config.model.name,
            "size": config.model.size,
            "options": config.model.options,
            "architecture": None if own else getattr(model, "architecture", None),
            **model_facts(model),
        },
        "target": config.target.model_dump() if config.target else None,
        "published": published.model_dump() if published and applies(published, prepared) else None,
        **({"activation": activation} if activation else {}),
    }


def model_facts(model: nn.Module) -> dict[str, Any]:
    """Return the parameter count and the layers: modules with parameters of their own or without children."""
    layers = []
    for name, module in model.named_modules():
        own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        if own or not list(module.children()):
            layers.append({"name": name, "type": type(module).__name__, "parameters": own})
    return {"parameters": sum(parameter.numel() for parameter in model.parameters()), "layers": layers}


def target_met(
    config: Config, prepared: PreparedData, metrics: Mapping[str, float], spec: TaskSpec
) -> bool | None:
    """Return whether the target score was reached; None if there is none, or it applies to other data."""
    target = config.target
    if target is None or target.metric not in metrics or not applies(target, prepared):
        return None
    return reached(target, metrics, spec)


def reached(target: Goal, metrics: Mapping[str, float], spec: TaskSpec) -> bool:
    """Return whether the metrics reach a target; they must contain its metric.

    Args:
        target: the score to reach.
        metrics: final numbers by key.
        spec: the spec of the run, which says whether lower is better.
    """
    value = metrics[target.metric]
    return value <= target.value if lower_is_better(target.metric, spec) else value >= target.value


def applies(score: Goal | Published, prepared: PreparedData) -> bool:
    """Return whether a score applies to this data."""
    return score.on in (None, prepared.facts()["source"]["name"])
