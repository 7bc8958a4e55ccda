"""What the verbs share: their flags, and how they print."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, overload

import typer
from rich.console import Console

from pellucid.errors import UsageError

if TYPE_CHECKING:
    from pellucid.config import Config
    from pellucid.record import Run
    from pellucid.study import Study

Runs = Annotated[Path, typer.Option("--runs", help="The folder that holds run folders.", metavar="DIR")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of weights, order and augmentation.")]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Passes over the training data.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change any setting; may be repeated.", metavar="SECTION.KEY=VALUE"),
]
Resume = Annotated[
    str | None,
    typer.Option("--resume", help="Go on with an earlier run: its id, folder, or 'last'.", metavar="RUN"),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from", help="Start from the weights of a finished run, or a .safetensors file.", metavar="RUN"
    ),
]
AllowChanges = Annotated[
    bool,
    typer.Option("--allow-changes", help="Resume although data or settings differ from what was started."),
]
Fraction = Annotated[
    float | None,
    typer.Option("--data-fraction", help="Use this share of the data, for a quick look.", metavar="F"),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out what cannot be read; count and list it.")
]
RUNS = Path("runs")


def console(as_json: bool = False) -> Console:
    """Where a verb talks to the person: standard output, or standard error when that is kept for JSON."""
    return Console(stderr=as_json, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


@overload
def patched(config: Config, flags: Mapping[str, Any], settings: list[str] | None) -> Config: ...
@overload
def patched(config: Study, flags: Mapping[str, Any], settings: list[str] | None) -> Study: ...
def patched(config: Config | Study, flags: Mapping[str, Any], settings: list[str] | None) -> Config | Study:
    """Apply flags to a config, or to every part of a study; `--set` has the last word.

    Args:
        config: where to begin.
        flags: the value of each by the setting it stands for, as it was typed; None: not given.
        settings: what was given to `--set`.
    """
    from pellucid.config import parse_override

    changes = {key: value for key, value in flags.items() if value is not None}
    changes |= dict(map(parse_override, settings or []))
    return config.patch(changes) if changes else config


def result(run: Run) -> dict[str, Any]:
    """What `--json` says of a run."""
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
    """Return what is one config; refuse a study where one run is meant.

    Raises:
        UsageError: it is a study.
    """
    from pellucid.config import Config

    if isinstance(config, Config):
        return config
    raise UsageError(
        f"{config.name} is a study of {len(config.parts)} runs: expected the config of one.",
        remedy="the config.yaml of one of its runs",
    )
