"""The learning section: curves whose titles are what they show, and the findings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from pellucid.diagnosis import findings, is_phase_loss, phase
from pellucid.record import Finding, Run, measures
from pellucid.report import charts, plots, words
from pellucid.report.charts import Chart, Line, Points

USUAL = ("accuracy", "f1", "mae")
"""Measures that are drawn next to the loss where the task names none."""
TOGETHER = (("d_real", "d_fake"), ("recon", "kl"))
"""Validation measures that are only meaningful together."""
CHARTED = ("loss", "active_units", *itertools.chain(*TOGETHER))
"""Measures that have a chart of their own."""
LOSS_POINTS = 500  # of the loss by step
SMALL_CHART_POINTS = 240
MAX_SMALL_CHARTS = 12
SPLITS = (("training", "train"), ("validation", "val"))
GOOD = {"healthy": "Healthy", "balanced": "Balanced"}
"""Rules that find nothing to change, and what the page calls their findings."""
TITLES = {
    "overfitting": "Validation turns up after {best}",
    "overconfident": "Validation loss turns up after {best}; accuracy holds",
    "diverging": "Training and validation loss both turn up",
    "memorizing": "Validation levels off above training",
    "still-improving": "The loss was still falling when training stopped",
    "underfitting": "The loss fell only a little",
    "healthy": "Validation loss levels off",
    "too-short": "Too few epochs to assess",
    "non-finite-loss": "The loss was not a finite number at {best}",
    "no-validation": "Training loss; no validation rows",
}


@dataclass(frozen=True)
class Verdict:
    """A finding, what the page calls it (Healthy, Warning ...), and whether it is good news."""

    finding: Finding
    verdict: str
    good: bool


@dataclass(frozen=True)
class Learning:
    """The section of learning curves; `columns` and `table` hold the same numbers, one row an epoch.

    Attributes:
        findings: what the rules found, the most important first.
        charts: the curves.
        by_split: whether they are drawn by split, so that the page explains their colors.
        columns, table, best_row: the numbers of every epoch.
        more, more_left_out: all other measurements.
    """

    findings: tuple[Verdict, ...]
    charts: tuple[Chart, ...]
    by_split: bool
    columns: tuple[str, ...]
    table: tuple[tuple[str, ...], ...]
    best_row: int | None
    more: tuple[Chart, ...]
    more_left_out: int


class _Curves:
    """The curves of one run, on the scale of epochs."""

    def __init__(self, run: Run):
        self.run = run
        self.keys = run.store.keys()
        self.epochs = run.store.series("epoch")
        self.phases = [key for key in self.keys if is_phase_loss(key)]
        self.several = len(self.phases) > 1
        self.measure = next((name for name in self._names() if self._differs_from_loss(name)), None)

    def _names(self) -> tuple[str, ...]:
        """The measures to choose from, by task."""
        spec = self.run.spec
        first = spec.headline if spec.name else USUAL
        return tuple(name for name in first if name not in CHARTED)

    def _differs_from_loss(self, name: str) -> bool:
        """Whether a measure was recorded and is not the loss under another name."""
        found = self.run.store.series(f"val/{name}") or self.run.store.series(f"train/{name}")
        return bool(found) and found != self.run.store.series("val/loss")

    def at(self, step: int) -> float:
        """The epoch of a step, interpolated between two epochs."""
        steps = [0, *(step for step, _ in self.epochs)]
        numbers = [0.0, *(epoch for _, epoch in self.epochs)]
        return round(float(np.interp(step, steps, numbers)), 3)

    def series(self, key: str) -> Points:
        return [(self.at(step), value) for step, value in self.run.store.series(key)]

    def lines(self, name: str) -> list[Line]:
        """One line a split, measured the same way: without augmentation and dropout where recorded."""
        lines = [
            Line(label, split, self.series(f"{split}/{name}_clean") or self.series(f"{split}/{name}"))
            for label, split in SPLITS
        ]
        return [line for line in lines if line.points]

    @property
    def best(self) -> tuple[float, str] | None:
        step = (self.run.facts.get("best") or {}).get("step")
        return None if step is None else (self.at(step), f"best, epoch {self.at(step):g}")

    @property
    def axis(self) -> str:
        step, epoch = self.epochs[-1]
        return f"epoch ({words.plural(round(step / max(epoch, 1)), 'step')} each)"


def learning(run: Run, by_epoch: Sequence[Chart] = ()) -> Learning | None:
    """Gather the curves of a run; None if no epoch was completed.

    Args:
        run: the run.
        by_epoch: charts that the task wrote after every epoch.
    """
    curves = _Curves(run)
    if not curves.epochs:
        return None
    found = findings(run)
    own = curves.several and bool(by_epoch)  # the charts of the task itself say more
    by_split = [
        None if curves.several else _loss(curves, found),
        None if own else _measure(curves),
    ]
    others = [] if own else _together(curves)
    drawn = set() if curves.several else {"loss", curves.measure}
    more = [key for key in curves.keys if key not in ("epoch", "step/loss") and not _is_drawn(key, drawn)]
    keys = [key for key in curves.keys if key.partition("/")[0] in ("train", "val", "epoch_seconds")]
    steps, best = [step for step, _ in curves.epochs], (run.facts.get("best") or {}).get("step")
    return Learning(
        findings=tuple(
            Verdict(one, GOOD.get(one.rule, one.level.capitalize()), one.rule in GOOD) for one in found
        ),
        charts=(*(chart for chart in by_split if chart), *others, *by_epoch),
        by_split=any(by_split),
        columns=("epoch", "step", *keys),
        table=_table(run, curves.epochs, keys),
        best_row=steps.index(best) if best in steps else None,
        more=tuple(_small(run, key) for key in more[:MAX_SMALL_CHARTS]),
        more_left_out=max(0, len(more) - MAX_SMALL_CHARTS),
    )


def _is_drawn(key: str, names: set[str | None]) -> bool:
    split, _, name = key.partition("/")
    return split in ("train", "val") and name in names


# ---- by split ----------------------------------------------------------------------------------------


def _loss(curves: _Curves, found: Sequence[Finding]) -> Chart | None:
    lines = curves.lines("loss")
    if not lines:
        return None
    clean = "train/loss_clean" in curves.keys
    raw = _thin(curves.series("step/loss"), LOSS_POINTS)
    finding = next((one for one in found if one.rule in TITLES), None)
    title = TITLES[finding.rule].format(best=f"epoch {curves.at(finding.step):g}") if finding else "The loss"
    if len(lines[-1].points) == 1:
        title = f"The loss after epoch {lines[-1].points[0][0]:g}"
    notes = []
    if len(raw) > 1:
        notes.append(
            f"The thin line is the loss of {words.count(len(raw))} single steps; nothing is smoothed."
        )
    if clean:
        notes.append("Both lines are measured the same way, without augmentation and dropout.")
    unit = measures.unit("loss", curves.run.spec)
    name = f"loss, {unit}" if " per " in unit else "loss"
    return _chart(curves, title, lines, name, words.number, note=" ".join(notes), raw=raw)


def _measure(curves: _Curves) -> Chart | None:
    """The first recorded measure other than the loss."""
    if curves.measure is None:
        return None
    lines, name = curves.lines(curves.measure), words.measure_name(curves.measure)
    write, shares = _writer(curves.measure), words.is_share(curves.measure)
    finite = [point for point in lines[-1].points if math.isfinite(point[1])]
    if not finite:
        title = f"The {lines[-1].name} {name} was not a finite number in any epoch"
        return _chart(curves, title, lines, name, write, shares=shares)
    epoch, value = _best_mode(curves)(finite, key=lambda point: point[1])
    if curves.best is not None and (curves.best[0], value) in lines[-1].points:
        epoch = curves.best[0]  # of several equal values, the one that was kept
    title = f"Best {lines[-1].name} {name} {write(value)}, at epoch {epoch:g}"
    return _chart(curves, title, lines, name, write, shares=shares)


def _best_mode(curves: _Curves) -> Callable[..., Any]:
    """Return `min` or `max`: as the best weights were chosen by this measure, else by its name."""
    best, name = curves.run.facts.get("best") or {}, str(curves.measure)
    if str(best.get("metric")).rpartition("/")[2] == name and best.get("mode") in ("min", "max"):
        return min if best["mode"] == "min" else max
    return min if measures.lower_is_better(name, curves.run.spec) else max


def _chart(
    curves: _Curves,
    title: str,
    lines: list[Line],
    name: str,
    write: Callable[[float], str],
    note: str = "",
    **options: Any,
) -> Chart:
    def draw(width: int) -> Element:
        return charts.curves(lines, (curves.axis, name), write, width=width, best=curves.best, **options)

    return charts.chart(title, draw, f"{note} {charts.gaps(lines)}".strip())


# ---- several at once ---------------------------------------------------------------------------------


def _together(curves: _Curves) -> list[Chart]:
    """The losses of several phases, and measures that belong together, one line each."""
    groups = [(curves.phases, "loss", phase)] if curves.several else []
    for pair in TOGETHER:
        keys = [f"val/{name}" for name in pair if f"val/{name}" in curves.keys]
        groups += [(keys, "on validation rows", words.measure_name)] if len(keys) == len(pair) else []
    return [_side_by_side(curves, keys, axis, name) for keys, axis, name in groups]


def _side_by_side(curves: _Curves, keys: Sequence[str], axis: str, name: Callable[[str], str]) -> Chart:
    lines = [Line(name(key), plots.role(i), curves.series(key)) for i, key in enumerate(keys)]
    ends = ", ".join(f"{line.name} {words.number(line.points[-1][1])}" for line in lines)

    def draw(width: int) -> Element:
        return plots.lines(lines, (curves.axis, axis), width=width)

    return charts.chart(f"Final values: {ends}", draw, charts.gaps(lines))


def _small(run: Run, key: str) -> Chart:
    """Any other measurement, against the step."""
    points = _thin(run.store.series(key), SMALL_CHART_POINTS)
    write = _writer(key)
    first, last = write(points[0][1]), write(points[-1][1])
    title = f"{key}: {first}" if first == last else f"{key}: from {first} to {last}"
    role = {"train": "train", "val": "val"}.get(key.partition("/")[0], "other")
    line = Line("", role, points)

    def draw(width: int) -> Element:
        return charts.curves([line], ("step", key), write, width=width, shares=words.is_share(key))

    return charts.chart(title, draw, charts.gaps([line]))


def _thin(points: Points, most: int) -> Points:
    """Every k-th point, so that at most `most` remain."""
    return points[:: max(1, -(-len(points) // most))]


def _table(run: Run, epochs: Sequence[tuple[int, float]], keys: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """One row an epoch: its number, its step and every measure of it."""
    series = {key: dict(run.store.series(key)) for key in keys}
    return tuple(
        (f"{epoch:g}", words.count(step), *(_writer(key)(series[key].get(step)) for key in keys))
        for step, epoch in epochs
    )


def _writer(key: str) -> Callable[[float | None], str]:
    """How a metric's values are written."""
    if key == "epoch_seconds":
        return words.seconds
    if words.is_share(key):
        return lambda value: words.percent(value, 2)
    return words.number
