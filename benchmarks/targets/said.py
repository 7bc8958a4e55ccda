"""How a contestant reports its accuracy."""

from __future__ import annotations

import json
import time


class Clock:
    """Seconds of work without evaluation."""

    def __init__(self) -> None:
        self.began, self.paused = time.perf_counter(), 0.0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began - self.paused

    def measured(self, measure) -> None:
        """Evaluate, and print the accuracy and the seconds of work before it."""
        seconds, began = self.seconds, time.perf_counter()
        print(json.dumps({"seconds": seconds, "accuracy": measure()}), flush=True)
        self.paused += time.perf_counter() - began
