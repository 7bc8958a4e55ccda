"""`pellucid inspect DATA`: what is in it, what is wrong with it, and a config that trains on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pellucid.cli import common


def inspect(
    source: Annotated[str, typer.Argument(help="A file, a folder or a hub name.", metavar="DATA")],
    target: Annotated[str | None, typer.Option("--target", help="The column to predict.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the config is written.")] = Path("config.yaml"),
    settings: common.Set = None,
    skip_bad: common.SkipBad = False,
    as_json: common.Json = False,
) -> None:
    """Look at data before training on it, and write a config.yaml that trains as it is."""
    from pellucid.config import Config
    from pellucid.data.inspect import inspect_data, suggest_config
    from pellucid.record import files

    settings = [*([f"data.target={target}"] if target else []), *(settings or [])]
    config = common.patched(Config.parse({"data": {"source": source}}), None, None, settings, None, skip_bad)
    inspection = inspect_data(config.data)
    suggested = suggest_config(inspection.dataset, config.data)
    files.write(out, suggested.to_yaml())
    if as_json:
        common.print_json({**inspection.to_dict(), "config": str(out)})
        return
    console = common.console()
    for line in inspection.lines():
        console.print(line, markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in inspection.headings:
        table.add_column(heading)
    for row in inspection.table():
        table.add_row(*row)
    console.print(table)
    for warning in inspection.warnings:
        console.print(f"warning  {warning}", markup=False, style="yellow")
    console.print(f"\nWrote {out}. Train on it: pellucid train {out}", markup=False)
