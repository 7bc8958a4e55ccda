"""`pellucid evaluate RUN`: measure a finished run again on one of its splits."""

from __future__ import annotations

from typing import Annotated

import typer

from pellucid.cli import common


def evaluate(
    run: Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")] = "last",
    split: Annotated[str, typer.Option("--split", help="train, validation or test.")] = "test",
    data: Annotated[
        str | None,
        typer.Option("--data", help="Measure on new rows instead: a file with the target, or a folder."),
    ] = None,
    allow_changed_data: Annotated[
        bool,
        typer.Option("--allow-changed-data", help="Split data anew that has changed since training."),
    ] = False,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Measure a finished run again on one of its splits, or on new data.

    Loads its data and its weights. Data that has changed since training is refused.
    """
    import time

    from pellucid import inference
    from pellucid.record.run import find_run

    start = time.perf_counter()
    found = find_run(runs, run)
    if data is not None:
        split = "new data"
    outcome = inference.evaluate(
        found,
        split if data is None else inference.input_path(data, found),
        allow_changed_data=allow_changed_data,
    )
    prefix = {"validation": "val", "new data": "new"}.get(split, split)
    metrics = {f"{prefix}/{key}": value for key, value in outcome.metrics.items()}
    if as_json:
        seconds = {**found.facts["seconds"], "evaluation": time.perf_counter() - start}
        common.print_json({**common.result(found), "metrics": metrics, "seconds": seconds})
        return
    console = common.console()
    console.print(f"{found.id}, {split}: {outcome.summary['rows']:,} rows")
    for key, value in metrics.items():
        console.print(f"  {key:<16} {value:.4f}")
