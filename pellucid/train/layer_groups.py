"""Split a model into stages, from the input to the output.

A stage is one of the numbered parts of a model, such as `encoder.blocks.3`. Everything before the first of
them is the stage `input` (embeddings, positions, class tokens), everything after the last is `output` (a
final norm, the head). Stages are in the order in which the model registers its parts.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from torch import nn

INPUT = "input"
OUTPUT = "output"
_NUMBERED = re.compile(r"((?:.*?\.)?\d+)\.")


@dataclass(frozen=True)
class Stage:
    """A stage of a model.

    Attributes:
        name: input, output, or the name of the numbered part.
        parameters: the parameters by their names in the model.
    """

    name: str
    parameters: dict[str, nn.Parameter]


def stages(model: nn.Module) -> list[Stage]:
    """Split a model into stages, input first; every parameter is in exactly one of them.

    Example:
        >>> model = nn.Sequential(nn.Embedding(9, 4), nn.LSTM(4, 4), nn.Linear(4, 2))
        >>> [stage.name for stage in stages(model)]
        ['0', '1', '2']
    """
    # A direct parameter of the model, such as an output_bias, is registered before all parts.
    ordered = sorted(model.named_parameters(), key=lambda item: item[0].startswith(OUTPUT))
    runs = [(label, dict(run)) for label, run in itertools.groupby(ordered, lambda item: _label(item[0]))]
    last = len(runs) - 1
    return [
        Stage(label or (OUTPUT if number == last else INPUT if number == 0 else next(iter(parts))), parts)
        for number, (label, parts) in enumerate(runs)
    ]


def _label(name: str) -> str:
    """Return the numbered part that a parameter belongs to, or "" if there is none."""
    found = _NUMBERED.match(name)
    return found.group(1) if found else ""
