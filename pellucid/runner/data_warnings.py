"""What stands out in the data of a run: columns that give the target away, imbalance, rows left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pellucid.data.inspect import warnings_of
from pellucid.tasks.prepared import Prepared

SHOWN = 3
WEIGHTS = "objective.class_weights"
"""What is advised for uneven classes; it is not said where it is followed."""


def data_warnings(prepared: Any, *, labelled: bool = True) -> list[str]:
    """Return what `pellucid inspect` would warn of, one line each; a user's own batches have none.

    Args:
        prepared: the data of the run.
        labelled: whether the task learns from the target.
    """
    if not isinstance(prepared, Prepared):
        return []
    dataset = prepared.dataset if labelled else replace(prepared.dataset, target=None)
    weighted = bool(prepared.config.objective.class_weights)
    found = [warned for warned in warnings_of(dataset) if not (weighted and WEIGHTS in warned.remedy)]
    return [f"{warned.seen} Try: {warned.remedy}" for warned in found]


def left_out(lines: Sequence[str]) -> list[str]:
    """Return the first rows that were left out, with the reason, and how many there are."""
    more = [line for line in lines if line.startswith("... and ")]
    listed = [line for line in lines if line not in more]
    shown = [f"left out: {line}" for line in listed[:SHOWN]]
    rest = len(listed) - len(shown)
    return shown + ([f"left out: {rest:,} more rows, listed in run.json"] if rest else []) + more
