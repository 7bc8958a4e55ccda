"""A recipe used with other data: what belonged to its own data is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pellucid.config_text import parse_override
from pellucid.errors import PellucidError

if TYPE_CHECKING:
    from pellucid.config import Config
    from pellucid.study import Study

SCORES = {"target": None, "published": None, "published_note": ""}
"""The settings about a score on certain data, without one."""
PARTS = ("objective.options.normal", "data.")
"""Settings of the parts of a study that name parts of certain data, by how they begin."""
READING = {
    "data.target": None,
    "data.inputs": None,
    "data.columns": {},
    "data.subset": None,
    "data.series.rows": None,
}
"""The settings that name parts of certain data, without any."""


def for_other_data(
    recipe: Config | Study, config: Config | Study, settings: list[str] | None
) -> tuple[Config | Study, str | None]:
    """Leave out what belongs to the data of a recipe, if a config made from it has other data.

    Args:
        recipe: as it was before it was changed.
        config: the recipe with the settings of the user.
        settings: the values of `--set`; what they set stays.

    Returns:
        The config, and a note on what was left out; None if nothing was.
    """
    from pellucid.config import Config

    before, after = (given if isinstance(given, Config) else given.base for given in (recipe, config))
    if before.data.source == after.data.source:
        return config, None
    if not (isinstance(config, Config) or isinstance(recipe, Config)) and _parts_name_data(recipe):
        return _one_run(recipe, config, settings)
    asked = dict(map(parse_override, settings or []))
    changes: dict[str, Any] = {"summary": f"the recipe {recipe.name} on {after.data.source}", **SCORES}
    if isinstance(config, Config):
        own = {**READING, **_needed(config)}
        changes |= {key: empty for key, empty in own.items() if _value(config, key) != empty}
    changes = {
        key: value for key, value in changes.items() if not any(name.startswith(key) for name in asked)
    }
    left_out = [key for key in changes if key != "summary" and _value(config, key) not in (None, "", {})]
    note = f"The data is not that of the recipe {recipe.name}, so these of its settings are left out: "
    changed = config.model_copy(update={key: changes.pop(key) for key in [*changes] if "." not in key})
    changed = changed.patch(changes)
    if isinstance(changed, Config) and not any(
        name.startswith(("data.target", "data.inputs")) for name in asked
    ):
        changed = changed.patch(_pair(changed))
    return changed, note + ", ".join(left_out) + "." if left_out else None


def _pair(config: Config) -> dict[str, Any]:
    """Return which column of other data is written from which, for a task that writes texts from texts."""
    from pellucid.data.contents import look
    from pellucid.data.offers import choose
    from pellucid.record.spec import find_spec

    if "translation" not in find_spec(config.objective.name).targets:
        return {}
    try:
        found = choose(look(config.data), config.objective.name).suggest(None).config.data
    except PellucidError:
        return {}  # training says what is wrong
    return {"data.inputs": found.inputs, "data.target": found.target, "data.columns": found.columns}


def _parts_name_data(recipe: Study) -> bool:
    """Return whether the parts of a study differ only in what they take of its own data."""
    return all(key.startswith(PARTS) for part in recipe.parts.values() for key in part)


def _one_run(recipe: Study, config: Study, settings: list[str] | None) -> tuple[Config | Study, str | None]:
    """Return the base of a study as one run, since its parts name what other data does not have."""
    base = config.base.model_copy(update={"name": config.name})
    made, note = for_other_data(recipe.base.model_copy(update={"name": config.name}), base, settings)
    parts = f"the parts of {config.name} ({', '.join(list(config.parts)[:2])} ...) name parts of its own data"
    said = f"This is one run, since {parts}."
    return made, f"{said} {note}" if note else said


def _needed(config: Config) -> dict[str, Any]:
    """Return the settings that name runs which learned from the recipe's own data, without these."""
    from pellucid.recipes import names
    from pellucid.tasks import get_task

    needs = get_task(config.objective.name).needs(config).values()
    options = config.objective.options
    found: dict[str, Any] = {
        f"objective.options.{name}": None for name, value in options.items() if value in needs
    }
    if config.model.weights in names():
        found["model.weights"] = None
    return found


def _value(config: Config | Study, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else getattr(value, part)
    return value
