"""Which device, and how a step is computed on it: both chosen by measurement, with the reason.

A *path* is a way to compute the same step: `eager` (float32 as written), `channels_last` (images laid
out pixel by pixel, which convolutions on most machines prefer), `bf16` (matrix products in bfloat16,
weights in float32: mixed precision), or both. Paths are timed on the user's own model and batch, kept
per machine, and part of a checkpoint: a resumed run keeps its path.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pellucid.errors import PellucidError, UnknownNameError, UsageError
from pellucid.record import files

MARGIN = 0.9  # another path must take less than this share of eager's time to be worth leaving it
AGREEMENT = 0.05  # and its loss may differ from eager's by this share
BUDGET = 2.0  # seconds of timing


@dataclass(frozen=True)
class Choice:
    """Something decided for the person: what, and why in words."""

    value: str
    reason: str


@dataclass(frozen=True)
class StepPath:
    """A way to compute a step."""

    name: str
    channels_last: bool = False
    bf16: bool = False

    def place(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Move a model to the device, in the layout of this path."""
        model = model.to(device)
        if (
            self.channels_last
        ):  # also sets the strides of one-channel weights, by which torch picks its kernel
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model

    def batch(self, inputs: torch.Tensor) -> torch.Tensor:
        """Lay out a batch as the model is laid out."""
        if self.channels_last and inputs.ndim == 4:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        """The precision of the forward pass."""
        if not self.bf16:
            return contextlib.nullcontext()
        return torch.autocast(device.type, torch.bfloat16)


PATHS = {
    path.name: path
    for path in (
        StepPath("eager"),
        StepPath("channels_last", channels_last=True),
        StepPath("bf16", bf16=True),
        StepPath("bf16_channels_last", channels_last=True, bf16=True),
    )
}


def choose_device(wanted: str = "auto") -> tuple[torch.device, str]:
    """Return the device and the reason for it.

    Raises:
        UsageError: the device that was asked for is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted != "auto":
        if not there.get(wanted, False):
            raise UsageError(
                f"train.device is {wanted!r}, which this machine does not have.", remedy="train.device=auto"
            )
        return torch.device(wanted), "asked for"
    if there["cuda"]:
        return torch.device("cuda"), f"CUDA is available: {torch.cuda.get_device_name()}"
    if there["mps"]:
        return torch.device("mps"), "an Apple GPU is available"
    return torch.device("cpu"), f"no GPU was found; {torch.get_num_threads()} CPU threads"


def choose_path(
    wanted: str,
    model: nn.Module,
    batch: tuple[torch.Tensor, torch.Tensor],
    loss: Callable[[nn.Module, Any], torch.Tensor],
    device: torch.device,
) -> Choice:
    """Return how a step is computed: as asked, or the fastest of the measured paths.

    Args:
        wanted: a path's name, or "auto".
        model: the model; it is copied, never changed.
        batch: one batch of the size that will be trained on.
        loss: `loss(model, batch)`, the loss of one step.
        device: where it runs.
    """
    if wanted != "auto":
        if wanted not in PATHS:
            raise UnknownNameError("path", wanted, ["auto", *PATHS])
        return Choice(wanted, "asked for")
    key = _key(model, batch, device)
    remembered = _recall(key)
    if remembered is not None:
        return remembered
    choice = _measure(model, batch, loss, device)
    _remember(key, choice)
    return choice


def _measure(model: nn.Module, batch: Any, loss: Callable[..., torch.Tensor], device: torch.device) -> Choice:
    state = torch.get_rng_state()
    convolves = any(parameter.ndim == 4 for parameter in model.parameters())
    candidates = [path for path in PATHS.values() if convolves or not path.channels_last]
    trials = {path.name: _Trial(path, model, batch, loss, device) for path in candidates}
    for trial in trials.values():
        trial.step()  # warm-up
    deadline = time.perf_counter() + BUDGET
    while time.perf_counter() < deadline:
        for trial in trials.values():  # interleaved, so that a busy moment hits all alike
            trial.step()
        if len(trials["eager"].seconds) >= 20:
            break
    torch.set_rng_state(state)
    eager = trials["eager"]
    same = {n: t for n, t in trials.items() if abs(t.loss - eager.loss) <= AGREEMENT * abs(eager.loss) + 1e-6}
    times = {name: statistics.median(trial.seconds) for name, trial in same.items()}
    if not times:
        return Choice("eager", "the loss is not finite on the first batch, so nothing was compared")
    best = min(times, key=lambda name: times[name])
    if times[best] > MARGIN * times["eager"]:
        best = "eager"
    measured = ", ".join(f"{name} {1000 * seconds:.2f} ms" for name, seconds in times.items())
    refused = [name for name in trials if name not in same]
    dropped = f"; {', '.join(refused)} left out: another loss" if refused else ""
    return Choice(best, f"measured on this model and batch: {measured} a step{dropped}")


class _Trial:
    """One path, tried on a copy of the model."""

    def __init__(
        self,
        path: StepPath,
        model: nn.Module,
        batch: Any,
        loss: Callable[..., torch.Tensor],
        device: torch.device,
    ):
        self.path, self.loss_of, self.device = path, loss, device
        self.model = path.place(copy.deepcopy(model), device)
        self.batch = (path.batch(batch[0].to(device)), batch[1].to(device))
        self.seconds: list[float] = []
        self.loss = float("nan")

    def step(self) -> None:
        torch.manual_seed(0)
        start = time.perf_counter()
        with self.path.autocast(self.device):
            loss = self.loss_of(self.model, self.batch)
        loss.backward()
        self.model.zero_grad(set_to_none=True)
        value = loss.item()
        if self.loss != self.loss:  # the first step is the warm-up, and gives the loss to compare
            self.loss = value
        else:
            self.seconds.append(time.perf_counter() - start)


# ---- choices kept per machine, so that two runs of the same thing take the same path ----------------


def _key(model: nn.Module, batch: Any, device: torch.device) -> str:
    parts = [str(model), str(tuple(batch[0].shape)), str(device), torch.__version__, platform.processor()]
    parts += [str(torch.get_num_threads()), torch.backends.cpu.get_cpu_capability(), platform.machine()]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:24]


def _cache() -> Path:
    root = os.environ.get("PELLUCID_CACHE") or Path.home() / ".cache" / "pellucid"
    return Path(root) / "paths"


def _recall(key: str) -> Choice | None:
    try:
        kept = json.loads((_cache() / f"{key}.json").read_text(encoding="utf-8"))
        return Choice(kept["value"], kept["reason"]) if kept["value"] in PATHS else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(key: str, choice: Choice) -> None:
    with contextlib.suppress(OSError, PellucidError):
        files.write_json(_cache() / f"{key}.json", {"value": choice.value, "reason": choice.reason})
