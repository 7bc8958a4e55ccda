"""Find the recipes to train first: the models that a config's task uses, and the run that it starts from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pellucid import recipes
from pellucid.config import Config
from pellucid.runner.load import finished_runs
from pellucid.tasks import get_task


def needed_recipes(
    config: Config, runs: str | Path, *, starts: bool, uses: bool = True
) -> Iterator[tuple[Config, str]]:
    """Yield the recipes a config names that have no finished run yet, each with the reason why it is needed.

    Args:
        config: the config; its task (see `Task.needs`) and `model.weights` may name recipes.
        runs: the folder of runs.
        starts: whether the run starts from the beginning; a resumed run has its own weights.
        uses: whether the task uses the models that it needs; it does not where only updates are computed.
    """
    needs = get_task(config.objective.name).needs(config) if uses else {}
    named: dict[str | None, str] = {name: f"is the {role} of {config.name}" for role, name in needs.items()}
    if starts:
        named[config.model.weights] = f"is what {config.name} starts from"
    for name, reason in named.items():
        recipe = recipes.find(name) if name in recipes.names() else None
        if isinstance(recipe, Config) and not finished_runs(recipe.name, runs):
            yield recipe, f"{name} {reason}, so it is trained first."
