"""`pellucid embed RUN INPUT` and `pellucid neighbors RUN QUERY`: vectors of a run, and what is similar."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pellucid.cli import common
from pellucid.cli.predict import is_text, load_arrow


def embed(
    run: Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")],
    source: Annotated[
        str, typer.Argument(help="A file or a folder of what the run reads, or a text.", metavar="INPUT")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File to write to: .parquet, .csv or .jsonl.", metavar="FILE"),
    ] = None,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Write the vectors that a run's model makes of inputs."""
    load_arrow()
    from pellucid import prediction_file, vectors
    from pellucid.record.run import find_run
    from pellucid.report import words

    if out is not None:
        prediction_file.check_path(out)
    found = find_run(runs, run)
    made = vectors.embed(found, _input(source, found))
    if out is not None:
        made.save(out)
    if as_json:
        rows = [] if out is not None else made.rows()
        common.print_json({"run": str(found.path), "shape": list(made.vectors.shape), "vectors": rows})
        return
    console = common.console()
    count, size = made.vectors.shape
    if out is not None:
        console.print(f"Wrote {words.plural(count, 'vector')} of {size:,} numbers to {out}")
        return
    for name, vector in zip(made.names, made.vectors.tolist(), strict=True):
        numbers = "  ".join(f"{number:.4g}" for number in vector[:8])
        console.print(f"{_called(name)}  {numbers}{'  ...' if size > 8 else ''}")
    console.print(f"{words.plural(count, 'vector')} of {size:,} numbers; --out vectors.parquet writes them")


def neighbors(
    run: Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")],
    query: Annotated[
        str, typer.Argument(help="A word, a text, or a file of what the run reads.", metavar="QUERY")
    ],
    among: Annotated[
        str | None,
        typer.Option(
            "--among",
            help="Where to look: a file or folder; train, validation or test; or words, the vocabulary.",
            metavar="DATA",
        ),
    ] = None,
    k: Annotated[int, typer.Option("--k", help="Neighbors to show.")] = 5,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Find what is most similar to a word, a text, a picture or a row."""
    load_arrow()
    from pellucid import vectors
    from pellucid.record.run import find_run

    found = find_run(runs, run)
    made = vectors.neighbors(found, _input(query, found), _among(among, found), k)
    if as_json:
        common.print_json({"run": str(found.path), "among": made.among, "queries": made.rows()})
        return
    console = common.console()
    for name, near in zip(made.queries, made.neighbors, strict=True):
        console.print(f"{_called(name).strip()}, among {made.among}")
        for each in near:
            called = _called({key: value for key, value in each.items() if key != "similarity"})
            console.print(f"  {each['similarity']:6.3f}  {called}")


def _input(source: str, run: Any) -> Any:
    from pellucid import inference

    return source if is_text(source) else inference.input_path(source, run)


def _among(among: str | None, run: Any) -> Any:
    from pellucid import inference, vectors
    from pellucid.data.dataset import SPLITS

    if among is None or among == vectors.WORDS or among in SPLITS:
        return among
    return inference.input_path(among, run)


def _called(name: Any) -> str:
    """Return the name of an input: its file or row number, its text and its target."""
    return "  ".join(f"{value:>5}" if key == "row" else str(value) for key, value in name.items())
