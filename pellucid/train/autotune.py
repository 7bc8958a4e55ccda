"""Choose the execution mode and the number of threads by measurement, with the reason.

Every mode that could help (see `pellucid.train.execution`) is timed on copies of the user's model and a batch
of the user's data. Modes with a different loss are excluded. The choice is saved per machine.

A batch may have any structure that the objective's loss accepts.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import platform
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pellucid.batch import signature
from pellucid.errors import ModelError, PellucidError, UnknownNameError
from pellucid.record import files
from pellucid.train.compiled import CompiledUpdate, make_update
from pellucid.train.execution import EXECUTION_MODES, ExecutionMode, StepLoss, execution_mode
from pellucid.train.malloc import keeping_memory
from pellucid.train.objective import Phase
from pellucid.train.trainer import MakeOptimizer

MARGIN = 0.9
"""Another mode must take less than this share of the plain mode's time to be chosen."""
AGREEMENT = 0.05
"""Largest relative difference from the loss of the plain mode."""
BUDGET = 2.0
"""Maximum seconds of timing."""
ENOUGH = 20
"""Maximum number of timed steps of each mode."""
SAVES = 0.25
"""Expected share of a step that compiling saves, before it is measured."""
COMPILING = (4.0, 0.7)
"""Seconds of compiling on two cores, fixed and per weight tensor: 7 s for an MLP, 36 s for a small GPT."""
SMALL = 0.05
"""Seconds of a step above which all threads are used without a comparison."""


@dataclass(frozen=True)
class Choice:
    """An automatic choice and its reason in words."""

    value: Any
    reason: str


@dataclass(frozen=True)
class Tuned:
    """The choice of how steps are computed.

    Attributes:
        execution: name of the execution mode.
        threads: number of CPU threads.
    """

    execution: Choice
    threads: Choice


def autotune(
    wanted: str,
    model: nn.Module,
    batch: Any,
    loss: StepLoss,
    device: torch.device,
    *,
    steps: int = 0,
    make_optimizer: MakeOptimizer | None = None,
) -> Tuned:
    """Return the requested execution mode, or the fastest one measured.

    Args:
        wanted: name of a mode, or "auto".
        model: the model; it is copied, not changed.
        batch: a batch of the size used in training.
        loss: `loss(model, batch)`, the loss of a step.
        device: the device to compute on.
        steps: number of updates with batches of this shape; compiling is tried if it pays off. 0 for never.
        make_optimizer: parameters -> optimizer, which a compiled update can include; None for only gradients.

    Raises:
        UnknownNameError: there is no mode of this name.
    """
    every = torch.get_num_threads()
    if wanted != "auto":
        if wanted not in EXECUTION_MODES:
            raise UnknownNameError("execution mode", wanted, ["auto", *EXECUTION_MODES])
        return Tuned(
            Choice(wanted, "asked for"), Choice(every, "the number of threads torch uses by default")
        )
    key = _key(model, batch, device, steps, make_optimizer)
    remembered = _recall(key)
    if remembered is not None:
        return remembered
    state = torch.get_rng_state()
    try:
        with keeping_memory():
            tuned = _measure(model, batch, loss, device, steps, make_optimizer)
    finally:
        torch.set_num_threads(every)
        torch.set_rng_state(state)
    _remember(key, tuned)
    return tuned


def ratio(
    first: str, second: str, model: nn.Module, batch: Any, loss: StepLoss, device: torch.device
) -> float:
    """Return how many times as long a step takes in the first mode as in the second."""
    state = torch.get_rng_state()
    trials = [_Trial(EXECUTION_MODES[name], model, batch, loss, device) for name in (first, second)]
    with keeping_memory():
        for trial in trials:
            trial.step()
        _take_turns([trial.step for trial in trials], time.perf_counter() + BUDGET)
    torch.set_rng_state(state)
    return statistics.median(trials[0].seconds) / statistics.median(trials[1].seconds)


