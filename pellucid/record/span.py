"""A span: a named interval of time, as in OpenTelemetry. The spans of a run show where its time went."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """A named interval of time.

    Attributes:
        name: the kind of work, e.g. "load", "training", "checkpoint".
        start: Unix time in seconds.
        seconds: how long it took.
        step: the number of optimizer updates before it.
    """

    name: str
    start: float
    seconds: float
    step: int = 0
