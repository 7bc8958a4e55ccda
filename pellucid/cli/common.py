"""What the commands share: their flags, and how they print."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, overload

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pellucid.config_text import near
from pellucid.errors import UsageError
from pellucid.terminal import TextConsole

if TYPE_CHECKING:
    from pellucid.config import Config
    from pellucid.record import Run
    from pellucid.study import Study

Runs = Annotated[Path, typer.Option("--runs", help="Folder of runs.", metavar="DIR")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output, and nothing else.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of weights, batch order and augmentation.")]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Passes over the training data.")]
TaskName = Annotated[
    str | None,
    typer.Option(
        "--task",
        help="What to learn from data, such as generate, denoise, forecast; `pellucid inspect DATA` lists "
        "what it allows.",
        metavar="NAME",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        help="Time for the whole command; decides how long is trained, instead of epochs.",
        metavar="M",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Set any setting; may be repeated.", metavar="SECTION.KEY=VALUE"),
]
Resume = Annotated[
    str | None,
    typer.Option("--resume", help="Resume an earlier run: its id, its folder, or 'last'.", metavar="RUN"),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Start from the weights of a finished run or of a .safetensors file.",
        metavar="RUN|FILE",
    ),
]
AllowChanges = Annotated[
    bool,
    typer.Option("--allow-changes", help="Resume even if the data or the settings have changed."),
]
Fraction = Annotated[
    float | None,
    typer.Option(
        "--data-fraction", help="Use only this share of the data, e.g. 0.1, to try quickly.", metavar="F"
    ),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Skip rows and files that cannot be read; count and list them.")
]
RUNS = Path("runs")
FLAGS = {
    "data.fraction": "--data-fraction",
    "data.skip_bad": "--skip-bad",
    "data.target": "--target",
    "model.weights": "--from",
    "train.epochs": "--epochs",
    "train.minutes": "--minutes",
    "train.seed": "--seed",
}
"""The flags that set a setting, by its key."""


IS_COMMAND = False
"""Whether this process is the command line, rather than a program that calls it."""


def seconds_used() -> float:
    """Return the seconds since this command was started; 0 where a program calls it."""
    import time

    import psutil

    return max(time.time() - psutil.Process().create_time(), 0.0) if IS_COMMAND else 0.0


SOURCE_HELP = "A run, a recipe, a config.yaml or a data set."
RUN_HELP = "The run: its id, the start of its id, its folder, or 'last'."


def console(as_json: bool = False) -> Console:
    """Return the console for text: standard output, or standard error if standard output is for JSON.

    What is printed is text, never markup, since names and values come from users and their data.
    """
    return TextConsole(stderr=as_json, soft_wrap=True)


def threads(number: int) -> str:
    """Return "1 thread" or "n threads"."""
    return "1 thread" if number == 1 else f"{number} threads"


def located(run: str, runs: Path) -> str:
    """Return the id of a run as arguments of a command; with `--runs` where the folder is not the usual."""
    return shlex.quote(run) + in_folder(runs)


def trained_run(runs: Path, reference: str) -> Run:
    """Return the run to predict or measure with; say on standard error where "last" is not the newest."""
    from pellucid.record.trained_run import find_trained_run

    found, note = find_trained_run(runs, reference)
    if note:
        console(as_json=True).print(f"note: {note}")
    return found


def in_folder(runs: Path) -> str:
    """Return the option that names a folder of runs; "" for the usual one."""
    return "" if runs.resolve() == RUNS.resolve() else f" --runs {shlex.quote(near(runs))}"


def table(*columns: str) -> Table:
    """Return an empty table without borders; names of columns are bold."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(Text(column))
    return made


def print_json(value: Any) -> None:
    """Print a value as JSON to standard output; what JSON cannot hold is written as text."""
    ascii_only = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
    json.dump(value, sys.stdout, indent=2, ensure_ascii=ascii_only, default=str)
    sys.stdout.write("\n")


@overload
def patched(config: Config, flags: Mapping[str, Any], settings: list[str] | None) -> Config: ...
@overload
def patched(config: Study, flags: Mapping[str, Any], settings: list[str] | None) -> Study: ...
def patched(config: Config | Study, flags: Mapping[str, Any], settings: list[str] | None) -> Config | Study:
    """Apply flags to a config, or to every part of a study; `--set` overrides the other flags.

    Args:
        config: the config or study to change.
        flags: value of each flag by the setting it sets; None if it was not given.
        settings: the values of `--set`.
    """
    from pellucid.config_text import parse_override

    for key, value in flags.items():
        if value is not None:
            config = config.patch({key: value}, FLAGS[key])
    changes = dict(map(parse_override, settings or []))
    return config.patch(changes) if changes else config


TASK = "objective.name"
"""The setting that names the task."""


def wanted_task(task: str | None, settings: list[str] | None) -> str | None:
    """Return the task that `--task` or `--set objective.name=` names; None where neither does."""
    named = [value.strip() for key, _, value in _parts(settings) if key.strip() == TASK]
    return task or (named[-1] if named else None)


def without_task(settings: list[str] | None) -> list[str]:
    """Return the values of `--set` that do not name the task."""
    return ["".join(parts) for parts in _parts(settings) if parts[0].strip() != TASK]


def _parts(settings: list[str] | None) -> list[tuple[str, str, str]]:
    return [setting.partition("=") for setting in settings or []]


def result(run: Run) -> dict[str, Any]:
    """Return a run as `--json` prints it."""
    return {
        "run": str(run.path),
        "status": run.status,
        "metrics": run.metrics,
        "baselines": run.facts.get("baselines", {}),
        "seconds": run.facts["seconds"],
        "target": run.facts.get("target"),
        "target_met": run.facts.get("target_met"),
        **({"parts": run.facts["parts"]} if "parts" in run.facts else {}),
    }


def single(config: Config | Study) -> Config:
    """Return a config as it is; refuse a study where a single run is needed.

    Raises:
        UsageError: it is a study.
    """
    from pellucid.config import Config

    if isinstance(config, Config):
        return config
    raise UsageError(
        f"{config.name} is a study of {len(config.parts)} runs: expected the config of a single run.",
        remedy="use the config.yaml of one of its runs",
    )
