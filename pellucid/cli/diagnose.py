"""`pellucid diagnose RUN`: what is wrong with a run, and what to try."""

from __future__ import annotations

from typing import Annotated

import typer

from pellucid.cli import common

Mute = Annotated[
    list[str] | None, typer.Option("--mute", help="Leave a finding out; may be repeated.", metavar="ID")
]


def diagnose(
    run: Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")] = "last",
    explain: Annotated[
        str | None,
        typer.Option("--explain", help="Print the page of a finding; needs no run.", metavar="ID"),
    ] = None,
    rules: Annotated[bool, typer.Option("--rules", help="List all findings there are.")] = False,
    mute: Mute = None,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Say what is wrong with a run: the most serious first, with the evidence and what to try."""
    if explain is not None:
        _explain(explain, as_json)
        return
    if rules:
        _list_rules(as_json)
        return
    from pellucid.record.run import find_run
    from pellucid.report.diagnosed import diagnosis_of
    from pellucid.report.diagnosis_text import show

    found = diagnosis_of(find_run(runs, run), mute or [])
    if as_json:
        common.print_json(found.to_dict())
        return
    console = common.console()
    show(found, console)
    if found.findings:
        console.print()
        console.print(f"More on one: pellucid diagnose --explain {found[0].id}", style="dim")


def _explain(id: str, as_json: bool) -> None:
    from pellucid.diagnosis.explained import page, plain
    from pellucid.report.diagnosis_text import WIDTH

    text = page(id)
    console = common.console()
    if as_json:
        common.print_json({"id": id, "page": text})
    else:
        console.print(plain(text, max(20, min(console.width, WIDTH))))


def _list_rules(as_json: bool) -> None:
    from pellucid.diagnosis.explained import title, where_found

    places = where_found()
    if as_json:
        common.print_json([{"id": id, "title": title(id), "found_in": places[id]} for id in places])
        return
    console = common.console()
    table = common.table("finding", "what it is")
    for id in places:
        table.add_row(id, title(id))
    console.print(table)
    console.print(f"\n{len(places)} findings; `pellucid diagnose --explain ID` says more.")
