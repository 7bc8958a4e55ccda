"""`pellucid evaluate RUN`: measure a finished run again on one of its splits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="How the file of --data is read, e.g. data.csv.delimiter=; may be repeated.",
            metavar="data.KEY=VALUE",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="File for every row with its target and prediction: .csv, .jsonl or .parquet.",
            metavar="FILE",
        ),
    ] = None,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Measure a finished run again on one of its splits, or on new data.

    Loads its data and its weights. Data that has changed since training is refused.
    """
    import time

    from pellucid import inference, prediction_file

    start = time.perf_counter()
    reading = _reading(settings, data)
    if out is not None:
        prediction_file.check_path(out)
    found = common.trained_run(runs, run)
    if data is not None:
        split = "new data"
    outcome = inference.evaluate(
        found,
        split if data is None else inference.input_path(data, found),
        allow_changed_data=allow_changed_data,
        settings=reading,
    )
    if out is not None:
        _write(out, outcome.predictions, found)
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
    if out is not None:
        console.print(f"Wrote {out}")


def _reading(settings: list[str] | None, data: str | None) -> dict[str, Any]:
    """Return the settings that say how new data is read.

    Raises:
        UsageError: one says something else, or there is no new data.
    """
    from pellucid.config_text import parse_override
    from pellucid.errors import UsageError

    made = dict(map(parse_override, settings or []))
    if others := [key for key in made if not key.startswith("data.")]:
        raise UsageError(
            f"evaluate takes settings of data, such as data.encoding; received {others[0]!r}.",
            remedy="options of predictions, such as threshold: pellucid predict RUN FILE --set threshold=0.3",
        )
    if made and data is None:
        raise UsageError("--set says how new data is read.", remedy="--data FILE")
    return made


def _write(out: Path, rows: Any, run: Any) -> None:
    from pellucid import prediction_file
    from pellucid.errors import UsageError

    if rows is None:
        raise UsageError(
            f"The evaluation of run {run.id} has no predictions by row.",
            remedy="pellucid predict RUN --out FILE",
        )
    classes = run.facts["dataset"].get("classes") or []

    def named(value: Any) -> Any:
        return classes[value] if isinstance(value, int) and 0 <= value < len(classes) else value

    written = [
        {
            key: value + 1 if key == "row" else named(value) if key in ("target", "prediction") else value
            for key, value in row.items()
        }
        for row in rows.to_pylist()
    ]
    prediction_file.write(out, written)
