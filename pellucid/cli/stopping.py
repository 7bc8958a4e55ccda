"""What a command prints when Ctrl-C or SIGTERM stops its training: the run, and how to resume it."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console

from pellucid.cli import common
from pellucid.config_text import near
from pellucid.errors import INTERRUPTED, TERMINATED

if TYPE_CHECKING:
    from pellucid.record import Run


class Terminated(KeyboardInterrupt):
    """SIGTERM; handled as Ctrl-C is, but for the exit code."""


@contextmanager
def stoppable(name: str, console: Console, as_json: bool) -> Iterator[Callable[[Run], None]]:
    """Handle Ctrl-C and SIGTERM while a command trains; it then exits with 130 or 143.

    Args:
        name: the name of the run that the command trains; runs of other names are those of recipes that it
            needs. "" if it only trains these.
        console: where to print.
        as_json: whether to print JSON to standard output.

    Yields:
        A function to call with every run that has begun.
    """
    begun: list[Run] = []
    before = _on_sigterm()
    try:
        yield begun.append
    except KeyboardInterrupt as error:
        leave(begun[-1] if begun else None, name, console, as_json, terminated=isinstance(error, Terminated))
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _on_sigterm() -> signal.Handlers | Callable[..., object] | int | None:
    """Raise `Terminated` on SIGTERM; return the handler before, or None outside of the main thread."""

    def terminate(number: int, frame: object) -> NoReturn:
        raise Terminated

    try:
        return signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not the main thread, where signals cannot be handled
        return None


def leave(
    run: Run | None, name: str, console: Console, as_json: bool, *, terminated: bool = False
) -> NoReturn:
    """Print how to resume an interrupted run, and exit with the code of the signal.

    Args:
        run: the last run that has begun; None if none has.
        name: see `stoppable`.
        console: where to print.
        as_json: whether to print JSON to standard output.
        terminated: whether it was SIGTERM, where the run does not say so.
    """
    open_run = None if run is None or run.status == "finished" else run
    commands = [] if open_run is None else [resume_command(open_run)]
    if open_run is None:
        console.print("Stopped before training began.")
    else:
        saved = (open_run.path / "checkpoints" / "last").is_file() or "parts" in open_run.facts
        console.print(f"{'Saved' if saved else 'Stopped before the first checkpoint'}: {near(open_run.path)}")
        console.print(f"Resume with: {commands[0]}")
    if open_run is None or open_run.name != name:
        commands.append(shlex.join(["pellucid", *sys.argv[1:]]))
        console.print(f"Then repeat: {commands[-1]}" if open_run else f"Repeat with: {commands[-1]}")
    if as_json:
        found = {"run": None, "status": "interrupted", "metrics": {}}
        common.print_json((common.result(open_run) if open_run else found) | {"resume": commands})
    reason = open_run.facts.get("stop_reason", "") if open_run else ""
    sys.exit(TERMINATED if terminated or "SIGTERM" in reason else INTERRUPTED)


def resume_command(run: Run) -> str:
    """Return the command that resumes a run with the settings it was started with."""
    from pellucid import recipes

    if run.name in recipes.names():
        start = f"pellucid run {run.name}"
    else:
        start = f"pellucid train {shlex.quote(near(run.path / 'config.yaml'))}"
    return f"{start} --resume {common.located(run.id, run.path.parent)}"
