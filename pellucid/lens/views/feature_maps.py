"""The feature maps of a layer: where it found what it looks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pellucid.errors import UsageError
from pellucid.lens.views.catalogue import View
from pellucid.lens.views.kernels import PLAIN
from pellucid.lens.views.seen import Panel, Rows, Seen, flat_picture, mosaic
from pellucid.lens.views.subject import Subject, array, choose_layer, layers_of

ACROSS, DOWN = 4, 2
"""Feature maps that are drawn."""


@dataclass(frozen=True)
class FeatureMaps(Seen):
    """What a layer returns for one row.

    Attributes:
        layer, type: the name and class of the layer.
        row: of the batch.
        maps: (C, H, W) of images, (C, L) of series, as the layer returned them.
        input: the row itself, (C, H, W) or (C, L); None where the batch has no such input.
        dead: channels that are 0 everywhere.
        layers: names of the convolutions of the model.
    """

    view = "feature-maps"
    layer: str
    type: str
    row: int
    maps: np.ndarray
    input: np.ndarray | None
    dead: list[int]
    layers: list[str]

    @property
    def headline(self) -> str:
        size = " x ".join(map(str, self.maps.shape[1:]))
        dead = f", {len(self.dead)} of them 0 everywhere" if self.dead else ""
        return f"{self.layer} ({self.type}), row {self.row}: {len(self.maps)} maps of {size}{dead}"

    def panels(self) -> list[Panel | Rows]:
        """Return the input and the first maps."""
        made: list[Panel | Rows] = []
        if self.input is not None:
            made.append(Panel("input", flat_picture(self.input), "picture"))
        if self.maps.ndim == 2:
            return [*made, Panel("a row for each channel", self.maps, square=False)]
        few = self.maps[: ACROSS * DOWN]
        few = few.reshape(len(few), -1, few.shape[-1])  # the depths of volumes below each other
        count = len(few) - len(few) % min(ACROSS, len(few))
        tiles = few[:count].reshape(-1, min(ACROSS, len(few)), *few.shape[1:])
        return [*made, Panel(f"maps 0 to {count - 1}", mosaic(tiles))]


def feature_maps(subject: Subject, layer: str | None = None, row: int = 0) -> FeatureMaps:
    """Return what a layer returns for one row.

    Args:
        subject: a model and its batch.
        layer: any module that returns (B, C, ...); None: the first convolution.
        row: of the batch.

    Raises:
        UsageError: the layer was not called, or returns something else.
    """
    row = subject.check_row(row)
    known = layers_of(subject.model, PLAIN)
    named = dict(subject.model.named_modules())
    name = choose_layer(layer, known) if layer is None else choose_layer(layer, [n for n in named if n])
    calls = subject.calls([name])
    output = calls[-1].output if calls else None
    if not isinstance(output, Tensor) or not 3 <= output.ndim <= 5 or len(output) <= row:
        got = f"returned {tuple(output.shape)}" if isinstance(output, Tensor) else "was not called"
        raise UsageError(f"{name} {got}: expected a module that returns (B, C, ...).")
    maps = array(output[row])
    dead = [channel for channel, values in enumerate(maps) if not values.any()]
    given = next((leaf for leaf in subject.floats if leaf.ndim == output.ndim and len(leaf) > row), None)
    shown = None if given is None else array(given[row])
    return FeatureMaps(name, type(named[name]).__name__, row, maps, shown, dead, list(known))


def _unfit(subject: Subject) -> str:
    return "" if layers_of(subject.model, PLAIN) else "has no convolution"


VIEW = View("feature-maps", "what the channels of a convolution return for a row", _unfit, feature_maps)
