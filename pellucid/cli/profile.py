"""`pellucid profile RUN|RECIPE|CONFIG|DATA`: say in words where the time of a training goes."""

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
    "data": "making batches",
    "forward": "the network, forward",
    "backward": "the network, backward",
    "optimizer": "moving the weights",
    "update": "all three, compiled",
    "saving": "checkpoints",
    "callbacks": "what watches and records",
    "rest": "the loop itself",
}
"""What the parts of an update are, for a reader."""


def profile(
    source: Annotated[str, typer.Argument(help="A run, a recipe, a config.yaml, or data.")],
    settings: common.Set = None,
    data_fraction: common.Fraction = None,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Train for some seconds with a stopwatch: where the time goes, and what would help. Keeps nothing."""
    from pellucid import runner
    from pellucid.cli.train import named_config

    config = named_config(source, runs, settings)
    config = common.patched(config, {"data.fraction": data_fraction}, settings)
    found = runner.profile(config, runs)
    if as_json:
        common.print_json(asdict(found) | {"seconds": found.profile.seconds})
        return
    _show(config, found, common.console())


def _show(config: Config, found: Profiled, console: Console) -> None:
    profile = found.profile
    console.print(
        f"{config.name}: {1000 * profile.seconds:.2f} ms an update of {profile.rows} rows, "
        f"{profile.rows / profile.seconds:,.0f} rows a second; "
        f"an epoch takes {found.epoch_seconds:,.1f} s ({found.updates:,} updates, and measuring)."
    )
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for _ in range(2):
        table.add_column(justify="right")
    for part, seconds in sorted(profile.parts.items(), key=lambda item: -item[1]):
        share = seconds / profile.seconds
        if not seconds:
            continue  # a compiled update is all of them in one
        table.add_row(f"{100 * share:.1f} %", f"{1000 * seconds:.3f} ms", WORDS[part])
    console.print(table)
    if profile.flops:
        console.print(
            f"The network computes {profile.flops / 1e9:.3g} GFLOP an update, "
            f"at {100 * profile.share_of_peak:.0f} % of the {profile.peak / 1e9:,.0f} GFLOP/s "
            "that matrix products reach here."
        )
    tuned = found.tuned
    console.print(f"Path {tuned.execution.value}: {tuned.execution.reason}.", style="dim", markup=False)
    console.print(f"{tuned.threads.value} threads: {tuned.threads.reason}.", style="dim", markup=False)
    console.print()
    for finding in found.findings:
        console.print(f"- {finding.seen} {finding.means}", markup=False)
        console.print(f"  Try: {finding.remedy}.", markup=False)
