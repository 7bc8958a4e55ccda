"""The `pellucid` command: its commands, and errors as a message and an exit code."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback

import typer

from pellucid.cli import doctor, evaluate, inspect, lr_find, predict, profile, recipes, report, runs, train
from pellucid.errors import INTERRUPTED, PellucidError

app = typer.Typer(
    help="Train neural networks and see what they learned. Start with: pellucid run digits",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 success, 2 usage, 3 data, 4 model, 5 run, 6 training, 7 storage, 8 missing extra, "
    "130 Ctrl-C, 143 SIGTERM (training is saved first).",
)
app.command("recipes")(recipes.recipes)
app.command("run")(train.run)
app.command("train")(train.train)
app.command("inspect")(inspect.inspect)
app.command("lr-find")(lr_find.lr_find)
app.command("profile")(profile.profile)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("report")(report.report)
app.add_typer(runs.app, name="runs")
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        app()
    except PellucidError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _close_output()
    except Exception as error:
        print(_fault(error), file=sys.stderr)
        sys.exit(PellucidError.exit_code)


def _close_output() -> None:
    """End quietly where the reader of the output has ended, as with `| head`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


def _fault(error: Exception) -> str:
    """Write the traceback of an unforeseen error to a file, and say where it is."""
    words = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    try:
        handle, name = tempfile.mkstemp(prefix="pellucid-", suffix=".txt", text=True)
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{sys.argv}\n\n")
            traceback.print_exception(error, file=file)
    except OSError:
        return f"This is a fault of Pellucid: {words}\nTry: pellucid doctor"
    return f"This is a fault of Pellucid: {words}\nTry: pellucid doctor; please report it with {name}"


if __name__ == "__main__":
    main()
