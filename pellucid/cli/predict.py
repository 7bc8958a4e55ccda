"""`pellucid predict RUN INPUT`: predict for new inputs with a finished run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pellucid.cli import common


def predict(
    run: Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")],
    source: Annotated[
        str,
        typer.Argument(
            help="An image, a folder of images, a CSV, Parquet or .npy file, or a text.", metavar="INPUT"
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Set an option, e.g. temperature=0.5; may be repeated.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="File to write to: .csv, .jsonl or .parquet.", metavar="FILE"),
    ] = None,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Predict for new inputs with a finished run."""
    import time

    load_arrow()
    from pellucid import inference, prediction_file
    from pellucid.config_text import parse_override
    from pellucid.record.run import find_run

    start = time.perf_counter()
    found = find_run(runs, run)
    inputs = source if is_text(source) else inference.input_path(source, found)
    options = dict(map(parse_override, settings or []))
    if output is not None:
        options["output"] = prediction_file.check_path(output)
    rows = inference.predict(found, inputs, **options).rows()
    if as_json:
        seconds = {"total": time.perf_counter() - start}
        written_to = {} if output is None else {"output": str(output)}
        answer = {"run": str(found.path), "input": source, "predictions": rows, "seconds": seconds}
        common.print_json(answer | written_to)
        return
    console = common.console()
    if output is not None:
        console.print(f"Wrote {len(rows):,} predictions to {output}")
        return
    for number, row in enumerate(rows, 1):
        console.print(line(number, row))


def load_arrow() -> None:
    """Load pyarrow without pandas, which it imports with its first array; that takes a quarter of a second.

    Converting something to pandas imports it then.
    """
    import pyarrow as pa

    sys.meta_path.insert(0, _NoPandas)
    pa.array([0])
    sys.meta_path.remove(_NoPandas)


class _NoPandas:
    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name == "pandas":
            raise ImportError("pandas is not needed")


def is_text(source: str) -> bool:
    """Return whether an input is a text and not the name of a file.

    It is a text if there is no such file and it does not look like a path: it contains white space, or has
    neither a folder nor a suffix.
    """
    try:
        if Path(source).exists():
            return False
    except (OSError, ValueError):  # too long for a name, or not a name at all
        return True
    return any(letter.isspace() for letter in source) or not (
        Path(source).suffix or len(Path(source).parts) > 1
    )


def line(number: int, row: dict[str, Any]) -> str:
    """Format one prediction; further lines of a text are indented below the first."""
    indent = " " * 7
    text = f"\n{indent}".join(written(row["prediction"]).splitlines())
    confidence = f"  {100 * row['confidence']:.1f} %" if "confidence" in row else ""
    return f"{number:>5}  {text}{confidence}"


def written(value: Any) -> str:
    """Format a predicted value: names and texts as they are, numbers with six digits, lists in a row."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return "  ".join(f"{name} {written(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return "  ".join(written(each) for each in value)
    return str(value)
