"""The parts of a training loop, and a loop as a function of them."""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.errors import UsageError
from pellucid.lens.watch.reading import as_module, as_optimizers

Train = Callable[..., Any]
Make = Callable[..., Any]
OPTIONAL = ("epochs", "batch_size", "seed", "watch")
"""What a loop is given besides its parts, by name, if it takes it."""


class Unfit(Exception):
    """A remedy cannot be applied to these parts; the text says why."""


@dataclass
class Parts:
    """What a training loop works with. Remedies change them before it starts.

    Attributes:
        model: any module, or several in a dict or list.
        optimizer: one, or a list.
        loss: called with outputs and targets.
        batches: a DataLoader, a list of (inputs, targets), or all rows as one pair of tensors for a loop that
            makes batches itself.
        epochs, batch_size: where the loop takes them as arguments of these names.
        said: what remedies changed, as phrases.
    """

    model: Any
    optimizer: Any
    loss: Callable[..., Any]
    batches: Any
    epochs: int | None = None
    batch_size: int | None = None
    said: list[str] = field(default_factory=list)

    @property
    def module(self) -> nn.Module:
        """The model as one module."""
        return as_module(self.model)

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        """All optimizers."""
        return as_optimizers(self.optimizer)

    def only_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimizer of a loop that has one.

        Raises:
            Unfit: there are several, or none.
        """
        if len(self.optimizers) != 1:
            raise Unfit(f"the loop has {len(self.optimizers)} optimizers")
        return self.optimizers[0]

    def say(self, phrase: str) -> Parts:
        """Note what was changed."""
        self.said.append(phrase)
        return self


def as_parts(made: Any) -> Parts:
    """Read what `make` returned: `Parts`, a dict, or (model, optimizer, loss, batches).

    Raises:
        UsageError: says what came instead.
    """
    if isinstance(made, Parts):
        return made
    if isinstance(made, dict) and {"model", "optimizer", "loss", "batches"} <= set(made):
        known = {one.name for one in fields(Parts)}
        return Parts(**{name: value for name, value in made.items() if name in known})
    if isinstance(made, tuple | list) and len(made) == 4:
        return Parts(*made)
    what = f"{len(made)} things" if isinstance(made, tuple | list) else type(made).__name__
    raise UsageError(
        f"make() must return (model, optimizer, loss, batches); received {what}.",
        remedy="return model, optimizer, loss_fn, loader, all made anew in each call",
    )


def seeded(seed: int) -> None:
    """Start all random numbers that a loop may draw."""
    random.seed(seed)
    np.random.seed(seed)  # a loop may use it
    torch.manual_seed(seed)


class Loop:
    """A user's loop: makes parts, trains them and counts what that takes.

    Args:
        train: returns a score on rows that are not trained on; it is called with model, optimizer, loss and
            batches, and by name with those of `OPTIONAL` that it takes.
        make: returns the parts anew; it is given `seed` if it has an argument.
    """

    def __init__(self, train: Train, make: Make) -> None:
        self.train, self._make = train, make
        self.training_runs, self.seconds, self.steps = 0, 0.0, 0
        self._takes = _names(train)
        self._seeded_make = "seed" in _names(make) or _asks(make)
        self._models: set[int] = set()
        self._kept: list[Any] = []  # so that ids stay unique

    @property
    def takes_watch(self) -> bool:
        """Whether the loop calls a watch itself."""
        return "watch" in self._takes

    def make(self, seed: int) -> Parts:
        """Return new parts; where `make` returns the same model again, a copy."""
        seeded(seed)
        parts = as_parts(self._make(seed) if self._seeded_make else self._make())
        if id(parts.model) in self._models:
            parts.model, parts.optimizer = copy.deepcopy((parts.model, parts.optimizer))
        elif not self._models:
            self._models.add(id(parts.model))
            self._kept.append(parts.model)
            again = as_parts(self._make(seed) if self._seeded_make else self._make())
            if again.model is parts.model:
                parts.model, parts.optimizer = copy.deepcopy((parts.model, parts.optimizer))
        return parts

    def run(self, parts: Parts, seed: int, watch: Any = None) -> float:
        """Train and return the score; NaN where it is not finite."""
        given = {"epochs": parts.epochs, "batch_size": parts.batch_size, "seed": seed, "watch": watch}
        named = {name: given[name] for name in OPTIONAL if name in self._takes}
        seeded(seed + 1_000_003)
        start = time.perf_counter()
        with _counted(parts) as steps:
            try:
                score = _score(self.train(parts.model, parts.optimizer, parts.loss, parts.batches, **named))
            finally:
                self.training_runs += 1
                self.seconds += time.perf_counter() - start
                self.steps = steps[0]
        return score if math.isfinite(score) else math.nan


@contextlib.contextmanager
def _counted(parts: Parts) -> Iterator[list[int]]:
    """Count the steps of the first optimizer."""
    steps = [0]

    def count(*_: Any) -> None:
        steps[0] += 1

    hooks = [one.register_step_post_hook(count) for one in parts.optimizers[:1]]
    try:
        yield steps
    finally:
        for hook in hooks:
            hook.remove()


def _names(function: Callable[..., Any]) -> list[str]:
    """The names of the arguments; all of `OPTIONAL` where it takes any."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    if any(one.kind is one.VAR_KEYWORD for one in found):
        return [*(one.name for one in found), *OPTIONAL]
    return [one.name for one in found]


def _asks(function: Callable[..., Any]) -> bool:
    """Whether it has an argument without a default."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(one.default is one.empty and one.kind in (0, 1) for one in found)


def _score(value: Any) -> float:
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, int | float | np.number):
        return float(value)
    raise UsageError(
        f"train(...) must return its score as one number; received {type(value).__name__}.",
        remedy="return accuracy, measured on rows that are not trained on",
    )
