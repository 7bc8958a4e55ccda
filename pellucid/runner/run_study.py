"""Train a study: its parts one after the other, each in its own run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from pellucid import report
from pellucid.config import Config, Goal, Published
from pellucid.config_text import near
from pellucid.data.dataset import Dataset
from pellucid.errors import PellucidError, ResumeError, UnknownNameError
from pellucid.record import Run, measures
from pellucid.record.run import FACTS, find_run, now
from pellucid.record.spec import find_spec
from pellucid.runner.budget import refuse_needed
from pellucid.runner.check import check_config
from pellucid.runner.components import direction
from pellucid.runner.load import load_needed
from pellucid.runner.resume import Resume, accept_changes, list_changes
from pellucid.runner.run_facts import reached
from pellucid.runner.setup import set_up
from pellucid.runner.training import outcome, train, train_needed
from pellucid.study import Study
from pellucid.train.budget import Budget


def train_study(
    study: Study,
    *,
    runs: str | Path = "runs",
    resume: Resume | None = None,
    console: Console | None = None,
    begun: Callable[[Run], None] | None = None,
    used: float = 0.0,
) -> Run:
    """Train every part of a study and return its run, whose metric is the mean over the parts.

    The study has its own folder, next to those of its parts. `run.json` records each part under "parts" and
    its label: `line` and `x`, its place in the chart; `run`, the id of its run, once it has started; and once
    it is finished, `value` of its metric, the best `epoch`, and the `seconds` of training.

    Args:
        study: the study.
        runs: the folder that holds run folders.
        resume: an earlier study to resume: its finished parts are kept, and the interrupted one is resumed.
        console: where to show progress; None to show nothing.
        begun: called with the run of the study, and before with each run of a needed recipe, once its folder
            exists.
        used: seconds of `train.minutes`, which all parts share, that have passed already.

    Raises:
        PellucidError: a part is invalid, in which case nothing has been written, or failed; names the part.
    """
    console = console or Console(quiet=True)
    configs, budget = _share_time(study, used)
    run = find_run(runs, resume.reference, study.name) if resume else None
    if run is not None:
        _check_resume(run, study, allow_changes=resume is not None and resume.allow_changes)
    facts = _facts(study, configs, run)
    for label, config in configs.items():
        with _named(study, label):
            check_config(config)
            refuse_needed(config, runs, starts=True)
    for label, config in configs.items():
        part = facts["parts"][label]
        if "value" not in part:
            with _named(study, label):
                stopped = train_needed(config, runs, console, starts="run" not in part, begun=begun)
                if stopped is not None:
                    return stopped
                set_up(config, runs, fresh="run" not in part)
                load_needed(config, runs)
    run = Run.create(runs, study.name, study.to_yaml(), **facts) if run is None else run
    if begun is not None:
        begun(run)
    with run.writing():
        if run.facts["status"] == "finished":
            console.print(f"Study {run.id} is already finished; nothing is left to train.")
            return run
        run.update(status="running", **facts)
        if shares := {config.data.fraction for config in configs.values()} - {1.0}:
            run.note(f"Only a share of the data is used: data.fraction is {', '.join(map(str, shares))}.")
        try:
            with outcome(run):
                _train_parts(run, study, configs, resume, console, budget)
        finally:
            report.write(run.path)
    return run


def _train_parts(
    run: Run,
    study: Study,
    configs: dict[str, Config],
    resume: Resume | None,
    console: Console,
    budget: Budget | None,
) -> None:
    console.print(Text.assemble((run.name, "bold"), f"  {near(run.path)}"))
    done = []
    for number, (label, config) in enumerate(configs.items(), 1):
        console.print(Text(f"\n{number} of {len(configs)}: {label}", "bold"))
        with _named(study, label):
            part = train_part(
                run, label, config, resume, console, used=_used(budget, config, configs, number)
            )
            if part.status == "interrupted":
                run.update(status="interrupted", stop_reason=part.facts["stop_reason"], ended=now())
                return
            if study.metric not in part.metrics:
                raise UnknownNameError("measure", study.metric, part.metrics)
        value = part.metrics[study.metric]
        epoch, seconds = part.facts["best"].get("epoch"), part.facts["seconds"]["training"]
        record_part(run, label, {"value": value, "epoch": epoch, "seconds": seconds})
        console.print(f"{study.metric} {measures.written(study.metric, value)}", highlight=False)
        report.write(run.path)
        done.append(part)
    _finish(run, study, done)


def _share_time(study: Study, used: float) -> tuple[dict[str, Config], Budget | None]:
    """Return the configs of all parts, which share the minutes of the study, and the whole time."""
    configs, minutes = study.configs(), study.base.train.minutes
    if minutes is None:
        return configs, None
    share = {"train.minutes": minutes / len(configs)}
    return {label: config.patch(share) for label, config in configs.items()}, Budget(minutes, used)


def _used(budget: Budget | None, config: Config, configs: dict[str, Config], number: int) -> float:
    """Return the seconds of a part's time that are gone, so that each has as much of what is left."""
    if budget is None or config.train.minutes is None:
        return 0.0
    left = (budget.seconds - budget.used) / (len(configs) - number + 1)
    return 60 * config.train.minutes - left


