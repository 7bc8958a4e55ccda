"""`pellucid report RUN`: write the report of a run again from its folder, or print what it shows as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli import common


def report(
    run: Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")] = "last",
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; by default report.html in the run folder.")
    ] = None,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Write the report of a run again.

    With --json, print everything that it shows instead. With --out, the run folder may be read-only.
    """
    from pellucid import report as page
    from pellucid.record.run import REPORT, find_run

    found = find_run(runs, run)
    if as_json:
        common.print_json(page.view(found))
        return
    common.console().print(f"Report: {page.write(found.path, out or found.path / REPORT)}")
