"""Time a step in an execution mode, on a copy of the model."""

from __future__ import annotations

import copy
import functools
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from pellucid.errors import ModelError
from pellucid.train.adamw import FusedAdamW
from pellucid.train.compiled import CompiledUpdate, make_update
from pellucid.train.execution import ExecutionMode, StepLoss
from pellucid.train.objective import Phase
from pellucid.train.trainer import MakeOptimizer

AGREEMENT = 0.05
"""Largest relative difference from the loss of the plain mode."""
ENOUGH = 20
"""Maximum number of rounds, unless the times scatter."""
SCATTER = 1.1
"""The second-fastest time divided by the fastest, above which other programs may have disturbed both."""
NEAR = 1.5
"""Steps that take more than this many times as long as the fastest are not timed again."""
PATIENCE = 3.0
"""How many times the budget may be spent on times that scatter."""
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "convolution", "lstm", "gru", "attention")
"""Parts of the names of torch's operators that compiling leaves as they are."""


class Trial:
    """A trial of a mode on a copy of the model: gradients, or whole updates with an optimizer.

    Attributes:
        losses: of the first two steps; the second shows what the first did to the weights.
    """

    def __init__(
        self,
        mode: ExecutionMode,
        model: nn.Module,
        batch: Any,
        loss: StepLoss,
        device: torch.device,
        make_optimizer: MakeOptimizer | None = None,
    ):
        self.mode, self.loss_of, self.device = mode, loss, device
        self.model = mode.place_model(copy.deepcopy(model), device)
        self.batch = mode.place_batch(batch, device)
        learned = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.whole = make_optimizer is not None
        optimizer = make_optimizer(learned) if make_optimizer else FusedAdamW(learned, lr=0.0)
        self.update = make_update(
            self.model, Phase("trial", loss, lambda _: learned), optimizer, mode, device
        )
        self.losses: list[float] = []

    def step(self) -> float:
        """Take a step and return its seconds; that of the first includes what is only done once."""
        torch.manual_seed(0)
        began = time.perf_counter()
        value = self._compute().item()
        seconds = time.perf_counter() - began
        if not self.losses:
            self._require_program()
        if len(self.losses) < 2:
            self.losses.append(value)
        return seconds

    def _compute(self) -> Tensor:
        if self.whole:
            return self.update([self.batch])
        loss = self.update.backward(self.batch, 1)
        self.model.zero_grad(set_to_none=True)
        return loss

    def _require_program(self) -> None:
        """Fail if a compiled update has fallen back to the plain one, which is timed already."""
        if isinstance(self.update, CompiledUpdate) and self.update.refused:
            raise ModelError(self.update.refused)

    def infer(self) -> None:
        """Compute the loss as in validation, for which torch has different kernels."""
        self.model.eval()
        with torch.no_grad(), self.mode.computing(self.device):
            self.loss_of(self.model, self.batch)
        self.model.train()

    def agrees(self, other: Trial) -> bool:
        """Return whether two modes have the same losses; a non-finite loss never agrees."""
        pairs = zip(self.losses, other.losses, strict=False)
        return all(abs(mine - theirs) <= AGREEMENT * abs(theirs) + 1e-6 for mine, theirs in pairs)

    def attends(self) -> bool:
        """Return whether the model calls torch's attention."""
        with _Calls() as calls, torch.no_grad():
            self.loss_of(self.model, self.batch)
        return F.scaled_dot_product_attention in calls.seen

    def products(self) -> float:
        """Return the seconds of a step that matrix products, convolutions and recurrent layers take."""
        with _Products() as timer:
            self.step()
        return timer.seconds


def take_turns(steps: Sequence[Callable[[], float]], budget: float) -> list[float]:
    """Return the fewest seconds of each step.

    The steps take turns, so that other programs disturb all of them equally; as they can only add time, the
    minimum is closest to what a step takes. While a minimum was reached only once, there are more rounds.

    Args:
        steps: each takes a step and returns its seconds.
        budget: seconds after which no more rounds begin; three times as many if the times scatter.
    """
    rounds: list[list[float]] = []
    began = time.perf_counter()
    for number in itertools.count(1):
        rounds.append([step() for step in steps])
        passed = time.perf_counter() - began
        if passed > PATIENCE * budget or ((number >= ENOUGH or passed > budget) and not _scatter(rounds)):
            break
    return [min(times) for times in zip(*rounds, strict=True)]


def _scatter(rounds: list[list[float]]) -> bool:
    """Whether the fastest time of a step that may be the best was reached only once."""
    fastest = min(map(min, rounds))
    for times in zip(*rounds, strict=True):
        first, *others = sorted(times)
        if first < NEAR * fastest and (not others or others[0] > SCATTER * first):
            return True
    return False


@functools.cache
def bf16_refused(device: torch.device) -> str:
    """Return why products in bfloat16 are not worth a trial here; "" if they are.

    A processor without instructions for bfloat16 imitates it, at many times the cost of float32.
    """
    seconds = take_turns([_product(kind, device) for kind in (torch.float32, torch.bfloat16)], 0.05)
    plain, half = (1000 * value for value in seconds)
    return "" if half < plain else f"a small product takes {half:.2f} ms, in float32 {plain:.2f}"


def _product(kind: torch.dtype, device: torch.device, side: int = 256) -> Callable[[], float]:
    factor = torch.ones(side, side, dtype=kind, device=device)

    def multiply() -> float:
        began = time.perf_counter()
        (factor @ factor)[0, 0].item()
        return time.perf_counter() - began

    multiply()  # the first prepares kernels
    return multiply


class _Calls(TorchFunctionMode):
    """Record which of torch's functions are called."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[Any] = set()

    def __torch_function__(self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(func)
        return func(*args, **(kwargs or {}))


class _Products(TorchDispatchMode):
    """Add up the seconds of operators that compiling leaves as they are."""

    seconds = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        began = time.perf_counter()
        made = func(*args, **(kwargs or {}))
        if any(part in func.__name__ for part in PRODUCTS):
            self.seconds += time.perf_counter() - began
        return made
