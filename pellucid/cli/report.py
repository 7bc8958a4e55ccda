"""`pellucid report RUN`: write report.html again from the run folder, or print what it shows as JSON."""

from __future__ import annotations

from typing import Annotated

import typer

from pellucid.cli import common


def report(
    run: Annotated[
        str, typer.Argument(help="A run: its id, the start of it, its folder, or 'last'.")
    ] = "last",
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Write a run's report.html again; with --json, print everything it shows instead."""
    from pellucid import report as page
    from pellucid.record.run import find_run

    found = find_run(runs, run)
    if as_json:
        common.print_json(page.view(found))
        return
    path = page.write(found.path)
    common.console().print(f"Report: {path}")
