"""Intervals around forecasts, from the errors on validation rows.

Shapes: N windows, L rows in, H rows ahead, C channels, of which the first K are forecast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pellucid.data.series import SeriesInputs
from pellucid.errors import RunError
from pellucid.evaluation import EVALUATION, Trained
from pellucid.record import files

COVERAGE = 0.9
"""Share of validation errors that an interval holds."""
SMALLEST = 1e-6
"""Least scale of a window, in standard deviations of the training rows: a constant one has errors, too."""


def interval(errors: Tensor) -> Tensor:
    """Half the width of an interval that held `COVERAGE` of the errors (N, H, K) at each step: (H, K).

    The ceil((N + 1) coverage)-th smallest of N absolute errors, as in split conformal prediction (Lei et al.
    2018). Its guarantee asks for exchangeable errors, which those of a series are not: how many it holds on
    later rows is measured.
    """
    rank = min(len(errors), int(np.ceil((len(errors) + 1) * COVERAGE)))
    return errors.abs().kthvalue(rank, dim=0).values


def window_scale(inputs: Tensor, encoded: SeriesInputs) -> Tensor:
    """How much each window (N, L, C) moves from row to row, (N, 1, K): the scale of its errors.

    Errors of several series are compared on this scale, since one series may be a thousand times another, as
    in locally weighted conformal prediction (Lei et al. 2018, section 5.2). Of one series it is 1.
    """
    channels = inputs[:, :, : encoded.targets]
    if not encoded.ids or channels.shape[1] < 2:
        return torch.ones_like(channels[:, :1])
    return channels.diff(dim=1).abs().mean(1, keepdim=True).clamp(min=SMALLEST)


@dataclass(frozen=True)
class Intervals:
    """What a run knows of its errors.

    Attributes:
        share: of the validation errors that the intervals hold.
        margins: (H, K), in units of `window_scale`.
        coverage: the share that they held on test rows; None: it was not measured.
    """

    share: float
    margins: np.ndarray
    coverage: float | None

    @property
    def note(self) -> str:
        """Say what the intervals are."""
        held = "" if self.coverage is None else f"; on test rows they held {100 * self.coverage:.1f} %"
        return f"intervals hold {100 * self.share:g} % of the validation errors at each step ahead{held}"


def measured_intervals(trained: Trained) -> Intervals | None:
    """Return the intervals that a run wrote down when its test rows were evaluated; None where it did not."""
    path = trained.folder / EVALUATION / "test.json" if trained.folder is not None else None
    if path is None or not path.exists():
        return None
    facts = files.read_json(path)
    if "interval" not in facts:
        return None
    try:
        found = facts["interval"]
        return Intervals(found["share"], np.array(found["margins"], float), facts["metrics"].get("coverage"))
    except (KeyError, TypeError, ValueError):
        raise RunError(
            f"{path} is damaged: its interval is not complete.",
            remedy="train the run again",
        ) from None
