"""The kernels of a convolution: what it looks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from pellucid.lens.views.catalogue import View
from pellucid.lens.views.seen import Panel, Rows, Seen, mosaic
from pellucid.lens.views.subject import Subject, array, choose_layer, layers_of

PLAIN = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
SHOWN = 6
"""Most kernels of a side that are drawn."""


@dataclass(frozen=True)
class Kernels(Seen):
    """The kernels of a convolution.

    Attributes:
        layer, type: the name and class of the layer.
        weights: (outputs, inputs / groups, *kernel); of a transposed convolution (inputs, outputs / groups,
            *kernel), as torch keeps them.
        bias: (outputs,); None without one.
        layers: names of all convolutions of the model.
    """

    view = "kernels"
    layer: str
    type: str
    weights: np.ndarray
    bias: np.ndarray | None
    layers: list[str]

    @property
    def headline(self) -> str:
        outputs, inputs, *size = self.weights.shape
        return f"{self.layer} ({self.type}): {outputs} x {inputs} kernels of {' x '.join(map(str, size))}"

    def panels(self) -> list[Panel | Rows]:
        """Return the first kernels: of several input channels a row for each output."""
        if self.weights.ndim == 3:
            flat = self.weights.reshape(-1, self.weights.shape[-1])[: SHOWN**2]
            return [Panel("a row for each kernel", flat, square=False)]
        if self.weights.shape[1] == 1:
            few, title = (
                self.weights[: 2 * SHOWN, 0][None],
                f"kernels 0 to {min(2 * SHOWN, len(self.weights)) - 1}",
            )
        else:
            few, title = (
                self.weights[:SHOWN, :SHOWN],
                "a row for each output, a column for each input channel",
            )
        tiles = few.reshape(*few.shape[:2], -1, few.shape[-1])  # the depths of 3-D kernels below each other
        return [Panel(title, mosaic(tiles))]


def kernels(subject: Subject, layer: str | None = None) -> Kernels:
    """Return the kernels of a convolution.

    Args:
        subject: a model; no batch is needed.
        layer: the name of the convolution; None: the first.
    """
    known = layers_of(subject.model, PLAIN + TRANSPOSED)
    name = choose_layer(layer, known)
    module: Any = known[name]
    with subject.computing():  # a parametrized weight is computed
        weights, bias = module.weight, module.bias
    made = None if bias is None else array(bias).copy()
    return Kernels(name, type(known[name]).__name__, array(weights).copy(), made, list(known))


def _unfit(subject: Subject) -> str:
    return "" if layers_of(subject.model, PLAIN + TRANSPOSED) else "has no convolution"


VIEW = View("kernels", "the kernels of a convolution", _unfit, kernels, needs_batch=False)
