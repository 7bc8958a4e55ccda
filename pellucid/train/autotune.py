"""Choose the execution mode and the number of threads by measurement, with the reason.

Every mode that could help (see `pellucid.train.execution`) is timed on copies of the user's model and a batch
of the user's data. Modes with a different loss are excluded. The choice is saved per machine.

A batch may have any structure that the objective's loss accepts.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pellucid.batch import signature
from pellucid.errors import ModelError, PellucidError, RunError, UnknownNameError
from pellucid.record import files
from pellucid.train.compiled import programs_from_cache
from pellucid.train.device import instructions
from pellucid.train.execution import EXECUTION_MODES, ExecutionMode, StepLoss, execution_mode
from pellucid.train.malloc import keeping_memory
from pellucid.train.trainer import MakeOptimizer
from pellucid.train.trial import Trial, bf16_refused, take_turns

MARGIN = 0.9
"""Another mode must take less than this share of the plain mode's time to be chosen."""
BUDGET = 2.0
"""Seconds of timing, unless the times scatter."""
SAVES = 0.5
"""Expected share that compiling saves of what is not a product or a convolution, before it is measured."""
WORTH = 2.0
"""Compiling is tried if it is expected to save this many times the seconds it takes."""
COMPILING = (4.0, 0.7)
"""Seconds of compiling on two cores, fixed and per weight tensor: 7 s for an MLP, 36 s for a small GPT."""
COMPARED, COMPARING = 30, 0.1
"""Steps that a comparison of modes may take, and the share of the time for training that it may take."""
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
    seconds: float | None = None,
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
        seconds: time for the updates, where it and not their number is known.
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
    timed = seconds is not None and steps > 0
    length = f"{round(seconds or 0).bit_length()} bits of seconds" if timed else str(steps.bit_length())
    key = _key(model, batch, device, length, make_optimizer)
    remembered = _recall(key)
    if remembered is not None:
        return remembered
    state = torch.get_rng_state()
    try:
        with keeping_memory():
            length_of = (lambda each: int((seconds or 0) / each)) if timed else steps
            tuned = _measure(model, batch, loss, device, length_of, make_optimizer, seconds)
    finally:
        torch.set_num_threads(every)
        torch.set_rng_state(state)
    _remember(key, asdict(tuned))
    return tuned


def ratio(
    first: str, second: str, model: nn.Module, batch: Any, loss: StepLoss, device: torch.device
) -> float:
    """Return how many times as long a step takes in the first mode as in the second."""
    state = torch.get_rng_state()
    trials = [Trial(EXECUTION_MODES[name], model, batch, loss, device) for name in (first, second)]
    with keeping_memory():
        for trial in trials:
            trial.step()
        one, other = take_turns([trial.step for trial in trials], BUDGET)
    torch.set_rng_state(state)
    return one / other


def _measure(
    model: nn.Module,
    batch: Any,
    loss: StepLoss,
    device: torch.device,
    steps: int | Callable[[float], int],
    make_optimizer: MakeOptimizer | None,
    room: float | None = None,
) -> Tuned:
    usual = Trial(ExecutionMode(), model, batch, loss, device)
    usual.step()  # warm-up
    every = Choice(torch.get_num_threads(), "what torch found")
    threads = _threads(usual, every.value) if device.type == "cpu" else every
    torch.set_num_threads(threads.value)
    if room is not None and (alone := usual.step()) * COMPARED > COMPARING * room:
        reason = (
            f"a step takes {alone:.2f} s, too long to compare ways to compute it in the time that is left"
        )
        return Tuned(Choice(usual.mode.name, reason), threads)
    trials, left_out = {usual.mode.name: usual}, {}
    for name, found in _others(usual, model, batch, loss, device):
        if isinstance(found, Trial):
            trials[name] = found
        else:
            left_out.setdefault(found, []).append(name)
    best, seconds, reason = _fastest(trials, usual)
    reason += "".join(f"; {', '.join(names)} left out: {why}" for why, names in left_out.items())
    steps = steps if isinstance(steps, int) else steps(seconds)
    if steps * seconds > sum(COMPILING):  # else it cannot be worth it
        best, more = _compiled(trials[best].mode, steps, (model, batch, loss, device, make_optimizer), room)
        reason += more
    return Tuned(Choice(best, f"measured on this model and batch: {reason}"), threads)


