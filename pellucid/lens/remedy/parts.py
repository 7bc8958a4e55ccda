"""The parts of a training loop, and a loop as a function of them."""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
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
LENGTHS = ("epochs", "batch_size")
"""Those of them that a remedy may change."""


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
        epochs, batch_size: where the loop takes them as arguments of these names; a default value of the
            argument is taken where they are None.
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
        return replace(made, said=[])  # it may be the same object in each call
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


@contextlib.contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Have the random numbers go on afterwards where they were."""
    ours, numpys = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)


class Loop:
    """A user's loop: makes parts, trains them and counts what that takes.

    Args:
        train: returns a score on rows that are not trained on; it is called with model, optimizer, loss and
            batches, and by name with those of `OPTIONAL` that it takes.
        make: returns the parts anew; it is given `seed` if it has an argument.

    Raises:
        UsageError: they cannot be called so.
    """

    def __init__(self, train: Train, make: Make) -> None:
        self.train, self._make = train, make
        self.training_runs, self.seconds, self.steps = 0, 0.0, 0
        taken = _parameters(train)
        anything = any(one.kind is one.VAR_KEYWORD for one in taken.values())
        self._takes = [name for name in OPTIONAL if name in taken or (anything and name in LENGTHS)]
        self._needs = [
            name for name in self._takes if name in taken and taken[name].default is inspect.Parameter.empty
        ]
        self._defaults = {
            name: taken[name].default for name in LENGTHS if name in taken and name not in self._needs
        }
        self._seeds = _seed_of(_parameters(make))
        self._first: Any = None
        _need_call(train, "train(model, optimizer, loss, batches)", *range(4), **dict.fromkeys(self._needs))

    @property
    def takes_watch(self) -> bool:
        """Whether the loop calls a watch itself."""
        return "watch" in self._takes

    def make(self, seed: int) -> Parts:
        """Return new parts; where `make` returns the same model again, a copy.

        Raises:
            UsageError: `make` returns something else, or the same iterator again.
        """
        seeded(seed)
        parts = self._new(seed)
        if self._first is None:
            self._first = parts.module
            again = self._new(seed)
            if again.batches is parts.batches and is_iterator(parts.batches):
                raise UsageError(
                    "make() returned the same iterator of batches twice; after one training it is empty.",
                    remedy="make the generator or iterator within make(), or return a DataLoader or a list",
                )
            shared = _shares(again.module, self._first)
        else:
            shared = _shares(parts.module, self._first)
        if shared:
            parts.model, parts.optimizer = copy.deepcopy((parts.model, parts.optimizer))
        return parts

    def _new(self, seed: int) -> Parts:
        """Return what `make` returns, with the epochs and batch size that the loop trains with."""
        parts = as_parts(self._make(**{self._seeds: seed}) if self._seeds else self._make())
        for name in LENGTHS:
            value = getattr(parts, name)
            if value is None and isinstance(self._defaults.get(name), int):
                value = self._defaults[name]
            if value is None and name in self._needs:
                raise UsageError(
                    f"train() takes {name}, but make() returns none.",
                    remedy=f"return pellucid.lens.remedy.Parts(model, optimizer, loss, batches, {name}=...), "
                    f"or give {name} of train() a default value",
                )
            setattr(parts, name, value if name in self._takes else None)
        return parts

    def run(self, parts: Parts, seed: int, watch: Any = None) -> float:
        """Train and return the score; NaN where it is not finite."""
        given = {"epochs": parts.epochs, "batch_size": parts.batch_size, "seed": seed, "watch": watch}
        named = {name: given[name] for name in self._takes if given[name] is not None or name in self._needs}
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


def is_iterator(batches: Any) -> bool:
    """Whether batches can be read only once: those of a generator, `zip`, `iter(loader)` and the like.

    A loader of somebody's own may be an iterator too, and start again at each `iter`.
    """
    known = ("builtins", "itertools", "torch.utils.data.dataloader")
    return isinstance(batches, Iterator) and type(batches).__module__ in known


def _shares(model: nn.Module, other: nn.Module) -> bool:
    """Whether two models are one, or have a parameter in common."""
    ours = {id(one) for one in other.parameters()}
    return model is other or any(id(one) in ours for one in model.parameters())


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The arguments of a function; none where they cannot be read."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _seed_of(taken: Mapping[str, inspect.Parameter]) -> str:
    """The argument of `make` that is given the seed; "" if there is none."""
    if "seed" in taken:
        return "seed"
    needed = (name for name, one in taken.items() if one.default is inspect.Parameter.empty)
    return next((name for name in needed if taken[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD), "")


def _need_call(function: Callable[..., Any], how: str, *given: Any, **named: Any) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*given, **named)
    except TypeError as error:
        raise UsageError(
            f"train is called as {how}, but yours is train{signature}: {error}.",
            remedy="let it get what else it needs from outside, e.g. by functools.partial(train, name=...)",
        ) from error


def _score(value: Any) -> float:
    if isinstance(value, Tensor | np.ndarray) and math.prod(value.shape) == 1:
        value = value.item()
    if isinstance(value, int | float | np.number):
        return float(value)
    raise UsageError(
        f"train(...) must return its score as one number; received {type(value).__name__}.",
        remedy="return accuracy, measured on rows that are not trained on",
    )
