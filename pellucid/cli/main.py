"""The `pellucid` command: its commands, and errors as a message and an exit code."""

from __future__ import annotations

import sys

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


if __name__ == "__main__":
    main()
