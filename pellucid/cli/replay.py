"""`pellucid replay RUN --step N`: one update of a run, computed again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pellucid.cli import common

if TYPE_CHECKING:
    from pellucid.runner.replayed import Row

SHOWN = 8
"""Rows of a batch that are printed."""


def replay(
    run: Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")] = "last",
    step: Annotated[
        int | None, typer.Option("--step", help="The update, from 1; the last one.", metavar="N")
    ] = None,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Compute one update again, batch, dropout, gradients and all, and prove it by its recorded loss.

    The exit code is 5 where the loss differs.
    """
    from pellucid.lens.show import show
    from pellucid.record.run import find_run
    from pellucid.runner.replay import replay as compute
    from pellucid.runner.replayable import last_step
    from pellucid.runner.replayed import norms, summary

    found = find_run(runs, run)
    made = compute(found, last_step(found) if step is None else step)
    if as_json:
        common.print_json(made.to_dict())
    else:
        console = common.console()
        for line in summary(made):
            console.print(line)
        _show_rows(made.rows, console)
        for phase in made.phases:
            console.print(norms(phase))
            show(phase.trace, console)
    if made.exact is False:
        raise typer.Exit(5)


def _show_rows(rows: list[Row], console: Console) -> None:
    for row in rows[:SHOWN]:
        parts = [f"row {row.number:,}", row.file, row.text, f"-> {row.target}" if row.target else ""]
        console.print("  " + "  ".join(part for part in parts if part))
    if len(rows) > SHOWN:
        console.print(f"  ... and {len(rows) - SHOWN} more rows")
