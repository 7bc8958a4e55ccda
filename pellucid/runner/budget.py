"""Training in a given time: what validation and the end of the run take, and as many rows as fit.

The evaluation at the end is rehearsed on a few rows before training, so that time is kept for it. Where it
or validation would take too much of the budget, fewer rows are measured, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pellucid.config import Config
from pellucid.config_text import is_reference
from pellucid.data.batches import Batches
from pellucid.data.text.token_rows import StreamRows
from pellucid.errors import PellucidError, UsageError
from pellucid.evaluation import Outcome, Trained, own_metrics
from pellucid.record import Run
from pellucid.runner.model_builder import reads_tokens
from pellucid.runner.needs import needed_recipes
from pellucid.runner.supplied import Supplied
from pellucid.tasks.custom.loader_data import LoaderData
from pellucid.tasks.prepared import EVALUATED, TRAIN_SAMPLE_ROWS, Prepared
from pellucid.tasks.task import Task
from pellucid.train.budget import Budget, TimePlanner
from pellucid.train.seed import borrowed_generators
from pellucid.train.trainer import Trainer

REHEARSED = (16, 64, 256, 1024, 4096)
"""Rows that the evaluation is rehearsed on, one after the other, while there is time."""
REHEARSAL = 0.02
"""Share of the budget after which the evaluation is not rehearsed on more rows."""
EVALUATION = 0.4
"""Most of the time that is left before training to evaluate at the end."""
VALIDATION = 0.04
"""Most of the budget for one validation."""
FEWEST = 32
"""Rows that are measured at least."""
MORE = 4
"""Times as many minutes are advised where not even an epoch was trained."""
REPORT = 1.0
"""Seconds for the findings, the report and the end of the process."""


def planned(config: Config) -> Config:
    """Return a config that trains until a planner stops it."""
    return config.patch({"train.epochs": 10**9, "train.max_steps": None, "train.early_stopping": None})


def notes_on(config: Config) -> list[str]:
    """Say which settings the minutes replace."""
    train = config.train
    if train.minutes is None:
        return []
    unused = [f"train.epochs = {train.epochs}"]
    unused += [f"train.max_steps = {train.max_steps}"] if train.max_steps is not None else []
    stopping = "; early stopping is off" if train.early_stopping is not None else ""
    best = "the best weights are kept" if train.restore_best else "the last weights are kept"
    return [
        f"train.minutes = {train.minutes:g} decides how long this run trains, not {' and '.join(unused)}"
        f"{stopping}; {best}."
    ]


def remember(budget: Budget, run: Run) -> None:
    """Count the seconds that a run used before, and save those to come with it.

    They are saved every few seconds, since a process may be killed before its first checkpoint.
    """

    def save(seconds: float) -> None:
        known = run.facts.get("budget") or {}
        run.update(budget={**known, "minutes": budget.minutes, "used_seconds": round(seconds, 2)})

    budget.add((run.facts.get("budget") or {}).get("used_seconds", 0.0))
    budget.save = save
    budget.keep()


def refuse_needed(config: Config, runs: Any, *, starts: bool) -> None:
    """Refuse minutes for a run that needs other runs, which would have to be trained first.

    Raises:
        UsageError: names the first of them.
    """
    if config.train.minutes is None:
        return
    for recipe, reason in needed_recipes(config, runs, starts=starts):
        raise UsageError(
            f"train.minutes = {config.train.minutes:g} is the time of one run, but "
            f"{reason.removesuffix(', so it is trained first.')}, and has no finished run in {runs}.",
            remedy=f"`pellucid run {recipe.name}` first, in its own time",
        )


def make_planner(config: Config, budget: Budget, batches: Any, steps: int, supplied: Supplied) -> TimePlanner:
    """Return the callback that plans the updates.

    Args:
        config: the whole config.
        budget: the time of the command.
        batches: the training batches.
        steps: updates that the schedule is made for.
        supplied: the objects that the caller passed in.
    """
    own = supplied.schedule is not None or is_reference(config.schedule.name)
    return TimePlanner(
        budget,
        batches,
        group=config.train.gradient_accumulation_steps,
        schedule_steps=steps,
        whole_steps=own,
    )


def look_ahead(
    planner: TimePlanner, task: Task, trainer: Trainer, prepared: Any
) -> tuple[dict[str, Iterable[Any]], Iterable[Any] | None]:
    """Find out what validation and the end of the run take, before the first update.

    Returns:
        What to measure during training, and the sample of training rows.
    """
    run = trainer.run
    assert run is not None
    evaluations, sample, seconds = validated(trainer, prepared, planner.budget, run)
    if planner.plan is None:
        planner.between = seconds
    trained = Trained(
        trainer.model,
        trainer.objective,
        prepared.preprocess,
        trainer.device,
        trainer.execution.name,
        task.name,
    )

    def measured() -> tuple[float, int | None]:
        ending = rehearse(task, trained, prepared, planner.budget)
        return ending.seconds, ending.rows

    planner.end, planner.evaluated_rows = measured()
    planner.rehearse = measured
    planner.looked_ahead = planner.budget.clock()
    return evaluations, sample


@dataclass(frozen=True)
class Ending:
    """What the end of a run takes, and what is measured in it.

    Attributes:
        seconds: expected.
        rows: to evaluate of every split; None: all.
    """

    seconds: float
    rows: int | None = None


@borrowed_generators()
def rehearse(task: Task, trained: Trained, prepared: Any, budget: Budget) -> Ending:
    """Evaluate a few rows, and expect from it what the evaluation at the end takes."""
    sizes = {split: _rows_of(prepared, split) for split in EVALUATED if prepared.has(split)}
    known = {split: rows for split, rows in sizes.items() if rows}
    if not known:
        return Ending(REPORT)
    split = max(known, key=lambda name: known[name])
    times = _times(task, trained, prepared, split, known[split], budget)
    fixed, each = line(times)
    expected = sum(fixed + each * rows for rows in known.values())
    most = EVALUATION * (budget.seconds - budget.used) - REPORT
    if expected <= most or each <= 0:
        return Ending(expected + REPORT)
    rows = max(int((most / len(known) - fixed) / each), FEWEST)
    limited = sum(fixed + each * min(rows, size) for size in known.values())
    return Ending(limited + REPORT, rows if rows < max(known.values()) else None)


def _times(
    task: Task, trained: Trained, prepared: Any, split: str, rows: int, budget: Budget
) -> dict[int, float]:
    """Return the seconds that evaluating takes by the number of rows."""
    times: dict[int, float] = {}
    for count in REHEARSED:
        part = fewer_rows(task, prepared, split, min(count, rows))
        if part is None:
            count, part = rows, prepared
        took = _evaluation_seconds(task, trained, part, split, budget)
        if not times and took > REHEARSAL * budget.seconds and budget.used < budget.seconds / 2:
            again = _evaluation_seconds(
                task, trained, part, split, budget
            )  # without the imports of the first
            took = min(took, again)
        times[min(count, rows)] = took
        if count >= rows or took > (REHEARSAL if len(times) > 1 else 2 * REHEARSAL) * budget.seconds:
            break
    return times


def _evaluation_seconds(task: Task, trained: Trained, prepared: Any, split: str, budget: Budget) -> float:
    start = budget.clock()
    _measured(task, trained, prepared, split)
    return budget.clock() - start


def _measured(task: Task, trained: Trained, prepared: Any, split: str) -> Outcome:
    """Evaluate a split, with the metrics that the user added."""
    outcome = task.evaluate(trained, prepared, split)
    own = own_metrics(trained, prepared.batches(split))
    return replace(outcome, metrics=outcome.metrics | own) if own else outcome


def line(times: Mapping[int, float]) -> tuple[float, float]:
    """Return the fixed seconds and those of a row, from the two largest numbers of rows."""
    (rows, seconds), *before = sorted(times.items(), reverse=True)
    if not before:
        return seconds, seconds / rows if rows == REHEARSED[0] else 0.0
    each = max(seconds - before[0][1], 0.0) / (rows - before[0][0])
    return max(seconds - each * rows, 0.0), each


def _rows_of(prepared: Any, split: str) -> int:
    return prepared.size_of(split).get("rows") or 0


def fewer_rows(task: Task, prepared: Any, split: str, rows: int) -> Any | None:
    """Return prepared data with fewer rows in a held-out split; None where they cannot be left out."""
    if isinstance(prepared, LoaderData):
        return prepared.fewer(split, rows)
    if not isinstance(prepared, Prepared) or task.ordered:
        return None
    source = prepared.rows[split]
    if rows >= len(source):
        return prepared
    if isinstance(source, StreamRows):
        return replace(prepared, rows={**prepared.rows, split: cut_stream(source, rows)}, measured_rows=rows)
    splits = prepared.dataset.splits
    made = with_few_rows(task, prepared, rows, (split, "train"))
    if made is None or split not in made.rows:
        return None
    dataset = prepared.dataset.with_splits({**splits, split: made.dataset.splits[split]})
    cut = {**prepared.rows, split: made.rows[split]}
    return replace(prepared, dataset=dataset, rows=cut, measured_rows=rows)


def with_few_rows(task: Task, prepared: Prepared, rows: int, chosen: Iterable[str]) -> Prepared | None:
    """Encode at most n rows of some splits again, and one row of all others; None if that fails."""
    few = {
        name: table.take(pa.array(_spread(len(table), rows if name in chosen else 1)))
        for name, table in prepared.dataset.splits.items()
        if name in ("train", *EVALUATED)
    }
    try:
        return task.prepare(
            prepared.dataset.with_splits(few),
            prepared.config,
            reads_tokens(prepared.config, prepared.preprocess),
            prepared.preprocess,
        )
    except PellucidError:
        return None


def cut_stream(stream: StreamRows, rows: int) -> Any:
    return StreamRows(stream.tokens[: rows * stream.window + 1], stream.window)


def _spread(size: int, rows: int) -> np.ndarray:
    """Return the numbers of rows that are spread evenly over a table."""
    return np.linspace(0, size - 1, min(rows, size)).astype(np.int64)


def evaluate(
    task: Task, trained: Trained, prepared: Any, split: str, planner: TimePlanner | None, run: Run
) -> Outcome:
    """Evaluate a split, or as many of its rows as the time allows, which a note then says."""
    rows = None if planner is None else planner.evaluated_rows
    size = _rows_of(prepared, split)
    part = fewer_rows(task, prepared, split, rows) if rows is not None and rows < size else None
    if rows is None or part is None:
        return _measured(task, trained, prepared, split)
    measures = "run.evaluate" if isinstance(part, LoaderData) else "`pellucid evaluate`"
    run.note(
        f"The {split} split is measured on {rows:,} of its {size:,} rows, since all would take too much of "
        f"the {prepared.config.train.minutes:g} minutes; {measures} measures all of them."
    )
    outcome = _measured(task, trained, part, split)
    numbers = np.arange(size) if isinstance(part, LoaderData) else _spread(size, rows)
    return replace(
        outcome,
        predictions=_numbered(outcome.predictions, numbers),
        examples=_numbered(outcome.examples, numbers),
    )


def _numbered(table: pa.Table | None, numbers: np.ndarray) -> pa.Table | None:
    """Replace the row numbers of a part by those of the whole split."""
    if table is None or "row" not in table.column_names:
        return table
    rows = pa.array(numbers[table["row"].to_numpy()])
    return table.set_column(table.column_names.index("row"), "row", rows)


# ---- validation ----------------------------------------------------------------------------------


@borrowed_generators()
def validated(
    trainer: Trainer, prepared: Any, budget: Budget, run: Run
) -> tuple[dict[str, Iterable[Any]], Iterable[Any] | None, float]:
    """Return what is measured during training, the sample of training rows, and the seconds of both.

    Where measuring all would take too much of the budget, fewer rows are measured.
    """
    split = prepared.validation
    batches = None if split is None else prepared.batches(split)
    if not isinstance(prepared, Prepared) or not isinstance(batches, Batches):
        sample, seconds = prepared.train_sample(), _seconds(trainer, batches, budget)
        if isinstance(prepared, LoaderData) and seconds > VALIDATION * budget.seconds:
            batches, seconds = _first_batches(prepared, seconds, budget, run)
        return ({} if batches is None else {"val": batches}), sample, seconds
    rows = _rows_of(prepared, prepared.validation)
    total = rows + min(_rows_of(prepared, "train"), TRAIN_SAMPLE_ROWS)
    seconds = total * _seconds_of_row(trainer, prepared, rows, budget)
    most = VALIDATION * budget.seconds
    if seconds <= most:
        return {"val": batches}, prepared.train_sample(), seconds
    count = min(max(round(rows * most / seconds), FEWEST), rows)
    run.note(
        f"During training, validation is measured on {count:,} of {rows:,} rows, and on as many training "
        f"rows, since all would take about {seconds:.0f} s each time."
    )
    made = {name: _sampled(prepared, name, count) for name in (prepared.validation, "train")}
    return {"val": made[prepared.validation]}, list(made["train"]), 2 * count * seconds / total


def _first_batches(prepared: LoaderData, seconds: float, budget: Budget, run: Run) -> tuple[Any, float]:
    """Return the first batches of a user's own to measure during training, and the seconds they take."""
    split = str(prepared.validation)
    rows = _rows_of(prepared, split)
    if not rows:
        return prepared.batches(split), seconds
    count = min(max(round(rows * VALIDATION * budget.seconds / seconds), FEWEST), rows)
    run.note(
        f"During training, validation is measured on the first {count:,} of {rows:,} rows, since all would "
        f"take about {seconds:.0f} s each time."
    )
    return prepared.fewer(split, count).batches(split), seconds * count / rows