def train_part(
    run: Run,
    label: str,
    config: Config,
    resume: Resume | None,
    console: Console,
    *,
    used: float = 0.0,
    dataset: Dataset | None = None,
    begun: Callable[[Run], None] | None = None,
) -> Run:
    """Train a part of a study, or resume it if it was interrupted; return it as it is if it is finished.

    Args:
        run: of the study; its facts hold the part.
        label: of the part.
        config: of the part.
        resume: how to resume it; None: train it anew.
        console: where to show progress.
        used: seconds of its minutes that are gone.
        dataset: loaded data to use instead of `data.source`.
        begun: called with the run of the part once its folder exists.
    """
    earlier = _started_before(run, label)
    if earlier is not None and earlier.status == "finished":
        console.print(f"Run {earlier.id} is already finished.", highlight=False)
        return earlier
    again = replace(resume, reference=str(earlier.path)) if resume and earlier is not None else None

    def started(part: Run) -> None:
        record_part(run, label, {"run": part.id})
        if begun is not None:
            begun(part)

    return train(
        config,
        runs=run.path.parent,
        resume=again,
        console=console,
        begun=started,
        used=used,
        dataset=dataset,
    )


def _started_before(run: Run, label: str) -> Run | None:
    """Return the run of a part if it was started and still exists."""
    known = run.facts["parts"][label].get("run")
    path = run.path.parent / str(known)
    return Run(path) if known and (path / FACTS).is_file() else None


def record_part(run: Run, label: str, facts: dict[str, Any]) -> None:
    """Record facts of a part in the facts of its study."""
    parts = run.facts["parts"]
    run.update(parts={**parts, label: {**parts.get(label, {}), **facts}})


def _finish(run: Run, study: Study, parts: list[Run]) -> None:
    """Summarize the parts: mean, spread, whether the target is met, and the means of common baselines."""
    metric, mode = study.metric, direction(study.metric, parts[0].spec)
    values = {label: part["value"] for label, part in run.facts["parts"].items()}
    numbers = np.array(list(values.values()))
    metrics = {metric: float(numbers.mean())}
    if len(numbers) > 1:
        metrics[f"{metric}_std"] = float(numbers.std(ddof=1))
        metrics |= {f"{metric}_min": float(numbers.min()), f"{metric}_max": float(numbers.max())}
    best = (min if mode == "min" else max)(values, key=lambda label: values[label])
    target, published = study.target, study.published
    applicable = published is not None and _applies(published, parts)
    run.update(
        status="finished",
        ended=now(),
        stop_reason=f"all {len(parts)} runs are done",
        metrics=metrics,
        best={"metric": metric, "mode": mode, "part": best, "value": values[best]},
        baselines=_baselines(parts, metric),
        published=published.model_dump() if published is not None and applicable else None,
        target_met=(
            reached(target, metrics, parts[0].spec)
            if target is not None and _applies(target, parts)
            else None
        ),
        seconds={key: sum(part.facts["seconds"][key] for part in parts) for key in ("training", "total")},
    )


def _baselines(parts: list[Run], metric: str) -> dict[str, dict[str, float]]:
    """Return the mean of every baseline that was measured in all parts."""
    found = {}
    for name in parts[0].facts["baselines"]:
        values = [part.facts["baselines"].get(name, {}).get(metric) for part in parts]
        if None not in values:
            found[name] = {metric: float(np.mean(values))}
    return found


def _applies(score: Goal | Published, parts: list[Run]) -> bool:
    """Return whether a score applies to the data of all parts."""
    return all(score.on in (None, part.facts["dataset"]["source"]["name"]) for part in parts)


def _facts(study: Study, configs: dict[str, Config], run: Run | None) -> dict[str, Any]:
    """Return what is known before the first step, and for a resumed study the results of its parts so far."""
    spec = find_spec(study.base.objective.name)
    known = run.facts["parts"] if run is not None else {}
    seeds = {config.train.seed for config in configs.values()}
    return {
        "summary": study.summary,
        "task": spec.name,
        "spec": spec.to_dict(),
        **({"seed": seeds.pop()} if len(seeds) == 1 else {}),
        "study": {"metric": study.metric, "along": study.along, "lines": study.lines},
        "parts": {
            label: {**asdict(place), **known.get(label, {})} for label, place in study.places().items()
        },
        "target": study.target.model_dump() if study.target else None,
    }


def _check_resume(run: Run, study: Study, *, allow_changes: bool) -> None:
    """Refuse to resume a study that has changed.

    Raises:
        ResumeError: lists the changes, or the run is not a study.
    """
    if "parts" not in run.facts:
        raise ResumeError(f"Run {run.id} is not a study.", remedy="`pellucid runs ls`")
    accept_changes(
        run,
        study,
        list_changes(Study.read(run.path / "config.yaml"), study),
        allow_changes=allow_changes,
        kind="Study",
        note="Resumed with changes that do not apply to finished parts",
    )


@contextmanager
def _named(study: Study, label: str) -> Iterator[None]:
    """Add the name of the part to the message of an error."""
    try:
        yield
    except PellucidError as error:
        error.message = f"{study.name}, part {label!r}: {error.message}"
        raise
