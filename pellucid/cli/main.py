"""The `pellucid` command: its commands, and errors as a message and an exit code."""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
import tempfile
import traceback
from pathlib import Path

import typer

from pellucid import errors
from pellucid.cli import (
    common,
    diagnose,
    doctor,
    evaluate,
    explain,
    fix,
    inspect,
    labels,
    look,
    lr_find,
    predict,
    profile,
    recipes,
    replay,
    report,
    runs,
    train,
    vectors,
)
from pellucid.errors import INTERRUPTED, PellucidError, StorageError
from pellucid.terminal import silence, visible

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
app.command("diagnose")(diagnose.diagnose)
app.command("fix")(fix.fix)
app.command("look")(look.look)
app.command("explain")(explain.explain)
app.command("labels")(labels.labels)
app.command("replay")(replay.replay)
app.command("predict")(predict.predict)
app.command("embed")(vectors.embed)
app.command("neighbors")(vectors.neighbors)
app.command("report")(report.report)
app.add_typer(runs.app, name="runs")
app.command("doctor")(doctor.doctor)


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""What writing the output raises where its disk is full or broken."""


def main() -> None:
    """Run the command line and exit with its code."""
    common.IS_COMMAND = errors.SPEAKS_COMMANDS = True
    gc.set_threshold(50_000, 20, 20)  # loading torch makes many objects, and none of them is garbage
    _write_any_text()
    try:
        _run()
    except PellucidError as error:
        print(visible(f"{type(error).__name__}: {error}"), file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except MemoryError as error:
        words = str(error) or "an allocation failed"
        print(f"The memory is not sufficient: {words}.\nTry: --set train.batch_size=N", file=sys.stderr)
        sys.exit(PellucidError.exit_code)
    except BrokenPipeError:
        silence(sys.stdout)
        sys.exit(0)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            silence(sys.stdout)
            print(f"StorageError: The output cannot be written: {error.strerror}.", file=sys.stderr)
            sys.exit(StorageError.exit_code)
        print(visible(_fault(error)), file=sys.stderr)
        sys.exit(PellucidError.exit_code)
    finally:
        gc.freeze()  # else Python looks for garbage once more when it ends, which takes 0.3 s


def _write_any_text() -> None:
    """Write characters that the output cannot hold as escapes: a name that is not UTF-8, or é in ASCII.

    Python has no output where it is closed (`>&-`); it then leads nowhere.
    """
    sys.stdout, sys.stderr = (
        stream or open(os.devnull, "w")  # noqa: SIM115 (open until the process ends)
        for stream in (sys.stdout, sys.stderr)
    )
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _run() -> None:
    """Run the command, and write all of its output here, where errors are caught."""
    try:
        app()
    except SystemExit:
        sys.stdout.flush()
        raise


def _fault(error: Exception) -> str:
    """Write the traceback of an unforeseen error to a file, and say where it is and whose code raised it."""
    words = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    place = _own_code(error)
    words = f"Your code raised {words}{place}" if place else f"This is a fault of Pellucid: {words}"
    try:
        handle, name = tempfile.mkstemp(prefix="pellucid-", suffix=".txt", text=True)
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{sys.argv}\n\n")
            traceback.print_exception(error, file=file)
    except OSError:
        return words
    return f"{words}\nTry: {f'see {name}' if place else f'pellucid doctor; please report it with {name}'}"


def _own_code(error: Exception) -> str:
    """Return " (FILE, line N)" of the user's code that raised an error; "" if it was none of theirs."""
    frames = traceback.extract_tb(error.__traceback__)
    ours, last = str(Path(__file__).parents[1]), frames[-1].filename if frames else ""
    own = [
        frame for frame in frames if not frame.filename.startswith((ours, sys.prefix, sys.base_prefix, "<"))
    ]
    if not own or last.startswith(ours):
        return ""
    return f" ({own[-1].filename}, line {own[-1].lineno})"


if __name__ == "__main__":
    main()
