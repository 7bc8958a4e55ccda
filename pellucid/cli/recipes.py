"""`pellucid recipes`: what can be run, and a copy of one to change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli import common
from pellucid.errors import UsageError


def recipes(
    action: Annotated[str, typer.Argument(help="ls, or copy.")] = "ls",
    name: Annotated[str | None, typer.Argument(help="The recipe to copy.")] = None,
    as_json: common.Json = False,
) -> None:
    """List the recipes, or copy one as a config file: pellucid recipes copy digits."""
    from rich.table import Table

    from pellucid.recipes import find, names

    if action == "copy":
        _copy(name)
        return
    if action != "ls":
        raise UsageError(
            f"There is no action {action!r}.", remedy="`pellucid recipes` or `pellucid recipes copy NAME`"
        )
    found = {name: find(name) for name in names()}
    if as_json:
        common.print_json(
            [
                {"name": n, "summary": c.summary, "target": c.target and c.target.model_dump()}
                for n, c in found.items()
            ]
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("recipe", "what", "must reach", "published"):
        table.add_column(column)
    for name, config in found.items():
        target = f"{config.target.metric} {config.target.value:g}" if config.target else ""
        published = f"{config.published.value:g}" if config.published else ""
        table.add_row(name, config.summary, target, published)
    common.console().print(table)


def _copy(name: str | None) -> None:
    from pellucid.recipes import find

    if name is None:
        raise UsageError("Which recipe should be copied?", remedy="`pellucid recipes copy digits`")
    path = Path(f"{name}.yaml")
    if path.exists():
        raise UsageError(f"{path} exists already.", remedy="another folder, or move it away")
    path.write_text(find(name).to_yaml(), encoding="utf-8")
    common.console().print(f"Wrote {path}. Change it, then: pellucid train {path}")
