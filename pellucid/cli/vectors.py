"""`pellucid embed RUN INPUT` and `pellucid neighbors RUN QUERY`: vectors of a run, and what is similar."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pellucid.cli import common
from pellucid.cli.predict import load_arrow, read_inputs


def embed(
    run: Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")],
    source: Annotated[
        list[str],
        typer.Argument(
            help="Files or folders of what the run reads, or texts; several of one kind.", metavar="INPUT"
        ),
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
    from pellucid.report import words

    if out is not None:
        prediction_file.check_path(out)
    found = common.trained_run(runs, run)
    made = vectors.embed(found, read_inputs(source, found))
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
        list[str],
        typer.Argument(
            help="Words, texts, or files and folders of what the run reads; several of one kind.",
            metavar="QUERY",
        ),
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
    """Find what is most similar to words, texts, pictures or rows."""
    load_arrow()
    from pellucid import vectors

    found = common.trained_run(runs, run)
    made = vectors.neighbors(found, read_inputs(query, found), _among(among, found), k)
    if as_json:
        common.print_json({"run": str(found.path), "among": made.among, "queries": made.rows()})
        return
    console = common.console()
    for name, near in zip(made.queries, made.neighbors, strict=True):
        console.print(f"{_called(name).strip()}, among {made.among}")
        for each in near:
            called = _called({key: value for key, value in each.items() if key != "similarity"})
            console.print(f"  {each['similarity']:6.3f}  {called}")


def _among(among: str | None, run: Any) -> Any:
    from pellucid import inference, vectors
    from pellucid.data.dataset import SPLITS

    if among is None or among == vectors.WORDS or among in SPLITS:
        return among
    return inference.input_path(among, run)


def _called(name: Any) -> str:
    """Return the name of an input: its file or row number, its text and its target."""
    return "  ".join(f"{value:>5}" if key == "row" else str(value) for key, value in name.items())