def usable(model: nn.Module, batch: Any, loss: StepLoss, device: torch.device) -> dict[str, str]:
    """Take a step and evaluate the batch in each mode that `autotune` would measure, compiled ones excepted.

    Returns:
        The modes, and why each is left out on this machine; "" if it is not.

    Raises:
        Exception: whatever torch raises in the plain mode.
    """
    state = torch.get_rng_state()
    usual = Trial(ExecutionMode(), model, batch, loss, device)
    usual.step()
    usual.infer()
    found = {usual.mode.name: ""}
    for name, trial in _others(usual, model, batch, loss, device):
        disagrees = isinstance(trial, Trial) and not trial.agrees(usual)
        found[name] = trial if isinstance(trial, str) else "another loss" if disagrees else ""
    torch.set_rng_state(state)
    return found


def _others(
    usual: Trial, model: nn.Module, batch: Any, loss: StepLoss, device: torch.device
) -> Iterator[tuple[str, Trial | str]]:
    """Yield every other mode that could help by name: a trial of it, or why it is left out."""
    for mode in _candidates(model, usual):
        if mode != usual.mode:
            refused = bf16_refused(device) if mode.bf16 else ""
            yield mode.name, refused or _attempt(mode, model, batch, loss, device)


def _attempt(
    mode: ExecutionMode, model: nn.Module, batch: Any, loss: StepLoss, device: torch.device
) -> Trial | str:
    """Return a trial that has taken its first step and evaluated a batch, or the reason why it cannot.

    Some machines lack kernels, e.g. for an LSTM in bfloat16 without AVX-512, and some kernels are only
    missing when no gradient is needed. Whatever torch raises, the mode is not usable.
    """
    try:
        trial = Trial(mode, model, batch, loss, device)
        trial.step()
        trial.infer()
        return trial
    except Exception as error:
        cause = error.__cause__ or error  # not its explanation, which is for the user's own mistakes
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        return f"it cannot run here ({lines[0][:160]})"


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
            f"train.execution={name} does not compute this model on this machine: {found}",
            remedy="--set train.execution=auto",
        )


def _candidates(model: nn.Module, usual: Trial) -> Iterator[ExecutionMode]:
    convolves = any(parameter.ndim == 4 for parameter in model.parameters())
    attends = usual.attends() and usual.device.type == "cpu"
    for mode in EXECUTION_MODES.values():
        if not mode.compiled and (convolves or not mode.channels_last) and (attends or not mode.math):
            yield mode


def _threads(usual: Trial, every: int) -> Choice:
    """Choose all threads, or one if a step is too small to share."""
    if every == 1 or usual.step() > SMALL:
        return Choice(every, "the number of threads torch uses by default")

    def step(count: int) -> Callable[[], float]:
        def timed() -> float:
            torch.set_num_threads(count)
            return usual.step()

        return timed

    shared, alone = take_turns([step(every), step(1)], BUDGET / 4)
    measured = _told({str(every): shared, "1": alone})
    best = every if shared < MARGIN * alone else 1
    return Choice(best, f"measured on this model and batch: {measured} a step")


def _fastest(trials: dict[str, Trial], usual: Trial) -> tuple[str, float, str]:
    """Return the fastest mode, its seconds, and the reason; the usual mode if no other is much faster."""
    times = dict(zip(trials, take_turns([t.step for t in trials.values()], BUDGET), strict=True))
    refused = [name for name, trial in trials.items() if not trial.agrees(usual)]
    best = usual.mode.name
    if best in refused:
        return best, times[best], "the loss is not finite on the first batch, so nothing was compared"
    same = {name: seconds for name, seconds in times.items() if name not in refused}
    fastest = min(same, key=lambda name: same[name])
    best = fastest if same[fastest] < MARGIN * same[best] else best
    dropped = f"; {', '.join(refused)} left out: another loss" if refused else ""
    return best, times[best], f"{_told(same)} a step{dropped}"


