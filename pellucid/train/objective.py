"""The noun **Objective**: what one training step optimizes, as a list of phases.

Supervised learning is one phase. A GAN is two, each with its own loss and its own parameters; a critic
that learns several times per generator update is a phase with `repeat`.

    objective = classification(label_smoothing=0.1)
    objective = Objective("gan", (Phase("discriminator", d_loss, lambda m: m.discriminator.parameters()),
                                  Phase("generator", g_loss, lambda m: m.generator.parameters())), measure)
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pellucid.errors import ConfigError

Measures = dict[str, tuple[Tensor, float]]
"""Sums and counts by name, kept on the device: the mean over batches is sum / count."""

MEASURE_SEED = 0
"""Seed of the noise that measuring needs; it is the same in every batch and every epoch."""


def all_parameters(model: nn.Module) -> Iterable[nn.Parameter]:
    return model.parameters()


@dataclass(frozen=True)
class Phase:
    """One kind of update within a step.

    Attributes:
        name: e.g. "discriminator".
        loss: (model, batch) -> the scalar to minimize.
        parameters: model -> the parameters this phase updates.
        every: take part in every n-th step only.
        repeat: updates within one step.
    """

    name: str
    loss: Callable[[nn.Module, Any], Tensor]
    parameters: Callable[[nn.Module], Iterable[nn.Parameter]] = all_parameters
    every: int = 1
    repeat: int = 1


@dataclass(frozen=True)
class Objective:
    """What one step optimizes, and how its result is measured.

    Attributes:
        name: e.g. "classification".
        phases: the updates of one step, in order.
        measure: (model, batch) -> sums and counts, without gradients; "loss" is always among them.
        probs: logits -> what a prediction is read from (probabilities, or the values themselves).
        monitor: the metric that says which weights are best.
        mode: whether the best is the largest or the smallest.
        shared: (model, batch) -> the batch as all phases of a step see it: with what they share, e.g. made
            images, computed once with all parameters learning. Phases also take a batch without it.
    """

    name: str
    phases: tuple[Phase, ...]
    measure: Callable[[nn.Module, Any], Measures]
    probs: Callable[[Tensor], Tensor] = lambda logits: logits
    monitor: str = "val/loss"
    mode: Literal["min", "max"] = "min"
    shared: Callable[[nn.Module, Any], Any] | None = None


def means(measured: Iterable[Measures]) -> dict[str, float]:
    """Return the mean of every measure over batches; one that counted nothing is left out.

    What waits on the device is looked at once, after the last batch.
    """
    totals: dict[str, list[Tensor]] = defaultdict(list)
    counts: dict[str, float] = defaultdict(float)
    for measures in measured:
        for key, (total, count) in measures.items():
            totals[key].append(total)
            counts[key] += count
    return {
        key: math.fsum(torch.stack(values).tolist()) / counts[key]
        for key, values in totals.items()
        if counts[key]
    }


def one_of(option: str, value: str, known: Collection[str]) -> None:
    """Refuse a value of an option that is not known.

    Raises:
        ConfigError: naming those that are.
    """
    if value not in known:
        raise ConfigError(f"objective.options.{option}: expected {' or '.join(known)}, received {value!r}.")


def fixed_normal(*shape: int, device: torch.device) -> Tensor:
    """Standard normal numbers that are the same at every call and on every device."""
    return torch.randn(shape, generator=_generator()).to(device)


def fixed_uniform(*shape: int, device: torch.device) -> Tensor:
    """Numbers in [0, 1) that are the same at every call and on every device."""
    return torch.rand(shape, generator=_generator()).to(device)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(MEASURE_SEED)
