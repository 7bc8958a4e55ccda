"""A trace: one named span of time, so that a run can say where its time went."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trace:
    """Attributes: name ("load", "train", "checkpoint" ...), start (Unix seconds), seconds, step."""

    name: str
    start: float
    seconds: float
    step: int = 0
