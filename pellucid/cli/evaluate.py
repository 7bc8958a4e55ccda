"""`pellucid evaluate RUN`: measure a finished run again on one of its splits."""

from __future__ import annotations

from typing import Annotated

import typer

from pellucid.cli import common


def evaluate(
    run: Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")] = "last",
    split: Annotated[str, typer.Option("--split", help="train, validation or test.")] = "test",
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Measure a finished run again on one of its splits.

    Loads its data and its weights.
    """
    import time

    from pellucid import inference
    from pellucid.record.run import find_run

    start = time.perf_counter()
    found = find_run(runs, run)
    outcome = inference.evaluate(found, split)
    prefix = {"validation": "val"}.get(split, split)
    metrics = {f"{prefix}/{key}": value for key, value in outcome.metrics.items()}
    if as_json:
        seconds = {**found.facts["seconds"], "evaluation": time.perf_counter() - start}
        common.print_json({**common.result(found), "metrics": metrics, "seconds": seconds})
        return
    console = common.console()
    console.print(f"{found.id}, {split}: {outcome.summary['rows']:,} rows")
    for key, value in metrics.items():
        console.print(f"  {key:<16} {value:.4f}")
