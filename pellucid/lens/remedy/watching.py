"""Train parts under a watch; a loop that does not know of watches is watched all the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from pellucid.errors import PellucidError
from pellucid.lens.remedy.hooks import on_loss
from pellucid.lens.remedy.parts import Loop, Parts
from pellucid.lens.remedy.rows import Around
from pellucid.lens.watch import watch
from pellucid.record import Finding


@dataclass(frozen=True)
class Seen:
    """A training run under the watch.

    Attributes:
        score: NaN where there is none.
        findings: of the watch, to where the loop came.
        error: that the loop raised.
        blind: the watch saw no step.
    """

    score: float
    findings: list[Finding]
    error: Exception | None = None
    blind: bool = False


class _Reported(Around):
    """Batches that report when the next one is asked for: then the step with the one before is over."""

    def __init__(self, batches: Any, over: Callable[[], None]) -> None:
        super().__init__(batches)
        self._over = over

    def __getitem__(self, index: Any) -> Any:
        self._over()
        return self.batches[index]

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches:
            yield batch
            self._over()

    def __next__(self) -> Any:
        self._over()
        return next(self.batches)


class _Steps:
    """Calls `watch.step` for a loop that does not: when it asks for the next batch.

    Where the batches are a list, which a loop may cut and multiply, or rows that it cuts into batches itself,
    a step is over when the next forward pass begins.
    """

    def __init__(self, parts: Parts) -> None:
        self.watch: Any = None
        self._last: Any = None
        self.inside = isinstance(parts.batches, list | tuple)
        if self.inside:
            parts.module.register_forward_pre_hook(self.end, prepend=True)
        else:
            parts.batches = _Reported(parts.batches, self.end)
        if callable(parts.loss):
            on_loss(parts, self._noted)

    def _noted(self, loss: Any, *given: Any, **named: Any) -> Any:
        """The loss of the loop, noted with its targets."""
        value = loss(*given, **named)
        if torch.is_grad_enabled():
            ordered = (*given, *named.values())
            self._last = (value, named.get("target", ordered[1] if len(ordered) > 1 else None))
        return value

    def end(self, *_: Any) -> None:
        """Tell the watch of the step that is over."""
        if self._last is not None and self.watch is not None:
            (value, targets), self._last = self._last, None
            self.watch.step(value, targets=targets)


def watched(loop: Loop, parts: Parts, seed: int, lower: bool) -> Seen:
    """Train parts under the watch.

    Raises:
        UsageError: the loop returns no score.
    """
    plain = parts.loss
    steps = None if loop.takes_watch else _Steps(parts)
    mute = [] if steps is None else ["watch-unused"]
    if steps is not None and steps.inside:  # a step is over only within the next forward pass
        mute.append("weights-change-in-forward")
    guard = watch(parts.model, parts.optimizer, loss=plain, mute=mute)
    score, problem = math.nan, None
    with guard:
        if steps is not None:
            steps.watch = guard
        try:
            score = loop.run(parts, seed, guard)
        except PellucidError:
            raise
        except Exception as error:  # of somebody else's loop
            problem = error
        if steps is not None:
            steps.end()
            if math.isfinite(score):
                guard.validate({"loss": score} if lower else score)
    return Seen(score, guard.findings, problem, guard.steps == 0)
