"""`pellucid report RUN`: write report.html again from what the run folder holds."""

from __future__ import annotations

from typing import Annotated

import typer

from pellucid.cli import common


def report(
    run: Annotated[
        str, typer.Argument(help="A run: its id, the start of it, its folder, or 'last'.")
    ] = "last",
    runs: common.Runs = common.RUNS,
) -> None:
    """Write a run's report.html anew."""
    from pellucid import report as page
    from pellucid.record.run import find_run

    path = page.write(find_run(runs, run).path)
    common.console().print(f"Report: {path}")
