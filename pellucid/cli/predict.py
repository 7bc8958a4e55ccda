"""`pellucid predict RUN INPUT`: predict for new inputs with a finished run."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.cli import common

if TYPE_CHECKING:
    from pellucid.record import Run
    from pellucid.tasks.predictions import Predictions

WIDEST = 60
"""Characters of a name in front of a prediction that the others are aligned with."""


def predict(
    run: Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")],
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Images, folders, CSV, Excel, Parquet or .npy files, or a text; several of one kind; "
            "- for standard input.",
            metavar="INPUT",
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
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File to write to: .csv, .jsonl or .parquet.", metavar="FILE"),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", hidden=True)] = None,  # the name of --out before
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Give the probability of every class.")
    ] = False,
    skip_bad: common.SkipBad = False,
    text: Annotated[
        bool, typer.Option("--text", help="The inputs are texts, also where files have such names.")
    ] = False,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Predict for new inputs with a finished run."""
    import time

    load_arrow()
    from pellucid import inference, prediction_file
    from pellucid.config_text import parse_override

    start = time.perf_counter()
    found, out = common.trained_run(runs, run), out or output
    if out is not None:
        prediction_file.check_path(out)
    options = by_name(map(parse_override, settings or []))
    if probabilities:
        options["probabilities"] = "all"
    inputs = list(sources) if text else read_inputs(sources, found)
    single = inputs[0] if text and len(sources) == 1 else inputs
    plain = not as_json and out is None and options.get("samples", 1) == 1
    if plain and sys.stdout.isatty() and isinstance(single, str) and inference.streams(found):
        show_stream(inference.stream(found, single, **options))
        return
    pictures = Path("predictions") / found.id
    made = inference.predict(found, inputs, out=out, skip_bad=skip_bad, pictures=pictures, **options)
    facts = {"run": str(found.path), "input": sources[0] if len(sources) == 1 else sources}
    if as_json:
        show_json(made, facts, out, time.perf_counter() - start)
    else:
        show(made, out, probabilities="probabilities" in options)


def by_name(settings: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return options by name; those with a dot, such as threshold.a, are entries of one."""
    options: dict[str, Any] = {}
    for key, value in settings:
        name, dot, entry = key.partition(".")
        if dot and isinstance(options.setdefault(name, {}), dict):
            options[name][entry] = value
        else:
            options[key] = value
    return options


def read_inputs(sources: Sequence[str], run: Run) -> Any:
    """Return what the arguments name: a text, a path, or a list of paths or texts.

    Raises:
        DataNotFoundError: there is no file or folder of a name.
    """
    from pellucid import inference
    from pellucid.cli.standard_input import read_standard_input

    if list(sources) == ["-"]:
        return read_standard_input(run)
    found: list[Any] = []
    for source in sources:
        if is_text(source) or inference.is_text_address(source, run):
            found.append(source)
        else:
            found += inference.input_paths(source, run)
    return found[0] if len(found) == 1 else found


# ---- what is printed -------------------------------------------------------------------------------


def show_json(made: Predictions, facts: Mapping[str, Any], out: Path | None, seconds: float) -> None:
    """Print everything as JSON."""
    written_to = {} if out is None else {"output": str(out)}
    said = {"notes": list(made.notes), "left_out": [dict(name) for name in made.left_out]}
    answer = {**facts, "predictions": made.rows(), **said, "seconds": {"total": seconds}}
    common.print_json(answer | written_to | {name: str(place) for name, place in places(made).items()})


def show(made: Predictions, out: Path | None, *, probabilities: bool = False) -> None:
    """Print a line for each prediction, or where they were written; notes to standard error."""
    console, aside = common.console(), common.console(as_json=True)
    for note in (*made.notes, *map(left_out, made.left_out)):
        aside.print(f"note: {note}")
    rows = made.rows()
    if out is not None:
        console.print(f"Wrote {len(rows):,} predictions to {out}")
    elif hasattr(made, "text"):
        console.print(made.text())
    else:
        labels = [label(name, number) for number, name in enumerate(made.names, 1)]
        width = min(max(map(len, labels), default=0), WIDEST)
        for row, said in zip(rows, labels, strict=True):
            more = probs_of(row) if probabilities else ""
            console.print(line(said.ljust(width), row) + more)
    for what, place in places(made).items():
        console.print(f"Saved {len(rows):,} {what} in {place}")


def show_stream(pieces: Iterator[str]) -> None:
    """Print a text while it is written."""
    console = common.console()
    for piece in pieces:
        console.print(piece, end="", highlight=False)
        sys.stdout.flush()
    console.print()


def places(made: Predictions) -> dict[str, Path]:
    """Return the folder that pictures were saved in, if any."""
    import os

    paths = getattr(made, "paths", ())
    return {"pictures": Path(os.path.commonpath([path.parent for path in paths]))} if paths else {}


def label(name: Mapping[str, Any], number: int) -> str:
    """Return what a line begins with: the file, or the number of the row, and its id."""
    if not name:
        return f"{number:>5}"
    parts = [f"{value:>5}" if key == "row" else str(value) for key, value in name.items()]
    return "  ".join(parts)


def left_out(name: Mapping[str, Any]) -> str:
    """Say which input could not be read."""
    where = ", ".join(
        str(value) if key == "file" else f"{key} {value}"
        for key, value in name.items()
        if key != "reason" and value is not None
    )
    return f"left out {where}: {name['reason']}" if where else f"left out {name['reason']}"


def line(said: str, row: dict[str, Any]) -> str:
    """Format one prediction; further lines of a text are indented below the first."""
    if isinstance(row["prediction"], list) and "probs" in row:
        return f"{said}  {labels_of(row)}"
    indent = " " * (len(said) + 2)
    predicted = row["prediction"]
    shown = str(predicted) if "confidence" in row else written(predicted)  # a class 1.0 is not called 1
    text = f"\n{indent}".join(shown.splitlines())
    confidence = f"  {100 * row['confidence']:.1f} %" if "confidence" in row else ""
    return f"{said}  {text}{confidence}"


def labels_of(row: dict[str, Any]) -> str:
    """Format a set of labels, each with its probability."""
    probs = row["probs"]
    if row["prediction"]:
        return ", ".join(
            f"{name} {100 * probs[str(name)]:.1f} %" if str(name) in probs else str(name)
            for name in row["prediction"]
        )
    best = max(probs, key=probs.get, default=None)
    return "none" + (f" (the most probable is {best}, {100 * probs[best]:.1f} %)" if best else "")


def probs_of(row: dict[str, Any]) -> str:
    """Format the probabilities of a row."""
    return "".join(f"  {name} {100 * prob:.1f} %" for name, prob in row.get("probs", {}).items())


def written(value: Any) -> str:
    """Format a predicted value: names and texts as they are, numbers with six digits, lists in a row."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return "  ".join(f"{name} {written(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return "  ".join(written(each) for each in value)
    return str(value)


# ---- parts -----------------------------------------------------------------------------------------


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
    if not source.strip():
        return True
    try:
        if Path(source).exists():
            return False
    except (OSError, ValueError):  # too long for a name, or not a name at all
        return True
    if any(mark in source for mark in "*?[") and not any(letter.isspace() for letter in source):
        return False
    return any(letter.isspace() for letter in source) or not (
        Path(source).suffix or len(Path(source).parts) > 1
    )
