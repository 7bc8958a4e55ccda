"""`pellucid inspect DATA`: describe a data set, list its problems, and write a config that trains on it."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli import common


def inspect(
    source: Annotated[str, typer.Argument(help="A file, a folder or a hub name.", metavar="DATA")],
    target: Annotated[str | None, typer.Option("--target", help="The column to predict.")] = None,
    task: common.TaskName = None,
    out: Annotated[Path, typer.Option("--out", help="File to write the config to.")] = Path("config.yaml"),
    settings: common.Set = None,
    skip_bad: common.SkipBad = False,
    as_json: common.Json = False,
) -> None:
    """Describe a data set and write a config that trains on it."""
    import yaml

    from pellucid.config import Config
    from pellucid.data.inspect import describe, inspect_data
    from pellucid.record import files

    flags = {"data.target": target, "data.skip_bad": skip_bad or None}
    config = common.patched(Config.parse({"data": {"source": source}}), flags, settings)
    wanted = common.wanted_task(task, settings)
    found = inspect_data(config.data, wanted)
    changed = common.patched(Config.parse(yaml.safe_load(found.config)), {}, common.without_task(settings))
    found = replace(found, config=_written(changed.to_yaml(), out))
    files.write(out, found.config, "`--out FILE` in a folder you may write")
    if as_json:
        common.print_json({**found.to_dict(), "written": str(out)})
        return
    console = common.console()
    for line in describe(found):
        console.print(line)
    console.print(f"\nThe config is for --task {found.chosen}:")
    for reason in found.reasons:
        console.print(f"- {reason}")
    console.print(f"\nWrote {out}. Train with: pellucid train {shlex.quote(str(out))}")


def _written(config: str, out: Path) -> str:
    """Return a config whose source, if it is a relative path, starts in the folder that it is written to."""
    import yaml

    from pellucid.config import Config

    values = yaml.safe_load(config)
    source = Path(values["data"]["source"])
    if source.is_absolute() or not source.exists():
        return config
    return Config.parse(values).patch({"data.source": os.path.relpath(source, out.parent)}).to_yaml()
