"""What a rule about a crash reads, and what it returns."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from pellucid.lens.capture import Call
from pellucid.lens.tensors import TensorRecord

Words = tuple[str, str]
"""What was expected, and the usual fix in a sentence; "" where it is not known."""


@dataclass(frozen=True)
class Failure:
    """What the catalogue of fixes reads.

    Attributes:
        stage: "forward", "loss" or "backward".
        error: the message.
        kind: the class of the error.
        module: the innermost module that raised; None in the loss and in the backward pass.
        received: the tensors it was called with.
        before: the last call that returned before it; None where there is none.
        line: the text of the user's line that raised; "" where there is none.
        model: the whole model.
        outputs, targets: what the loss received, as records in their structure; None outside of the loss.
    """

    stage: str
    error: str
    kind: str
    module: nn.Module | None
    received: tuple[TensorRecord, ...]
    before: Call | None
    line: str
    model: nn.Module
    outputs: Any = None
    targets: Any = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first tensor it received; () where it received none."""
        return self.received[0].shape if self.received else ()


def numbers(pattern: str, failure: Failure) -> tuple[str, ...] | None:
    """Return the groups of a pattern in the error message, or all of it; None where it does not occur."""
    found = re.search(pattern, failure.error)
    return (found.groups() or (found.group(),)) if found else None


Rule = Callable[[Failure], Words | None]
"""Returns None where it does not apply."""
