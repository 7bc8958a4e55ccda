"""`pellucid runs ls|show|compare|rm|restore|query`: the runs of a folder."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.cli import common
from pellucid.errors import UsageError
from pellucid.terminal import visible

if TYPE_CHECKING:
    from rich.console import Console

    from pellucid.record import Run

app = typer.Typer(
    help="List, show, compare, remove and query runs.", no_args_is_help=True, rich_markup_mode=None
)
Reference = Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")]


@app.command()
def ls(runs: common.Runs = common.RUNS, as_json: common.Json = False) -> None:
    """List all runs, oldest first."""
    from pellucid.record.run import list_runs

    damaged: list[str] = []
    found = list_runs(runs, damaged)
    for problem in damaged:
        print(visible(f"left out: {problem}"), file=sys.stderr)
    if as_json:
        common.print_json([common.result(run) for run in found])
        return
    if not found:
        common.console().print(f"There is no run in {runs} yet. Start one with: pellucid run digits")
        return
    table = common.table("run", "status", "seed", "result", "training")
    for run in found:
        seconds = run.facts["seconds"].get("training")
        trained = f"{seconds:.1f} s" if seconds else ""
        table.add_row(run.id, run.status, str(run.facts.get("seed", "")), _best(run), trained)
    common.console().print(table)


@app.command()
def show(run: Reference = "last", runs: common.Runs = common.RUNS, as_json: common.Json = False) -> None:
    """Show the data, the model, the choices and the result of a run."""
    from pellucid.cli.train import show as show_result
    from pellucid.record.run import find_run

    found = find_run(runs, run)
    if as_json:
        common.print_json(found.facts)
        return
    console = common.console()
    console.print(f"{found.id}: {found.status}")
    _show_facts(found, console)
    if found.metrics:
        show_result(found, console)
    elif found.facts.get("stop_reason"):
        console.print(f"Stopped: {found.facts['stop_reason']}")


@app.command()
def compare(
    first: Reference,
    second: Annotated[str, typer.Argument(help="The run to compare it with.", metavar="RUN")],
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Compare two runs: the settings that differ, and the results."""
    from pellucid.record.run import find_run
    from pellucid.study import read

    pair = [find_run(runs, first), find_run(runs, second)]
    mine, theirs = (read(run.path / "config.yaml") for run in pair)
    settings = {key: [here, there] for key, here, there in mine.differences(theirs)}
    names = dict.fromkeys([*pair[0].metrics, *pair[1].metrics])
    metrics = {name: [run.metrics.get(name) for run in pair] for name in names}
    if as_json:
        common.print_json({"runs": [run.id for run in pair], "settings": settings, "metrics": metrics})
        return
    table = common.table("", pair[0].id, pair[1].id)
    for key, values in {**settings, **metrics}.items():
        table.add_row(key, *(f"{value:.6g}" if isinstance(value, float) else str(value) for value in values))
    common.console().print(table)


@app.command()
def rm(
    run: Reference,
    prefix: Annotated[bool, typer.Option("--prefix", help="RUN is the start of an id.")] = False,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Move a run to the trash, from where `restore` brings it back."""
    from pellucid.record.run import find_run, trash

    found = find_run(runs, run)
    if found.id.startswith(run) and found.id != run and not prefix:
        raise UsageError(
            f"{run!r} is only the start of {found.id}.",
            remedy=f"the whole id, or: pellucid runs rm --prefix {shlex.quote(run)}",
        )
    place = trash(found)
    if as_json:
        common.print_json({"run": found.id, "trash": str(place)})
        return
    common.console().print(
        f"Moved {found.id} to the trash. Restore it with: "
        f"pellucid runs restore {common.located(place.name, place.parent.parent)}"
    )


@app.command()
def restore(
    run: Annotated[str, typer.Argument(help="The id of a run in the trash.", metavar="RUN")],
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Restore a run from the trash."""
    from pellucid.record.run import restore as from_trash

    path = from_trash(runs, run).path
    if as_json:
        common.print_json({"run": str(path)})
        return
    common.console().print(f"Restored {path}")


@app.command()
def query(
    run: Reference,
    sql: Annotated[
        str, typer.Argument(help="A SELECT over metrics, events, findings, spans, artifacts.", metavar="SQL")
    ],
    limit: Annotated[int, typer.Option(min=1, help="Largest number of rows.", metavar="N")] = 10_000,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Query the database of a run with SQL.

    For example: pellucid runs query last "SELECT * FROM metrics"
    """
    from pellucid.record.run import find_run

    columns, rows = find_run(runs, run).store.query(sql, limit + 1)
    if len(rows) > limit:
        print(f"Only the first {limit:,} rows; --limit {10 * limit} prints more.", file=sys.stderr)
        rows = rows[:limit]
    if as_json:
        common.print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    table = common.table(*columns)
    for row in rows:
        table.add_row(*(str(value) for value in row))
    common.console().print(table)


def _show_facts(run: Run, console: Console) -> None:
    """Print what was trained on what, and what was decided automatically."""
    facts = run.facts
    parts: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
        ("dataset", lambda data: f"data    {data['source']['name']} ({data['source']['kind']})"),
        ("model", lambda model: f"model   {model['name']}, {model['parameters']:,} parameters"),
    )
    for name, text in parts:
        if name in facts:
            console.print(text(facts[name]))
    for choice in facts["choices"]:
        what = "execution" if choice["what"] == "path" else choice["what"]  # as version 0.1 called it
        console.print(f"{what:<7} {choice['value']}: {choice['reason']}")
    for note in facts["notes"]:
        console.print(f"note    {note}")


def _best(run: Run) -> str:
    best: dict[str, Any] = run.facts.get("best", {})
    name = best.get("metric", "").replace("val/", "test/")
    name = name if name in run.metrics else best.get("metric", "")
    return f"{name} {run.metrics[name]:.4f}" if name in run.metrics else ""
