"""Where names are looked up besides this machine, and how long an answer may take."""

from __future__ import annotations

import threading
from collections.abc import Callable

MIRROR = "PELLUCID_MIRROR"
"""The environment variable that names a folder of datasets and models."""

PATIENCE = 3.0
"""Seconds the hub has to answer, name look-up included."""


def within(seconds: float, work: Callable[[], None]) -> Exception | None:
    """Run `work` in a thread for at most `seconds`; return the error it raised, if any."""
    raised: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return TimeoutError()
    return raised[0] if raised else None


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, at most 160 characters."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:160]
