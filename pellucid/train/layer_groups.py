"""A model cut into stages, from what reads the input to what gives the output.

A stage is one of the numbered parts of a model, such as `encoder.blocks.3`. What comes before the first of
them is the stage `input` (embeddings, positions, class tokens), what comes after the last is `output` (a
last norm, the head). The order is that in which a model registers its parts.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from torch import nn

INPUT, OUTPUT = "input", "output"
_NUMBERED = re.compile(r"((?:.*?\.)?\d+)\.")


@dataclass(frozen=True)
class Stage:
    """One part of a model.

    Attributes:
        name: input, output, or that of the numbered part.
        parameters: by their names in the model.
    """

    name: str
    parameters: dict[str, nn.Parameter]


def stages(model: nn.Module) -> list[Stage]:
    """Cut a model into stages, that of the input first; every parameter is in one of them.

    Example:
        >>> model = nn.Sequential(nn.Embedding(9, 4), nn.LSTM(4, 4), nn.Linear(4, 2))
        >>> [stage.name for stage in stages(model)]
        ['0', '1', '2']
    """
    # A parameter of the model itself, such as an output_bias, is registered before all of its parts.
    ordered = sorted(model.named_parameters(), key=lambda item: item[0].startswith(OUTPUT))
    runs = [(label, dict(run)) for label, run in itertools.groupby(ordered, lambda item: _label(item[0]))]
    last = len(runs) - 1
    return [
        Stage(label or (OUTPUT if number == last else INPUT if number == 0 else next(iter(parts))), parts)
        for number, (label, parts) in enumerate(runs)
    ]


def _label(name: str) -> str:
    """The numbered part that a parameter belongs to; "" outside of all of them."""
    found = _NUMBERED.match(name)
    return found.group(1) if found else ""