def _measure(
    model: nn.Module,
    batch: Any,
    loss: StepLoss,
    device: torch.device,
    steps: int,
    make_optimizer: MakeOptimizer | None,
) -> Tuned:
    began = time.perf_counter()
    usual = _Trial(ExecutionMode(), model, batch, loss, device)
    usual.step()  # warm-up
    usual.step()
    threads = _threads(usual) if device.type == "cpu" else Choice(torch.get_num_threads(), "not the CPU")
    torch.set_num_threads(threads.value)
    trials, failed = {usual.mode.name: usual}, {}
    for mode in _candidates(model, usual):
        if mode != usual.mode:
            found = _attempt(mode, model, batch, loss, device)
            if isinstance(found, _Trial):
                trials[mode.name] = found
            else:
                failed[mode.name] = found
    usual.seconds.clear()  # some were measured with another number of threads
    _take_turns([trial.step for trial in trials.values()], began + BUDGET)
    best, reason = _fastest(trials, "eager")
    reason += "".join(f"; {name} cannot run here ({why})" for name, why in failed.items())
    seconds = statistics.median(trials[best].seconds)
    first, each = COMPILING
    if steps * seconds * SAVES > first + each * sum(1 for _ in model.parameters()):
        best, more = _compiled(EXECUTION_MODES[best], seconds, (model, batch, loss, device, make_optimizer))
        reason += more
    return Tuned(Choice(best, f"measured on this model and batch: {reason}"), threads)


def _attempt(
    mode: ExecutionMode, model: nn.Module, batch: Any, loss: StepLoss, device: torch.device
) -> _Trial | str:
    """Return a trial that has taken its first step and evaluated a batch, or the reason why it cannot.

    Some machines lack kernels, e.g. for an LSTM in bfloat16 without AVX-512, and some kernels are only
    missing when no gradient is needed. Whatever torch raises, the mode is not usable.
    """
    try:
        trial = _Trial(mode, model, batch, loss, device)
        trial.step()
        trial.infer()
        return trial
    except Exception as error:
        cause = error.__cause__ or error  # not its explanation, which is for the user's own mistakes
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        return lines[0][:160]


def check_mode(name: str, model: nn.Module, batch: Any, loss: StepLoss, device: torch.device) -> None:
    """Refuse a mode that cannot run this model on this machine.

    Of a compiled mode, the precision and the layout are tried: an update that cannot be compiled is computed
    as written.

    Raises:
        UnknownNameError: there is no mode of this name.
        ModelError: it cannot run.
    """
    mode = replace(execution_mode(name), compiled=False)
    if mode == ExecutionMode():
        return
    state = torch.get_rng_state()
    try:
        found = _attempt(mode, model, batch, loss, device)
    finally:
        torch.set_rng_state(state)
    if isinstance(found, str):
        raise ModelError(
            f"train.execution={name} cannot run this model on this machine: {found}",
            remedy="--set train.execution=auto",
        )


def _candidates(model: nn.Module, usual: _Trial) -> Iterator[ExecutionMode]:
    convolves = any(parameter.ndim == 4 for parameter in model.parameters())
    attends = usual.attends() and usual.device.type == "cpu"
    for mode in EXECUTION_MODES.values():
        if not mode.compiled and (convolves or not mode.channels_last) and (attends or not mode.math):
            yield mode


def _threads(usual: _Trial) -> Choice:
    """Choose all threads, or one if a step is too small to share."""
    every = torch.get_num_threads()
    if every == 1 or usual.seconds[-1] > SMALL:
        return Choice(every, "the number of threads torch uses by default")
    times: dict[int, list[float]] = {every: [], 1: []}

    def step(count: int) -> None:
        torch.set_num_threads(count)
        usual.step()
        times[count].append(usual.seconds[-1])

    _take_turns([lambda: step(every), lambda: step(1)], time.perf_counter() + BUDGET / 4)
    medians = {count: statistics.median(seconds) for count, seconds in times.items()}
    best = every if medians[every] < MARGIN * medians[1] else 1
    measured = ", ".join(f"{count} {1000 * seconds:.2f} ms" for count, seconds in medians.items())
    return Choice(best, f"measured on this model and batch: {measured} a step")


def _take_turns(steps: Sequence[Any], deadline: float) -> None:
    """Time steps alternately, so that other load on the machine affects all of them equally."""
    for _ in range(ENOUGH):
        for step in steps:
            step()
        if time.perf_counter() > deadline:
            return


