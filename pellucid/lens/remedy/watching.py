"""Train parts under a watch; a loop that does not know of watches is watched all the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch

from pellucid.lens.remedy.parts import Loop, Parts
from pellucid.lens.remedy.rows import is_rows
from pellucid.lens.watch import watch
from pellucid.record import Finding


class _Reported:
    """Batches that report when the next one is asked for: then the step with the one before is over."""

    def __init__(self, batches: Any, over: Callable[[], None]) -> None:
        self._batches, self._over = batches, over

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: Any) -> Any:
        self._over()
        return self._batches[index]

    def __iter__(self) -> Iterator[Any]:
        for batch in self._batches:
            yield batch
            self._over()


class _Steps:
    """Calls `watch.step` for a loop that does not: when it asks for the next batch.

    A loop that cuts its batches itself is over with a step when the next forward pass begins.
    """

    def __init__(self, parts: Parts) -> None:
        self.watch: Any = None
        self._last: Any = None
        self._plain = parts.loss
        if is_rows(parts.batches):
            parts.module.register_forward_pre_hook(self.end, prepend=True)
        else:
            parts.batches = _Reported(parts.batches, self.end)

    def loss(self, outputs: Any, targets: Any = None, *given: Any, **named: Any) -> Any:
        """The loss of the loop, noted."""
        arguments = (outputs,) if targets is None else (outputs, targets, *given)
        value = self._plain(*arguments, **named)
        if torch.is_grad_enabled():
            self._last = (value, targets)
        return value

    def end(self, *_: Any) -> None:
        """Tell the watch of the step that is over."""
        if self._last is not None and self.watch is not None:
            (value, targets), self._last = self._last, None
            self.watch.step(value, targets=targets)


def watched(loop: Loop, parts: Parts, seed: int, lower: bool) -> tuple[float, list[Finding]]:
    """Train parts and return their score, and what the watch finds.

    Raises:
        Exception: of the loop.
    """
    inside = not loop.takes_watch and is_rows(parts.batches)
    steps = None if loop.takes_watch else _Steps(parts)
    mute = (
        ("weights-change-in-forward",) if inside else ()
    )  # a step is over only within the next forward pass
    guard = watch(parts.model, parts.optimizer, loss=parts.loss, mute=mute)
    with guard:
        if steps is None:
            score = loop.run(parts, seed, guard)
        else:
            steps.watch, parts.loss = guard, steps.loss
            score = loop.run(parts, seed)
            steps.end()
            if math.isfinite(score):
                guard.validate({"loss": score} if lower else score)
    return score, guard.findings
