"""Recipes that a config needs trained first: its judge, and the run whose weights it starts from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pellucid import recipes
from pellucid.config import Config
from pellucid.runner.load import finished_runs


def needed_recipes(config: Config, runs: str | Path, *, starts: bool) -> Iterator[tuple[Config, str]]:
    """Yield the recipes a config names that have no finished run yet, each with the reason it is needed.

    Args:
        config: may name a recipe as `judge` or, if the run starts rather than resumes, as `model.weights`.
        runs: the folder of runs.
        starts: whether the run starts; a resumed run has its own weights.
    """
    named = {config.judge: f"evaluates the images of {config.name}"}
    if starts:
        named[config.model.weights] = f"is what {config.name} starts from"
    for name, reason in named.items():
        recipe = recipes.find(name) if name in recipes.names() else None
        if isinstance(recipe, Config) and not finished_runs(recipe.name, runs):
            yield recipe, f"{name} {reason}, so it is trained first."
