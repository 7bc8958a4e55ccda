"""Baselines in a given time: on all rows, or on as many as fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pellucid.data.text.token_rows import StreamRows
from pellucid.record import Run
from pellucid.runner.budget import cut_stream, line, with_few_rows
from pellucid.tasks.prepared import EVALUATED, Prepared
from pellucid.tasks.task import Baselines, Task
from pellucid.train.budget import Budget

BASELINES = 0.12
"""Most of the budget for the baselines."""
BASELINE_ROWS = (16, 64, 256, 1024, 4096)
"""Rows of each split that baselines are measured on, one after the other, until all rows fit."""


def measure_baselines(task: Task, prepared: Any, budget: Budget | None, run: Run) -> Baselines:
    """Measure baselines on all rows, or on as many as fit into their share of the time, which a note says.

    They are measured on more and more rows, until all are expected to fit.
    """
    if budget is None or not isinstance(prepared, Prepared) or task.ordered:
        return task.baselines(prepared)
    most, rows = BASELINES * budget.seconds, _most_rows(prepared)
    times: dict[int, float] = {}
    found: Baselines | None = None
    for count in (*(count for count in BASELINE_ROWS if count < rows), rows):
        used, expected = sum(times.values()), _expected(times, count)
        if found is not None and used + expected > most:
            run.note(
                f"The baselines are measured on at most {max(times):,} rows of each split: on {rows:,} they "
                f"would take about {_expected(times, rows):.0f} s of the {budget.minutes:g} minutes."
            )
            return found
        if found is not None and count < rows and used + _expected(times, rows) <= most:
            continue  # all of them fit
        part = prepared if count == rows else _few_of_all(task, prepared, count)
        if part is None:
            continue
        start = budget.clock()
        found = _try_baselines(task, replace(part, needed=prepared.needed), fails=count == rows) or found
        times[count] = budget.clock() - start
        if len(times) == 1 and times[count] <= most < _expected(times, rows):
            start = budget.clock()
            _try_baselines(task, replace(part, needed=prepared.needed), fails=False)
            times[count] = min(times[count], budget.clock() - start)  # without imports
    return found or {}


def _most_rows(prepared: Prepared) -> int:
    """Return the rows of the largest split; the windows of a stream of tokens."""
    counted: Any = prepared.rows if _is_stream(prepared) else prepared.dataset.splits
    return max(map(len, counted.values()))


def _is_stream(prepared: Prepared) -> bool:
    return all(isinstance(rows, StreamRows) for rows in prepared.rows.values())


def _few_of_all(task: Task, prepared: Prepared, rows: int) -> Prepared | None:
    """Return prepared data with at most n rows in every split; None where they cannot be left out."""
    if not _is_stream(prepared):
        return with_few_rows(task, prepared, rows, ("train", *EVALUATED))
    streams: Any = prepared.rows
    cut = {split: cut_stream(stream, rows) for split, stream in streams.items()}
    return replace(prepared, rows=cut)


def _try_baselines(task: Task, prepared: Prepared, *, fails: bool) -> Baselines | None:
    """Measure baselines; None where that fails on few rows, such as those of one class."""
    try:
        return task.baselines(prepared)
    except Exception:
        if fails:
            raise
        return None


def _expected(times: Mapping[int, float], rows: int) -> float:
    """Return the seconds that baselines are expected to take, from those on fewer rows."""
    if not times:
        return 0.0
    fixed, each = line(times)
    return fixed + each * rows