def _sampled(prepared: Prepared, split: str, rows: int) -> Batches:
    """Return batches of some rows of a split, the same every time."""
    return Batches(
        prepared.rows[split],
        min(max(rows // 4, 1), prepared.batches(split).batch_size),
        seed=prepared.config.data.split_seed,
        shuffle=True,
        limit=rows,
        augment=prepared.corrupt,
    )


def _seconds_of_row(trainer: Trainer, prepared: Prepared, rows: int, budget: Budget) -> float:
    """Return the expected seconds of measuring a row, from more and more rows."""
    each = 0.0
    for count in REHEARSED:
        batches = list(_sampled(prepared, prepared.validation, min(count, rows)))
        start = budget.clock()
        trainer.evaluate(batches)
        took = budget.clock() - start
        each = took / min(count, rows)
        if count >= rows or took > REHEARSAL / 4 * budget.seconds:
            break
    return each


def _seconds(trainer: Trainer, batches: Any, budget: Budget) -> float:
    """Return the expected seconds of measuring batches of the user's own, from some of them."""
    if batches is None:
        return 0.0
    try:
        count = len(batches)
    except TypeError:
        count = 0
    start, done = budget.clock(), 0
    for batch in batches:
        trainer.evaluate([batch])
        done += 1
        if budget.clock() - start > REHEARSAL / 2 * budget.seconds:
            break
    return (budget.clock() - start) * max(count / max(done, 1), 1.0)


# ---- records -------------------------------------------------------------------------------------


def record_updates(run: Run, planner: TimePlanner, trainer: Trainer) -> None:
    """Record how many updates were planned and why, and how many were done."""
    first, epoch = planner.first, planner.rounds.length
    if trainer.step < epoch // planner.group:
        done = f"{trainer.step:,} update{'s' * (trainer.step != 1)}"
        run.note(
            f"Only {done}, less than one pass over the data, fit into the {planner.budget.minutes:g} "
            "minutes: the rest went to starting, reading, baselines and measuring, and the scores say "
            f"little. Try: --minutes {MORE * planner.budget.minutes:g}"
        )
    if not first:
        few = f"as many as fit into {planner.budget.minutes:g} minutes, too few to plan; --minutes changes it"
        run.choose("updates", trainer.step, few)
        return
    planned_first = int(first["updates"])
    changed = f", planned at first: {planned_first:,}" if planned_first != trainer.step else ""
    run.choose(
        "updates",
        trainer.step,
        f"as many as fit into {planner.budget.minutes:g} minutes{changed}: reading, baselines and measuring "
        f"took {first['used_before']:.1f} s, an update {1000 * first['update_seconds']:.3g} ms, a validation "
        f"about {first['validation_seconds']:.2g} s, and {first['end_seconds']:.1f} s were kept for the end; "
        "--minutes changes it",
    )
