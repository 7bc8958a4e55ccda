"""Writes docs/catalogues.md from the catalogues in the code: `python docs/catalogues.py`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from pellucid.nn import ACTIVATIONS
from pellucid.train.catalogue import HasOptions, in_words
from pellucid.train.losses import LOSSES
from pellucid.train.optimizers import OPTIMIZERS
from pellucid.train.schedules import SCHEDULES

PAGE = Path(__file__).with_name("catalogues.md")


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    columns = list(columns)
    lines = [columns, ["---"] * len(columns), *(list(row) for row in rows)]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def bound(value: float) -> str:
    return ("-∞" if value < 0 else "∞") if math.isinf(value) else f"{value:.4g}"


def formula(latex: str) -> str:
    """A formula in a table, where a `|` would end the cell."""
    return f"${latex.replace('|', chr(92) + 'vert ')}$"


def options(entry: HasOptions) -> str:
    """The options of an entry with their defaults and which values they take."""
    words = {name: in_words(kind) for name, kind in entry.types.items()}
    return "; ".join(f"`{name}={value}`: {words[name]}" for name, value in entry.options.items())


def render() -> str:
    """Return the page."""
    activations = (
        (
            f"`{a.name}`",
            formula(a.formula),
            formula(a.derivative_formula),
            f"{bound(a.range[0])} .. {bound(a.range[1])}",
            a.source,
            a.note,
        )
        for a in ACTIVATIONS.values()
    )
    losses = (
        (f"`{e.name}`", formula(e.formula), ", ".join(e.tasks), options(e), e.source, e.note)
        for e in LOSSES.values()
    )
    optimizers = (
        (f"`{o.name}`", formula(o.formula), f"{o.lr:g}", options(o), o.source, o.note)
        for o in OPTIMIZERS.values()
    )
    schedules = (
        (f"`{s.name}`", formula(s.formula), options(s), s.source, s.note) for s in SCHEDULES.values()
    )
    lines = [
        "# Catalogues",
        "",
        "Written from the code by `python docs/catalogues.py`; names are those of configs. Options are set",
        "as `objective.loss_options`, `optimizer.options` and `schedule.options`.",
        "",
    ]
    lines += ["## Activations", ""]
    lines += table(("name", "f(x)", "f'(x)", "range", "source", "note"), activations)
    lines += ["", "## Losses", ""]
    lines += table(("name", "for one example", "for", "options", "source", "note"), losses)
    lines += ["", "## Optimizers", ""]
    lines += table(("name", "update", "lr", "options", "source", "note"), optimizers)
    lines += ["", "## Schedules", ""]
    lines += table(("name", "factor of the learning rate", "options", "source", "note"), schedules)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
