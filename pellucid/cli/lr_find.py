"""`pellucid lr-find RUN|RECIPE|CONFIG|DATA`: suggest a learning rate for a model and its data."""

from __future__ import annotations

from typing import Annotated

import typer

from pellucid.cli import common


def lr_find(
    source: Annotated[str, typer.Argument(help=common.SOURCE_HELP, metavar="SOURCE")],
    settings: common.Set = None,
    seed: common.Seed = None,
    data_fraction: common.Fraction = None,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Suggest a learning rate for a model and its data.

    Trains the real model on the real data with a growing learning rate; no run is written. A recipe that
    the model starts from is trained first.
    """
    from pellucid import runner
    from pellucid.cli.stopping import stoppable
    from pellucid.cli.train import named_config

    config = named_config(source, runs, settings)
    config = common.patched(config, {"train.seed": seed, "data.fraction": data_fraction}, settings)
    console = common.console(as_json)
    with stoppable("", console, as_json) as begun:
        found = runner.find_lr(config, runs, console=console, begun=begun)
    if as_json:
        common.print_json(
            {"lr": found.lr, "reason": found.reason, "lrs": found.lrs, "losses": found.smoothed}
        )
        return
    console.print(f"Suggested learning rate: {found.lr:.2g} (the config has {config.optimizer.lr:.2g})")
    console.print(found.reason)
    console.print(f"Use it with: --set optimizer.lr={found.lr:.2g}", style="dim")
