"""`pellucid labels RUN`: the training rows whose labels look wrong."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pellucid.cli import common
from pellucid.errors import UsageError

ENDINGS = (".csv", ".json")


def labels(
    run: Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")] = "last",
    rows: Annotated[int | None, typer.Option("--rows", help="How many rows to list.", metavar="N")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="File to write all suspected rows to, or --rows of them: .csv or .json.",
            metavar="FILE",
        ),
    ] = None,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """List the training rows whose labels the model contradicts, the most suspicious first."""
    if out is not None and out.suffix.lower() not in ENDINGS:
        raise UsageError(
            f"--out {out}: expected a file that ends in .csv or .json.", remedy=f"--out {out.stem}.csv"
        )
    from pellucid.label_rows import COLUMNS, summary, suspicious_rows
    from pellucid.record import files
    from pellucid.record.run import find_run

    found = find_run(runs, run)
    listed = suspicious_rows(found, rows if rows is not None or out is not None else 20)
    made = [one.to_dict() for one in listed]
    if out is not None and out.suffix.lower() == ".json":
        files.write_json(out, made)
    elif out is not None:
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=[str(name) for name in COLUMNS], lineterminator="\n")
        writer.writeheader()
        writer.writerows(made)
        files.write(out, text.getvalue())
    if as_json:
        common.print_json({"run": found.id, "labels": found.facts.get("labels"), "rows": made})
        return
    console = common.console()
    console.print(summary(found), highlight=False)
    if out is not None:
        console.print(f"Wrote {out} ({len(made):,} rows)", highlight=False)
        return
    table = Table(box=None, pad_edge=False)
    for name in ("training row", "index"):
        table.add_column(name, justify="right")
    for name in ("labelled", "looks like"):
        table.add_column(name)
    table.add_column("margin", justify="right")
    table.add_column("", overflow="ellipsis", no_wrap=True)
    for one in listed:
        what = one.file or one.text
        index = "" if one.index is None else f"{one.index:,}"
        table.add_row(f"{one.row:,}", index, one.label, one.other, f"{one.margin:.2f}", what)
    console.print(table, markup=False)
