"""Decision regions of a model with two input numbers: its outputs on a grid, and those of any unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.batch import Batch, as_batch
from pellucid.errors import UsageError
from pellucid.lens.views.catalogue import View
from pellucid.lens.views.seen import Panel, Rows, Seen
from pellucid.lens.views.subject import Subject, array, choose_layer
from pellucid.train.objective import read_logits

MARGIN = 0.1
"""Of the range of the rows, added on each side."""


@dataclass(frozen=True)
class DecisionRegions(Seen):
    """Outputs of a model on a grid of its two inputs.

    Attributes:
        x, y: (n,) values of the first and of the second input, as the model receives them.
        outputs: (n, n, K), y from low to high, then x.
        classes: (n, n) the largest output; of one output whether it is above 0.
        points: (B, 2) the rows of the batch.
        targets: (B,) their targets; None without.
        layer: the layer of `units`; "" without.
        units: (units, n, n) what each unit of a layer returns on the grid; None without a layer.
    """

    view = "decision-regions"
    x: np.ndarray
    y: np.ndarray
    outputs: np.ndarray
    classes: np.ndarray
    points: np.ndarray
    targets: np.ndarray | None
    layer: str = ""
    units: np.ndarray | None = None

    @property
    def headline(self) -> str:
        values, counts = np.unique(self.classes, return_counts=True)
        shares = ", ".join(
            f"{value} on {100 * count / self.classes.size:.0f} %"
            for value, count in zip(values, counts, strict=True)
        )
        return (
            f"Grid of {len(self.x)} x {len(self.y)} points, {self.x[0]:.3g} to {self.x[-1]:.3g} and "
            f"{self.y[0]:.3g} to {self.y[-1]:.3g}. Class {shares}"
        )

    def panels(self) -> list[Panel | Rows]:
        """Return the classes, and the first units of a layer; y grows upwards."""
        regions = self.classes[::-1].astype(float)
        made: list[Panel | Rows] = [Panel("classes: x across, y up", regions, "magnitude")]
        for unit, values in enumerate([] if self.units is None else self.units[:4]):
            made.append(Panel(f"{self.layer}, unit {unit}", values[::-1]))
        return made


def decision_regions(
    subject: Subject, layer: str | None = None, points: int = 40, margin: float = MARGIN
) -> DecisionRegions:
    """Return the outputs of a model on a grid of its two inputs.

    Args:
        subject: a model of two numbers, and its batch, whose range the grid has.
        layer: a layer whose units are returned, too, e.g. of (B, units).
        points: on each axis.
        margin: of the range of the rows, added on each side.

    Raises:
        UsageError: fewer than 2 points, or a layer that returns something else than (B, units).
    """
    if points < 2:
        raise UsageError(f"points={points} expects at least 2.")
    given = subject.floats[0]
    if not given.isfinite().all():
        raise UsageError("The rows hold numbers that are not finite, and the grid has their range.")
    x, y = (_axis(given[:, axis], points, margin) for axis in (0, 1))
    grid = torch.stack([x.repeat(len(y)), y.repeat_interleave(len(x))], 1).to(given)
    on_grid = subject.with_batch(Batch(grid))
    with on_grid.computing():
        outputs = read_logits(on_grid.forward())
    outputs = outputs.reshape(len(y), len(x), -1)
    classes = (outputs[:, :, 0] > 0).long() if outputs.shape[2] == 1 else outputs.argmax(2)
    targets = as_batch(subject.work.batch).targets
    return DecisionRegions(
        array(x),
        array(y),
        array(outputs),
        array(classes),
        array(given),
        array(targets) if isinstance(targets, Tensor) else None,
        layer or "",
        None if layer is None else _units(on_grid, layer, (len(y), len(x))),
    )


def _axis(values: Tensor, points: int, margin: float) -> Tensor:
    low, high = values.min().item(), values.max().item()
    more = margin * ((high - low) or 1.0)
    return torch.linspace(low - more, high + more, points)


def _units(on_grid: Subject, layer: str, shape: tuple[int, int]) -> np.ndarray:
    names = [name for name, _ in on_grid.model.named_modules() if name]
    calls = on_grid.calls([choose_layer(layer, names)])
    output: Any = calls[-1].output if calls else None
    if not isinstance(output, Tensor) or output.ndim != 2:
        raise UsageError(f"{layer} returns no (B, units): choose another layer.")
    return array(output.T.reshape(-1, *shape))


def _unfit(subject: Subject) -> str:
    found = subject.floats
    if len(found) != 1 or subject.tokens or found[0].ndim != 2 or found[0].shape[1] != 2:
        return "does not take two numbers a row, (B, 2)"
    return subject.not_called()


VIEW = View(
    "decision-regions", "outputs on a grid of the two inputs, also per unit", _unfit, decision_regions
)