def _compiled(mode: ExecutionMode, steps: int, parts: tuple[Any, ...], room: float | None) -> tuple[str, str]:
    """Try compiled updates in a mode if they can save enough in this run.

    Returns:
        The name of the faster mode, and the reason.
    """
    plain = Trial(mode, *parts)
    plain.step()
    seconds, costs = take_turns([plain.step], BUDGET / 20)[0], _seconds_of_compiling(plain.model)
    products = min(plain.products(), seconds) if plain.device.type == "cpu" else 0.0
    saves = steps * (seconds - products) * SAVES
    if saves < WORTH * costs or (room is not None and costs > COMPARING * room):
        expected = f"to save {saves:.0f} s of this run and to take {costs:.0f} s"
        return mode.name, f"; compiling the update was expected {expected}, so it was not tried"
    began, cached = time.perf_counter(), programs_from_cache()
    try:
        program = Trial(replace(mode, compiled=True), *parts)
        program.step()
    except ModelError as error:
        return mode.name, f"; compiling failed: {error.message[:200]}"
    took = time.perf_counter() - began
    if programs_from_cache() == cached:
        _remember_compiling(plain.model, took)
    best, _, reason = _fastest({mode.name: plain, program.mode.name: program}, plain)
    return best, f"; the run is long, so compiling the update was tried, which took {took:.0f} s: {reason}"


def _told(times: dict[str, float]) -> str:
    return ", ".join(f"{name} {1000 * seconds:.2f} ms" for name, seconds in times.items())


# ---- what is saved per machine, so that two equal runs use the same mode ----------------------------


def _key(
    model: nn.Module, batch: Any, device: torch.device, length: str, make_optimizer: MakeOptimizer | None
) -> str:
    parts = [
        str(model),
        str(signature(batch)),
        str(device),
        torch.__version__,
        instructions(),
        platform.processor(),
    ]
    parts += [str(torch.get_num_threads())]
    parts += [length]  # runs of similar length share a choice
    parts += [str(getattr(make_optimizer, "args", ""))]  # the optimizer's name
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:24]


def _recall(key: str) -> Tuned | None:
    try:
        kept = _read(key)
        tuned = Tuned(Choice(**kept["execution"]), Choice(**kept["threads"]))
        count = tuned.threads.value
        possible = type(count) is int and 1 <= count <= torch.get_num_threads()
        worded = isinstance(tuned.execution.reason, str) and isinstance(tuned.threads.reason, str)
        return tuned if tuned.execution.value in EXECUTION_MODES and possible and worded else None
    except (OSError, RunError, KeyError, TypeError):
        return None


def _remember(key: str, value: dict[str, Any]) -> None:
    with contextlib.suppress(OSError, PellucidError):
        files.write_json(_file(key), value)


def _read(key: str) -> Any:
    return files.read_json(_file(key))


def _file(key: str) -> Path:
    return files.cache_folder() / "execution" / f"{key}.json"


def _seconds_of_compiling(model: nn.Module) -> float:
    """Expect what compiling took on this machine the last time, for the number of weights."""
    usual = _usual_seconds(model)
    try:
        return usual * min(max(float(_read(_compiling_key())["pace"]), 0.1), 10.0)
    except (OSError, RunError, ValueError, KeyError, TypeError, OverflowError):
        return usual


def _remember_compiling(model: nn.Module, seconds: float) -> None:
    if usual := _usual_seconds(model):
        _remember(_compiling_key(), {"pace": seconds / usual})


def _usual_seconds(model: nn.Module) -> float:
    fixed, each = COMPILING
    return fixed + each * sum(1 for _ in model.parameters())


def _compiling_key() -> str:
    parts = ["compiling", torch.__version__, instructions(), platform.processor()]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:24]
