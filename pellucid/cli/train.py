"""`pellucid run RECIPE` and `pellucid train CONFIG|DATA`: train, show how it goes, say how it went."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pellucid.cli import common
from pellucid.errors import INTERRUPTED, TERMINATED, ResumeError

if TYPE_CHECKING:
    from pellucid.config import Config
    from pellucid.record import Run

COLUMNS = 4
GIVEN = {
    "language_model": '"The beginning of a text"',
    "masked_language_model": '"A text with a [MASK] in it"',
    "seq2seq": '"A text"',
    "span_denoising": '"A text with a [MASK] in it"',
    "adversarial": "16 --set folder=images",
    "reconstruction": "INPUT --set folder=images",
    "elbo": "INPUT --set folder=images",
}
"""What `predict` is to be given, where it is not an input like those learned from; "" if it takes none."""


def run(
    recipe: Annotated[str, typer.Argument(help="The name of a recipe; `pellucid recipes` lists them.")],
    seed: common.Seed = None,
    epochs: common.Epochs = None,
    settings: common.Set = None,
    runs: common.Runs = common.RUNS,
    resume: common.Resume = None,
    allow_changes: common.AllowChanges = False,
    data_fraction: common.Fraction = None,
    skip_bad: common.SkipBad = False,
    begin_from: common.From = None,
    as_json: common.Json = False,
) -> None:
    """Train a recipe: real data, a network, and the score it must reach."""
    from pellucid.recipes import find

    settings = [*([f"model.weights={begin_from}"] if begin_from else []), *(settings or [])]
    started = find(recipe) if resume is None else _started(recipe, runs, resume)
    config = common.patched(started, seed, epochs, settings, data_fraction, skip_bad)
    _train_judge(config, runs, as_json)
    _train(config, runs, resume, allow_changes, as_json)


def _train_judge(config: Config, runs: Path, as_json: bool) -> None:
    """Train the recipe that is to judge the images of this one, where it has not been trained yet."""
    from pellucid import build
    from pellucid.recipes import find, names

    if config.judge in names() and not build.finished_runs(config.judge, runs):
        console = common.console(as_json)
        console.print(f"{config.judge} judges what {config.name} makes, and is trained first.")
        build.train(find(config.judge), runs=runs, console=console)
        console.print()


def train(
    source: Annotated[str, typer.Argument(help="A config.yaml, or data: a file, a folder or a hub name.")],
    target: Annotated[str | None, typer.Option("--target", help="The column to predict.")] = None,
    seed: common.Seed = None,
    epochs: common.Epochs = None,
    settings: common.Set = None,
    runs: common.Runs = common.RUNS,
    resume: common.Resume = None,
    allow_changes: common.AllowChanges = False,
    data_fraction: common.Fraction = None,
    skip_bad: common.SkipBad = False,
    begin_from: common.From = None,
    as_json: common.Json = False,
) -> None:
    """Train on your own data, or from a config file."""
    given = {"data.target": target, "model.weights": begin_from}
    settings = [*(f"{key}={value}" for key, value in given.items() if value), *(settings or [])]
    settings += ["data.skip_bad=true"] if skip_bad else []
    config = common.patched(config_of(source, settings), seed, epochs, settings, data_fraction)
    _train(config, runs, resume, allow_changes, as_json)


def _started(recipe: str, runs: Path, resume: str) -> Config:
    """The config a run of this recipe was started with, so that its flags need not be repeated."""
    from pellucid.config import Config
    from pellucid.recipes import find
    from pellucid.record.run import find_run

    name = find(recipe).name
    run = find_run(runs, resume, name)
    if run.name != name:
        raise ResumeError(
            f"Run {run.id} is of {run.name!r}, not of the recipe {recipe!r}.", remedy="`pellucid runs ls`"
        )
    return Config.read(run.path / "config.yaml")


def config_of(source: str, settings: list[str]) -> Config:
    """Read a config file, or look at the data and suggest one."""
    from pellucid.config import Config

    if Path(source).suffix in (".yaml", ".yml"):
        return Config.read(source)
    from pellucid.data.inspect import suggest_config
    from pellucid.data.sources import open_data

    asked = common.patched(Config.parse({"data": {"source": source}}), None, None, settings, None)
    return suggest_config(open_data(asked.data), asked.data)


def _train(config: Config, runs: Path, resume: str | None, allow_changes: bool, as_json: bool) -> None:
    from pellucid import build

    console = common.console(as_json)
    again = build.Resume(resume, allow_changes) if resume else None
    finished = build.train(config, runs=runs, resume=again, console=console)
    if finished.status == "interrupted":
        console.print(f"Saved. Go on with: --resume {finished.id}")
    else:
        show(finished, console)
    if as_json:
        common.print_json(common.result(finished))
    if finished.status == "interrupted":
        sys.exit(TERMINATED if "SIGTERM" in finished.facts["stop_reason"] else INTERRUPTED)


def show(run: Run, console: Console) -> None:
    """Say how a run went: the number beside its comparisons, the finding, the report and what to do next."""
    from pellucid.record import measures

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in (shown := headline(run)):
        table.add_column(name, justify="right")
    for label, values in comparisons(run, shown).items():
        table.add_row(label, *(measures.written(name, values.get(name)) for name in shown))
    console.print()
    console.print(table)
    console.print()
    for finding in run.store.findings():
        console.print(f"{finding.seen} {finding.means}", markup=False)
        if finding.remedy:
            console.print(f"Try: {finding.remedy}", markup=False)
    target = run.facts.get("target")
    if target is not None:
        verdict = {True: "met", False: "missed", None: "does not apply to this data"}[
            run.facts.get("target_met")
        ]
        goal = measures.written(target["metric"], target["value"])
        console.print(f"Target {target['metric']} {goal}: {verdict}.")
    seconds = run.facts["seconds"]
    console.print(f"Trained in {seconds['training']:.1f} s, {seconds['total']:.1f} s in all.")
    console.print(f"Report: {run.path / 'report.html'}")
    given = GIVEN.get(run.facts.get("task", ""), "INPUT")
    if given:
        console.print(f"Next:   pellucid predict {run.path} {given}", style="dim", markup=False)


def headline(run: Run) -> list[str]:
    """The metrics that are shown first, by task; no more than fit beside each other."""
    from pellucid.record import measures

    target: str | None = (run.facts.get("target") or {}).get("metric")
    task = run.facts.get("task") or (run.facts.get("dataset") or {}).get("task") or ""
    found = measures.headline(task, run.metrics)
    first = [target] if target is not None and target in run.metrics else []
    return list(dict.fromkeys([*first, *found]))[:COLUMNS]


def comparisons(run: Run, shown: list[str]) -> dict[str, dict[str, Any]]:
    """The run beside every baseline that has one of the shown metrics, and beside what was published."""
    from pellucid.record import measures

    rows: dict[str, dict[str, Any]] = {"this run": run.metrics}
    for name, values in run.facts.get("baselines", {}).items():
        if any(key in values for key in shown):
            rows[measures.baseline(name)] = values
    published = run.facts.get("published")
    if published:
        rows["published"] = {published["metric"]: published["value"]}
    return rows
