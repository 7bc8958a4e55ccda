"""`pellucid profile RUN|RECIPE|CONFIG|DATA`: show where training time goes and what would help."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pellucid.cli import common

if TYPE_CHECKING:
    from pellucid.config import Config
    from pellucid.runner import Profiled

WORDS = {
    "data": "preparing batches",
    "forward": "forward pass",
    "backward": "backward pass",
    "optimizer": "optimizer step",
    "update": "compiled update (forward, backward, optimizer)",
    "saving": "checkpoints",
    "callbacks": "other callbacks",
    "rest": "everything else",
}
"""The parts of an update, in words."""


def profile(
    source: Annotated[str, typer.Argument(help=common.SOURCE_HELP, metavar="SOURCE")],
    settings: common.Set = None,
    data_fraction: common.Fraction = None,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Show where training time goes and what would help.

    Trains for a few seconds and measures each part; no run is written. A recipe that the model starts from
    is trained first.
    """
    from pellucid import runner
    from pellucid.cli.stopping import stoppable
    from pellucid.cli.train import named_config

    config = named_config(source, runs, settings)
    config = common.patched(config, {"data.fraction": data_fraction}, settings)
    console = common.console(as_json)
    with stoppable("", console, as_json) as begun:
        found = runner.profile(config, runs, console=console, begun=begun)
    if as_json:
        common.print_json(asdict(found) | {"seconds": found.profile.seconds})
        return
    _show(config, found, console)


def _show(config: Config, found: Profiled, console: Console) -> None:
    profile = found.profile
    console.print(
        f"{config.name}: {1000 * profile.seconds:.2f} ms per update of {profile.rows} rows, "
        f"{profile.rows / profile.seconds:,.0f} rows per second; "
        f"an epoch takes {found.epoch_seconds:,.1f} s ({found.updates:,} updates, and evaluation)."
    )
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for _ in range(2):
        table.add_column(justify="right")
    for part, seconds in sorted(profile.parts.items(), key=lambda item: -item[1]):
        share = seconds / profile.seconds
        if not seconds:
            continue  # a compiled update replaces three of them
        table.add_row(f"{100 * share:.1f} %", f"{1000 * seconds:.3f} ms", WORDS[part])
    console.print(table)
    if profile.flops:
        console.print(
            f"The network computes {profile.flops / 1e9:.3g} GFLOP per update, "
            f"at {100 * profile.share_of_peak:.0f} % of the {profile.peak / 1e9:,.0f} GFLOP/s "
            "that matrix products reach on this machine."
        )
    tuned = found.tuned
    console.print(f"Execution mode {tuned.execution.value}: {tuned.execution.reason}.", style="dim")
    console.print(f"{common.threads(tuned.threads.value)}: {tuned.threads.reason}.", style="dim")
    console.print()
    for finding in found.findings:
        console.print(f"- {finding.seen} {finding.means}")
        console.print(f"  Try: {finding.remedy}.")
