"""`pellucid fix RUN`: the config of a run with the change that was proven to help."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.cli import common
from pellucid.cli.diagnose import Seeds, VerifyMinutes, try_remedies
from pellucid.config_text import near

if TYPE_CHECKING:
    from pellucid.config import Config
    from pellucid.diagnosis.verified import Verified


def fix(
    run: Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")] = "last",
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; by default NAME-fixed.yaml here.")
    ] = None,
    train: Annotated[bool, typer.Option("--run", help="Train the fixed config.")] = False,
    seeds: Seeds = 3,
    minutes: VerifyMinutes = None,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Write the config of a run with the smallest change that was proven to help.

    What may help is tried first, unless `pellucid diagnose RUN --verify` has done so. If nothing was proven,
    nothing is written and the exit code is 1.
    """
    from pellucid.diagnosing import fixed_config
    from pellucid.diagnosis.remedies import setting, shown
    from pellucid.diagnosis.verified import read
    from pellucid.record import files
    from pellucid.record.run import find_run

    found = find_run(runs, run)
    console = common.console(as_json)
    verified = read(found)
    if verified is None:
        console.print("Nothing has been tried yet: the remedies of its findings are tried first.")
        verified = try_remedies(found, seeds, minutes, console, f"fix {shlex.quote(found.id)}")
        console.print()
    console.print(verified.answer)
    if verified.test is not None:
        console.print(verified.on_test)
    best = verified.best
    if best is None:
        if as_json:
            common.print_json(_plain(verified, None, None))
        raise typer.Exit(1)
    config, before = fixed_config(found, verified), found.settings
    path = out or Path(f"{found.name}-fixed.yaml")
    files.write(path, config.to_yaml(), "--out FILE in a folder you may write")
    for key, value in best.patch.items():
        console.print(f"  {key}: {shown(setting(before, key))} -> {shown(value)}")
    console.print(f"Written: {near(path)}")
    if as_json:
        common.print_json(_plain(verified, path, config))
    if train:
        from pellucid.cli.train import train_and_show

        train_and_show(config, runs, None, False, as_json)
    else:
        console.print(f"Next: pellucid train {shlex.quote(near(path))}{common.in_folder(runs)}", style="dim")


def _plain(verified: Verified, path: Path | None, config: Config | None) -> dict[str, Any]:
    return {
        "config": None if path is None else str(path),
        "patch": dict(verified.best.patch) if verified.best else {},
        "verified": verified.to_dict(),
        "settings": None if config is None else config.model_dump(),
    }
