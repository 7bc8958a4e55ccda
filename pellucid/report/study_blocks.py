"""The page of a study: one sentence, its runs as a table, and a chart of their measure over a setting."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pellucid.record import Run, measures
from pellucid.record.run import REPORT
from pellucid.report import words
from pellucid.report.sentences import an, compared

Curves = dict[str, dict[float, float]]
"""By the name of a line, the measure at every value of the setting."""
LOG_FROM = 10
"""Ratio of the largest to the smallest value from which the axis is logarithmic."""


def sentence(run: Run) -> str:
    """Return what the runs of a finished study reached: the mean, or which line is best where."""
    facts, key = run.facts, run.facts["study"]["metric"]
    if curves := _curves(facts):
        return f"{run.name}: {_lead(curves, facts)}; {_end(curves, facts)}."
    name, value = words.measure_name(key), words.measure(key, run.metrics[key])
    if not math.isfinite(run.metrics[key]):
        return f"The mean {name} of {run.name} over {_runs(facts)} is {value}."
    said = f"{run.name} reaches {an(name)} {name} of {value} on average over {_runs(facts)}"
    return f"{said}{compared(facts, run.spec, key, None)}."


def unfinished(facts: Mapping[str, Any]) -> str:
    """Return how far an unfinished study is."""
    done = sum("value" in part for part in facts["parts"].values())
    return f"after {done} of {_runs(facts)}"


def context(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how much the runs differ, as (term, rest)."""
    key, metrics = facts["study"]["metric"], facts["metrics"]
    low, high, spread = (metrics.get(f"{key}_{ending}") for ending in ("min", "max", "std"))
    if spread is None:
        return []
    return [
        ("", f"from {words.measure(key, low)} to {words.measure(key, high)}"),
        ("standard deviation", words.measure(f"{key}_std", spread)),
    ]


def blocks(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the chart and the table of a study, as the facts of blocks."""
    curves = _curves(facts)
    return [*([_chart(curves, facts)] if curves else []), _table(facts)]


def is_drawn(facts: Mapping[str, Any]) -> bool:
    """Whether the result is a curve rather than a mean."""
    return bool(_curves(facts))


# ---- the table ---------------------------------------------------------------------------------------


def _table(facts: Mapping[str, Any]) -> dict[str, Any]:
    key = facts["study"]["metric"]
    rows = []
    for label, part in facts["parts"].items():
        name = {"text": label, "link": f"../{quote(part['run'])}/{REPORT}"} if "run" in part else label
        value = {"text": words.measure(key, part["value"]), "number": True} if "value" in part else None
        seconds = {"text": words.seconds(part.get("seconds")), "number": True}
        rows.append([name, value, part.get("epoch"), seconds])
    return {
        "kind": "table",
        "title": "The runs",
        "caption": "Each run has a folder and a report of its own; its name links to it.",
        "columns": ["run", words.measure_name(key), "best epoch", "training time"],
        "rows": rows,
    }


# ---- the chart ---------------------------------------------------------------------------------------


def _curves(facts: Mapping[str, Any]) -> Curves:
    """The lines of a chart; {} where no setting varies, or there are fewer than two values yet."""
    curves: Curves = {}
    for part in facts["parts"].values():
        if part.get("x") is not None and "value" in part:
            curves.setdefault(part["line"], {})[part["x"]] = part["value"]
    return curves if len(_places(curves)) > 1 else {}


def _chart(curves: Curves, facts: Mapping[str, Any]) -> dict[str, Any]:
    key, places = facts["study"]["metric"], _places(curves)
    return {
        "kind": "lines",
        "title": _lead(curves, facts),
        "caption": "Each point is one run; with another seed it would be a little higher or lower.",
        "x_label": _along(facts).replace(" ", words.SPACE),
        "y_label": words.measure_name(key),
        "x_log": min(places) > 0 and max(places) > LOG_FROM * min(places),
        "share": words.is_share(key),
        "series": [
            {"name": name or words.measure_name(key), "x": list(line), "y": list(line.values())}
            for name, line in ((name, dict(sorted(line.items()))) for name, line in curves.items())
        ],
    }


def _lead(curves: Curves, facts: Mapping[str, Any]) -> str:
    """Which line is best where; for a single line, whether it rises or falls."""
    along, key = _along(facts), facts["study"]["metric"]
    if len(curves) == 1:
        (line,) = curves.values()
        first, *_, last = (line[x] for x in sorted(line))
        verb = "increases" if last > first else "decreases" if last < first else "does not change"
        return f"{words.measure_name(key)} {verb} with {along}"
    rankings = [(x, _ranked(curves, x, key)) for x in _places(curves)]
    winners = [(x, ranking[0][0]) for x, ranking in rankings if len(ranking) > 1]
    groups = [(name, [x for x, _ in some]) for name, some in itertools.groupby(winners, lambda w: w[1])]
    if len(groups) < 2:
        return f"{groups[0][0]} is best everywhere" if groups else f"{words.measure_name(key)} by {along}"
    (first, places), *others = groups
    said = [f"{first} is best at {_listed(places)}", *(f"{name} at {_listed(xs)}" for name, xs in others)]
    return f"{', '.join(said)} {along}"


def _listed(places: list[float]) -> str:
    *most, last = map(words.plain, places)
    return f"{', '.join(most)} and {last}" if most else last


def _end(curves: Curves, facts: Mapping[str, Any]) -> str:
    """The measure of every line at the last value, the best line first."""
    key, last = facts["study"]["metric"], _places(curves)[-1]
    values = [(name, words.measure(key, value)) for name, value in _ranked(curves, last, key)]
    said = " and ".join(f"{value} for {name}" if name else value for name, value in values)
    return f"{words.measure_name(key)} at {words.plain(last)} is {said}"


def _ranked(curves: Curves, x: float, key: str) -> list[tuple[str, float]]:
    found = [(name, line[x]) for name, line in curves.items() if x in line]
    sign = 1 if measures.lower_is_better(key) else -1
    return sorted(found, key=lambda entry: (math.isnan(entry[1]), sign * entry[1]))


def _places(curves: Curves) -> list[float]:
    return sorted({x for line in curves.values() for x in line})


def _along(facts: Mapping[str, Any]) -> str:
    """The name of the varied setting: data.training_rows is "training rows"."""
    return facts["study"]["along"].rpartition(".")[2].replace("_", " ")


def _runs(facts: Mapping[str, Any]) -> str:
    return words.plural(len(facts["parts"]), "run")
