"""`pellucid diagnose RUN`: what is wrong with a run, and what to try."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pellucid.cli import common
from pellucid.errors import INTERRUPTED

if TYPE_CHECKING:
    from pellucid.diagnosis.verified import Verified
    from pellucid.record import Run
    from pellucid.report.diagnosed import Diagnosis

Mute = Annotated[
    list[str] | None, typer.Option("--mute", help="Leave a finding out; may be repeated.", metavar="ID")
]

Seeds = Annotated[
    int, typer.Option("--seeds", help="Training runs of each change that is compared.", min=3, metavar="N")
]
VerifyMinutes = Annotated[
    float | None,
    typer.Option("--minutes", help="About how long trying may take; trains fewer epochs.", metavar="M"),
]


def diagnose(
    run: Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")] = "last",
    explain: Annotated[
        str | None,
        typer.Option("--explain", help="Print the page of a finding; needs no run.", metavar="ID"),
    ] = None,
    rules: Annotated[bool, typer.Option("--rules", help="List all findings there are.")] = False,
    mute: Mute = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Try the remedies: train with each, compare over seeds.")
    ] = False,
    seeds: Seeds = 3,
    minutes: VerifyMinutes = None,
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

    opened = find_run(runs, run)
    if verify:
        again = f"diagnose {shlex.quote(opened.id)} --verify"
        try_remedies(opened, seeds, minutes, common.console(as_json), again, mute or [])
    found = diagnosis_of(opened, mute or [])
    if as_json:
        common.print_json(found.to_dict())
        return
    console = common.console()
    show(found, console)
    if found.findings:
        console.print()
        console.print(f"More on one: pellucid diagnose --explain {found[0].id}", style="dim")
        console.print(f"Next: {_next(found, opened)}", style="dim")


def try_remedies(
    run: Run,
    seeds: int,
    minutes: float | None,
    console: Console,
    command: str,
    mute: Sequence[str] = (),
) -> Verified:
    """Try the remedies of a run; on Ctrl-C print `command`, which resumes it, and exit with 130."""
    from pellucid.runner.trial import SEEDS, verify

    try:
        return verify(run, seeds=seeds, minutes=minutes, console=console, mute=mute)
    except KeyboardInterrupt:
        options = [f" --mute {id}" for id in mute]
        options += [f" --seeds {seeds}"] if seeds != SEEDS else []
        options += [f" --minutes {minutes:g}"] if minutes is not None else []
        again = f"pellucid {command}{''.join(options)}{common.in_folder(run.path.parent)}"
        console.print(f"Stopped; what was trained is kept. Resume with: {again}")
        raise typer.Exit(INTERRUPTED) from None


def _next(found: Diagnosis, run: Run) -> str:
    """The next command: to try, to fix, or to look closer."""
    place = common.located(run.id, run.path.parent)
    if found.verified is None:
        return f"pellucid diagnose {place} --verify"
    return f"pellucid fix {place}" if found.verified.best else f"pellucid look {place}"


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
