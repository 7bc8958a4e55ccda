"""The rows with the largest loss.

{"kind": "examples", "examples": path of a Parquet file in the run folder,
 "classes": names of the classes (optional), "wrong": only wrong predictions (optional)}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.report.block import Shelf, View
from pellucid.report.example_rows import Example, example, worst_first
from pellucid.report.views.confusion import SECTION

WORST = 24


@dataclass(frozen=True)
class Worst:
    """The rows; `wrong` if they are wrong predictions of a class."""

    examples: tuple[Example, ...]
    wrong: bool


def prepare(facts: Mapping[str, Any], shelf: Shelf) -> Worst:
    """Read the rows and sort them by loss."""
    rows, wrong = shelf.rows(facts["examples"]), bool(facts.get("wrong"))
    classes = [str(name) for name in facts.get("classes") or ()]
    some = [row for row in rows if not wrong or row["target"] != row["prediction"]]
    return Worst(tuple(example(row, shelf.album, classes) for row in worst_first(some)[:WORST]), wrong)


VIEW = View("examples", prepare, section=SECTION, first=True)
