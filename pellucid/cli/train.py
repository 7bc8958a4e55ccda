"""`pellucid run RECIPE` and `pellucid train CONFIG|DATA`: train, show the progress and the result."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from pellucid.cli import common
from pellucid.cli.other_data import for_other_data
from pellucid.cli.stopping import leave, stoppable
from pellucid.config_text import near
from pellucid.errors import ResumeError, UsageError

if TYPE_CHECKING:
    from pellucid.config import Config
    from pellucid.data.dataset import Dataset
    from pellucid.data.offers import Choice, Proposal
    from pellucid.record import Run
    from pellucid.study import Study

COLUMNS = 4
"""Measures that fit into the table of results."""


def run(
    recipe: Annotated[str, typer.Argument(help="A recipe; `pellucid recipes` lists them.", metavar="RECIPE")],
    seed: common.Seed = None,
    epochs: common.Epochs = None,
    minutes: common.Minutes = None,
    settings: common.Set = None,
    runs: common.Runs = common.RUNS,
    resume: common.Resume = None,
    allow_changes: common.AllowChanges = False,
    data_fraction: common.Fraction = None,
    skip_bad: common.SkipBad = False,
    begin_from: common.From = None,
    as_json: common.Json = False,
) -> None:
    """Train a recipe.

    A recipe is a data set, a network, settings and the score to reach. Recipes that it needs are trained
    first.
    """
    from pellucid.recipes import find

    flags = {
        "train.seed": seed,
        "train.epochs": epochs,
        "train.minutes": minutes,
        "data.fraction": data_fraction,
        "data.skip_bad": skip_bad or None,
        "model.weights": begin_from,
    }
    started = find(recipe) if resume is None else _started(recipe, runs, resume)
    config, note = for_other_data(started, common.patched(started, flags, settings), settings)
    train_and_show(config, runs, resume, allow_changes, as_json, note=note)


def train(
    source: Annotated[
        str, typer.Argument(help="A config.yaml, or data: a file, a folder or a hub name.", metavar="SOURCE")
    ],
    target: Annotated[str | None, typer.Option("--target", help="The column to predict.")] = None,
    task: common.TaskName = None,
    seed: common.Seed = None,
    epochs: common.Epochs = None,
    minutes: common.Minutes = None,
    settings: common.Set = None,
    runs: common.Runs = common.RUNS,
    resume: common.Resume = None,
    allow_changes: common.AllowChanges = False,
    data_fraction: common.Fraction = None,
    skip_bad: common.SkipBad = False,
    begin_from: common.From = None,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds", help="Cross-validate: train once for each of N test folds.", metavar="N", min=2
        ),
    ] = None,
    as_json: common.Json = False,
) -> None:
    """Train on your own data or from a config file."""
    about_data = {"data.target": target, "data.skip_bad": skip_bad or None}
    flags = {
        **about_data,
        "train.seed": seed,
        "train.epochs": epochs,
        "train.minutes": minutes,
        "data.fraction": data_fraction,
        "model.weights": begin_from,
    }
    config, dataset, reasons, offers, choices = config_of(
        source,
        {**about_data, "train.minutes": minutes},
        settings,
        task,
        sized=begin_from is None and resume is None,
    )
    if resume is not None and offers:
        config = sized_as_before(common.single(config), resume, runs)
    if offers and begin_from is not None:
        from pellucid.runner.load import like_start

        config = like_start(common.single(config), begin_from, runs)
    config = common.patched(config, flags, common.without_task(settings) if offers else settings)
    if offers:
        _say_offers(source, offers, reasons, common.console(as_json))
    if folds is not None:
        config, dataset = in_folds(common.single(config), folds), None
    train_and_show(config, runs, resume, allow_changes, as_json, dataset, choices=choices)


def sized_as_before(config: Config, resume: str, runs: Path) -> Config:
    """Give a suggested config the sizes that were chosen for the time of the run that is resumed."""
    from pellucid.data.model_size import CHOSEN
    from pellucid.record.run import find_run

    run = find_run(runs, resume, config.name)
    chosen = {choice["what"]: choice["value"] for choice in run.facts["choices"]}
    return config.patch({key: chosen[what] for what, key in CHOSEN.items() if what in chosen})


def _say_offers(
    source: str, offers: tuple[Proposal, ...], reasons: tuple[str, ...], console: Console
) -> None:
    """Say what is learned from data and why in this way, and what else could be."""
    chosen, *others = offers
    console.print(f"Learns {chosen.learns} (--task {chosen.name})")
    for reason in reasons:
        console.print(f"- {reason}", style="dim")
    if others:
        names = ", ".join(dict.fromkeys(other.name for other in others))
        console.print(
            f"Also possible: --task {names}; `pellucid inspect {shlex.quote(source)}` says what each learns",
            style="dim",
        )
    console.print()


def in_folds(config: Config, folds: int) -> Study:
    """Return a study that trains a config once for each fold as the test split.

    Raises:
        UsageError: the rows are a time series, of which no fold can be left out.
    """
    from pellucid.record.spec import find_spec
    from pellucid.study import Study
    from pellucid.tasks import get_task

    task = get_task(config.objective.name)
    if task.ordered:
        raise UsageError(
            f"--folds: {task.name} splits its rows by time, so there are no folds.",
            remedy="several runs with other data.validation and data.test",
        )
    parts = {
        f"fold {number}": {"data.split.folds": folds, "data.split.fold": number}
        for number in range(1, folds + 1)
    }
    return Study.model_validate(
        {
            "name": f"{config.name}-{folds}-folds",
            "summary": f"{folds}-fold cross-validation: {config.summary or config.name}",
            "base": config,
            "parts": parts,
            "metric": f"test/{find_spec(config.objective.name).headline[0]}",
        }
    )


def _started(recipe: str, runs: Path, resume: str) -> Config | Study:
    """Return the settings that a run of this recipe started with, so that flags need not be repeated."""
    from pellucid.recipes import find
    from pellucid.record.run import find_run
    from pellucid.study import read

    name = find(recipe).name
    run = find_run(runs, resume, name)
    if run.name != name:
        raise ResumeError(
            f"Run {run.id} is a run of {run.name!r}, not of the recipe {recipe!r}.",
            remedy="`pellucid runs ls`",
        )
    return read(run.path / "config.yaml")


def named_config(source: str, runs: Path, settings: list[str] | None) -> Config:
    """Return the config of a run, a recipe, a config file or a data set.

    Raises:
        UsageError: it is a study of several runs.
    """
    from pellucid.recipes import find, names
    from pellucid.record.run import find_run
    from pellucid.study import read

    if source in names():
        return common.single(find(source))
    if _is_run(source, runs):
        return common.single(read(find_run(runs, source).path / "config.yaml"))
    return common.single(config_of(source, {}, settings).config)


def _is_run(source: str, runs: Path) -> bool:
    """Return whether a name is that of a run: its folder, its id, the start of its id, or "last"."""
    from pellucid.record.run import FACTS, list_runs

    if Path(source).exists():
        return (Path(source) / FACTS).is_file()
    return source == "last" or any(run.id.startswith(source) for run in list_runs(runs))


class Opened(NamedTuple):
    """A config, with the data if it was opened to suggest it, and the reasons for what was suggested."""

    config: Config | Study
    dataset: Dataset | None = None
    reasons: tuple[str, ...] = ()
    offers: tuple[Proposal, ...] = ()
    choices: tuple[Choice, ...] = ()


def config_of(
    source: str,
    flags: Mapping[str, Any],
    settings: list[str] | None,
    task: str | None = None,
    *,
    sized: bool = True,
) -> Opened:
    """Read a config file, or suggest a config for data.

    Args:
        source: a config file, or data.
        flags: what flags say about the data.
        settings: the values of `--set`.
        task: what to learn from data; None: the likeliest.
        sized: whether the size of the model follows from `train.minutes`, unless settings name it.

    Raises:
        UsageError: a task is named for a config file.
    """
    from pellucid.config import Config
    from pellucid.study import read

    if Path(source).suffix in (".yaml", ".yml"):
        if task is not None:
            raise UsageError(
                f"--task {task} says what to learn from data, but {source} is a config, which has a task.",
                remedy="--task with the data instead of the config",
            )
        return Opened(read(source))
    from pellucid.data import offers
    from pellucid.data.contents import look
    from pellucid.record.spec import find_spec

    asked = common.patched(Config.parse({"data": {"source": source}}), flags, common.without_task(settings))
    contents = look(asked.data)
    proposed = offers.proposals(contents)
    chosen = offers.choose(contents, common.wanted_task(task, settings), proposed)
    free = sized and not any(setting.strip().startswith("model.") for setting in settings or [])
    suggested = chosen.suggest(asked.train.minutes if free else None)
    dataset = contents.read(suggested.config.data, find_spec(chosen.task))
    others = tuple(found for found in proposed if found.name != chosen.name)
    return Opened(suggested.config, dataset, suggested.reasons, (chosen, *others), suggested.choices)


def train_and_show(
    config: Config | Study,
    runs: Path,
    resume: str | None,
    allow_changes: bool,
    as_json: bool,
    dataset: Dataset | None = None,
    note: str | None = None,
    choices: Sequence[Choice] = (),
) -> None:
    """Train; the note and the choices are recorded with the run."""
    from pellucid import runner
    from pellucid.config import Config

    console = common.console(as_json)
    again = runner.Resume(resume, allow_changes) if resume else None
    if note:
        console.print(note)
    with stoppable(config.name, console, as_json) as stop_at:

        def begun(run: Run) -> None:
            stop_at(run)
            if note and run.name == config.name:
                run.note(note)
            if isinstance(config, Config) and run.name == config.name and not resume:
                for choice in choices:
                    run.choose(*choice)

        if isinstance(config, Config):
            usable = _usable(dataset, config)
            finished = runner.train(
                config,
                runs=runs,
                resume=again,
                dataset=usable,
                console=console,
                begun=begun,
                used=common.seconds_used(),
            )
        else:
            finished = runner.train_study(
                config, runs=runs, resume=again, console=console, begun=begun, used=common.seconds_used()
            )
    if finished.status == "interrupted":
        leave(finished, config.name, console, as_json)
    show(finished, console)
    if as_json:
        common.print_json(common.result(finished))


def _usable(dataset: Dataset | None, config: Config) -> Dataset | None:
    """Return data that was opened to suggest a config, if the final config would open the same."""
    if dataset is None:
        return None
    from pellucid.data.sources.open_source import has_rows_of
    from pellucid.tasks import get_task

    task = get_task(config.objective.name)
    same = has_rows_of(dataset, config.data, labelled=task.labelled) and not task.ordered
    return dataset if same else None


def show(run: Run, console: Console) -> None:
    """Print the result of a run next to its baselines, the findings, the report and the next command."""
    from pellucid.diagnosis import findings
    from pellucid.record import measures
    from pellucid.report import words

    table = common.table("")
    parts = run.facts.get("parts")
    for name in (shown := run.headline[: COLUMNS if parts is None else 1]):
        table.add_column(name, justify="right")
    for label, values in comparisons(run, shown).items():
        table.add_row(label, *(measures.written(name, values.get(name), run.spec) for name in shown))
    console.print()
    console.print(table)
    if parts is not None:
        metric = run.facts["study"]["metric"]
        if (std := run.metrics.get(f"{metric}_std")) is not None:
            console.print(f"{metric}: standard deviation {std:.4g} over {len(parts)} runs")
        console.print()
        console.print(_parts(run))
    console.print()
    for finding in findings(run):
        console.print(f"{finding.seen} {finding.means} [{finding.id}]")
        if finding.remedy:
            changes = [] if "--set" in finding.remedy else starmap(words.setting, finding.patch.items())
            console.print("Try: " + ", ".join([finding.remedy, *changes]))
    target = run.facts.get("target")
    if target is not None:
        goal = measures.written(target["metric"], target["value"], run.spec)
        console.print(f"Target {target['metric']} {goal}: {run.verdict}.")
    seconds = run.facts["seconds"]
    console.print(f"Trained in {seconds['training']:.1f} s, {seconds['total']:.1f} s in total.")
    console.print(f"Report: {near(run.path / 'report.html')}")
    console.print(f"Next:   {_next(run)}", style="dim")


def _next(run: Run) -> str:
    """The next command; in Python where a module or batches of the user's own have to be passed again."""
    from pellucid.report.repeat import passed_in_python

    if "parts" in run.facts:
        return f"pellucid runs show {shlex.quote(near(_best_part(run)))}"
    passed = passed_in_python(run)
    own_batches = passed.get("data", "").startswith("batches")
    if "model" not in passed and not own_batches:
        return f"pellucid predict {shlex.quote(near(run.path))} {run.spec.predict_input}"
    model = ", model=your_model" if "model" in passed else ""
    return f"in Python, pellucid.Run({near(run.path)!r}).predict(your_inputs{model})"


def _parts(run: Run) -> Table:
    """Return the runs of a study with their measures, as a table."""
    from pellucid.record import measures

    metric = run.facts["study"]["metric"]
    table = common.table("part")
    table.add_column(metric, justify="right")
    table.add_column("run")
    for label, part in run.facts["parts"].items():
        table.add_row(label, measures.written(metric, part.get("value"), run.spec), part.get("run", ""))
    return table


def _best_part(run: Run) -> Path:
    return run.path.parent / run.facts["parts"][run.facts["best"]["part"]]["run"]


def comparisons(run: Run, shown: list[str]) -> dict[str, dict[str, Any]]:
    """Return measures by row: the run, every baseline that has one of the shown ones, the published score."""
    from pellucid.record import measures

    parts = run.facts.get("parts")
    rows: dict[str, dict[str, Any]] = {f"mean of {len(parts)} runs" if parts else "this run": run.metrics}
    for name, values in run.facts.get("baselines", {}).items():
        if any(key in values for key in shown):
            rows[measures.baseline(name, run.spec).label] = values
    published = run.facts.get("published")
    if published:
        rows["published"] = {published["metric"]: published["value"]}
    return rows