def _fastest(trials: dict[str, _Trial], usual: str) -> tuple[str, str]:
    same = {name: trial for name, trial in trials.items() if trial.agrees(trials[usual])}
    if not same:
        return usual, "the loss is not finite on the first batch, so nothing was compared"
    times = {name: statistics.median(trial.seconds) for name, trial in same.items()}
    best = min(times, key=lambda name: times[name])
    if times[best] > MARGIN * times[usual]:
        best = usual
    refused = [name for name in trials if name not in same]
    dropped = f"; {', '.join(refused)} left out: another loss" if refused else ""
    return best, f"{_told(times)} a step{dropped}"


def _compiled(mode: ExecutionMode, seconds: float, parts: tuple[Any, ...]) -> tuple[str, str]:
    """Try compiled updates in the same mode; return the faster of the two and the reason."""
    began = time.perf_counter()
    try:
        trial = _Trial(replace(mode, compiled=True), *parts)
        trial.step()
    except ModelError as error:
        return mode.name, f"; compiling failed: {error.message[:200]}"
    took = time.perf_counter() - began
    before = _Trial(mode, *parts)
    before.step()
    _take_turns([trial.step, before.step], time.perf_counter() + max(BUDGET / 2, 4 * seconds))
    best, reason = _fastest({mode.name: before, trial.mode.name: trial}, mode.name)
    return best, f"; the run is long, so compiling the update was tried, which took {took:.0f} s: {reason}"


def _told(times: dict[str, float]) -> str:
    return ", ".join(f"{name} {1000 * seconds:.2f} ms" for name, seconds in times.items())


class _Trial:
    """A trial of a mode on a copy of the model: gradients, or whole updates with an optimizer."""

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
        optimizer = make_optimizer(learned) if make_optimizer else torch.optim.SGD(learned, lr=0.0)
        self.update = make_update(
            self.model, Phase("trial", loss, lambda _: learned), optimizer, mode, device
        )
        self.seconds: list[float] = []
        self.loss: float | None = None

    def step(self) -> None:
        torch.manual_seed(0)
        start = time.perf_counter()
        value = self._compute().item()
        if self.loss is None:  # the first step is a warm-up, and its loss is compared
            self.loss = value
            self._require_program()
        else:
            self.seconds.append(time.perf_counter() - start)

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

    def agrees(self, other: _Trial) -> bool:
        """Return whether two modes have the same loss; a non-finite loss never agrees."""
        assert self.loss is not None
        assert other.loss is not None
        return abs(self.loss - other.loss) <= AGREEMENT * abs(other.loss) + 1e-6

    def attends(self) -> bool:
        """Return whether the model calls torch's attention."""
        with _Calls() as calls, torch.no_grad():
            self.loss_of(self.model, self.batch)
        return F.scaled_dot_product_attention in calls.seen


class _Calls(TorchFunctionMode):
    """Record which of torch's functions are called."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[Any] = set()

    def __torch_function__(self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(func)
        return func(*args, **(kwargs or {}))


# ---- choices saved per machine, so that two equal runs use the same mode ----------------------------


def _key(
    model: nn.Module, batch: Any, device: torch.device, steps: int, make_optimizer: MakeOptimizer | None
) -> str:
    parts = [str(model), str(signature(batch)), str(device), torch.__version__, platform.processor()]
    parts += [str(torch.get_num_threads()), torch.backends.cpu.get_cpu_capability(), platform.machine()]
    parts += [str(steps.bit_length())]  # runs of similar length share a choice
    parts += [str(getattr(make_optimizer, "args", ""))]  # the optimizer's name
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:24]


def _recall(key: str) -> Tuned | None:
    try:
        kept = json.loads((files.cache_folder() / "execution" / f"{key}.json").read_text(encoding="utf-8"))
        tuned = Tuned(Choice(**kept["execution"]), Choice(**kept["threads"]))
        possible = tuned.threads.value in range(1, torch.get_num_threads() + 1)
        return tuned if tuned.execution.value in EXECUTION_MODES and possible else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(key: str, tuned: Tuned) -> None:
    with contextlib.suppress(OSError, PellucidError):
        files.write_json(files.cache_folder() / "execution" / f"{key}.json", asdict(tuned))
