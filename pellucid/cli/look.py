"""`pellucid look RUN`: what happens in every module of a run's model."""

from __future__ import annotations

from typing import Annotated

import typer

from pellucid.cli import common


def look(
    run: Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")] = "last",
    step: Annotated[
        int | None,
        typer.Option("--step", help="Look at the weights after this update; a checkpoint.", metavar="N"),
    ] = None,
    phase: Annotated[
        str | None,
        typer.Option("--phase", help="The loss of a run with several, e.g. discriminator.", metavar="NAME"),
    ] = None,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Show shapes, statistics, gradients and costs of every module, on rows of the validation data."""
    from pellucid import looking
    from pellucid.lens.show import show
    from pellucid.record.run import find_run

    trace = looking.look(find_run(runs, run), step=step, phase=phase)
    if as_json:
        common.print_json(trace.to_dict())
    else:
        show(trace, common.console())
