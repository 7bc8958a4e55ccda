"""`pellucid runs ls|show|compare|rm|restore|query`: what was trained, and what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from pellucid.cli import common

if TYPE_CHECKING:
    from pellucid.record import Run

app = typer.Typer(help="List, show, compare, remove and query runs.", no_args_is_help=True)
Reference = Annotated[
    str, typer.Argument(help="A run: its id, the start of it, its folder, or 'last'.", metavar="RUN")
]


@app.command()
def ls(runs: common.Runs = common.RUNS, as_json: common.Json = False) -> None:
    """List all runs, oldest first."""
    from pellucid.record.run import list_runs

    found = list_runs(runs)
    if as_json:
        common.print_json([common.result(run) for run in found])
        return
    if not found:
        common.console().print(f"There is no run in {runs} yet. Start one: pellucid run digits")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("run", "status", "seed", "best", "seconds"):
        table.add_column(column)
    for run in found:
        seconds = run.facts["seconds"].get("training")
        table.add_row(
            run.id,
            run.status,
            str(run.facts.get("seed", "")),
            _best(run),
            f"{seconds:.1f}" if seconds else "",
        )
    common.console().print(table)


@app.command()
def show(run: Reference = "last", runs: common.Runs = common.RUNS, as_json: common.Json = False) -> None:
    """Show one run: its facts and its result."""
    from pellucid.cli.train import show as show_result
    from pellucid.record.run import find_run

    found = find_run(runs, run)
    if as_json:
        common.print_json(found.facts)
        return
    console = common.console()
    console.print(f"{found.id}: {found.status}", markup=False)
    if "parts" not in found.facts:
        dataset, model = found.facts["dataset"], found.facts["model"]
        console.print(f"data    {dataset['source']['name']} ({dataset['source']['kind']})", markup=False)
        console.print(f"model   {model['name']}, {model['parameters']:,} parameters", markup=False)
    for choice in found.facts["choices"]:
        console.print(f"{choice['what']:<7} {choice['value']}: {choice['reason']}", markup=False)
    if found.metrics:
        show_result(found, console)
    elif found.facts.get("stop_reason"):
        console.print(found.facts["stop_reason"], markup=False)


@app.command()
def compare(
    first: Reference,
    second: Annotated[str, typer.Argument(help="The run beside it.", metavar="RUN")],
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Set two runs side by side: what differs in settings, and in result."""
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
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", pair[0].id, pair[1].id):
        table.add_column(column)
    for key, values in {**settings, **metrics}.items():
        table.add_row(key, *(f"{value:.6g}" if isinstance(value, float) else str(value) for value in values))
    common.console().print(table)


@app.command()
def rm(run: Reference, runs: common.Runs = common.RUNS) -> None:
    """Move a run to the trash; `restore` brings it back."""
    from pellucid.record.run import find_run, trash

    found = find_run(runs, run)
    trash(found)
    common.console().print(f"Moved {found.id} to the trash. Bring it back: pellucid runs restore {found.id}")


@app.command()
def restore(
    run: Annotated[str, typer.Argument(help="The id of a run in the trash.")], runs: common.Runs = common.RUNS
) -> None:
    """Bring a run back from the trash."""
    from pellucid.record.run import restore as bring_back

    common.console().print(f"Restored {bring_back(runs, run).path}")


@app.command()
def query(
    run: Reference,
    sql: Annotated[str, typer.Argument(help="One SELECT over metrics, events, findings, traces.")],
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Ask a run's database: pellucid runs query last "SELECT * FROM metrics"."""
    from pellucid.record.run import find_run

    columns, rows = find_run(runs, run).store.query(sql)
    if as_json:
        common.print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(str(value) for value in row))
    common.console().print(table)


def _best(run: Run) -> str:
    best: dict[str, Any] = run.facts.get("best", {})
    name = best.get("metric", "").replace("val/", "test/")
    name = name if name in run.metrics else best.get("metric", "")
    return f"{name} {run.metrics[name]:.4f}" if name in run.metrics else ""
