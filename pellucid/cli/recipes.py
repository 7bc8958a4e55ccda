"""`pellucid recipes`: list the recipes, or copy one to a config file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli import common
from pellucid.errors import UnknownNameError, UsageError


def recipes(
    action: Annotated[str, typer.Argument(help="ls or copy.", metavar="ACTION")] = "ls",
    name: Annotated[str | None, typer.Argument(help="The recipe to copy.", metavar="NAME")] = None,
    as_json: common.Json = False,
) -> None:
    """List the recipes, or copy one to a config file.

    Copy one with: pellucid recipes copy digits
    """
    from pellucid.recipes import find, names

    if action == "copy":
        _copy(name)
        return
    if action != "ls":
        raise UnknownNameError("action of `pellucid recipes`", action, ("ls", "copy"))
    found = {name: find(name) for name in names()}
    if as_json:
        common.print_json(
            [
                {
                    "name": name,
                    "summary": recipe.summary,
                    "target": recipe.target and recipe.target.model_dump(),
                    "published": recipe.published and recipe.published.model_dump(),
                    "published_note": recipe.published_note,
                }
                for name, recipe in found.items()
            ]
        )
        return
    table = common.table("recipe", "what it trains", "target", "published")
    for name, config in found.items():
        target = f"{config.target.metric} {config.target.value:g}" if config.target else ""
        published = f"{config.published.value:g}" if config.published else "none"
        table.add_row(name, config.summary, target, published)
    common.console().print(table)


def _copy(name: str | None) -> None:
    from pellucid.recipes import find
    from pellucid.record import files

    if name is None:
        raise UsageError("Name the recipe to copy.", remedy="`pellucid recipes copy digits`")
    path = Path(f"{name}.yaml")
    if path.exists():
        raise UsageError(f"{path} already exists.", remedy="move it, or run this in another folder")
    files.write(path, find(name).to_yaml(), "run this in a folder you may write")
    common.console().print(f"Wrote {path}. Edit it, then train with: pellucid train {path}")
