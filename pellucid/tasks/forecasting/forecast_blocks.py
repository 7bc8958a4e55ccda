"""Views of forecasts: error by step, single windows, and error by channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.data import time_index
from pellucid.data.series import SeriesInputs

Block = dict[str, Any]
NAMES = {"forecast": "forecast", "prior": "mean", "last": "last value", "season": "last cycle again"}
RANKS = ((0.05, "an easy window"), (0.5, "a typical window"), (0.95, "a hard window"))
MAX_POINTS = 240  # drawn of a line
MAX_CHANNELS = 50  # rows of the table of channels


@dataclass(frozen=True)
class SplitForecasts:
    """Forecasts of one split, all standardized.

    Attributes:
        encoded: names, scale and step of the channels.
        preds: (N, H, C) by who forecasts; the network's is "forecast".
        inputs: (N, L, C).
        targets: (N, H, C).
        margin: half the width of the intervals, (N, H, C), or None.
        starts: the time of the first forecast row of each window, or [].
        target: the channel to show; None: the last.
    """

    encoded: SeriesInputs
    preds: dict[str, Tensor]
    inputs: Tensor
    targets: Tensor
    margin: Tensor | None
    starts: list[Any]
    target: str | None

    @property
    def errors(self) -> Tensor:
        """Squared error of each window, (N,)."""
        return (self.preds["forecast"] - self.targets).square().mean((1, 2))

    @property
    def channels(self) -> list[int]:
        """The two channels to show: the target or last, and the first."""
        names = self.encoded.forecast_names
        main = names.index(self.target) if self.target in names else len(names) - 1
        return list(dict.fromkeys([main, 0]))


def blocks(shown: SplitForecasts) -> list[Block]:
    """Everything there is to see, in the order of the report."""
    main, *others = shown.channels
    order = shown.errors.argsort()
    rows = {words: int(order[round(rank * (len(order) - 1))]) for rank, words in RANKS}
    windows = [_window(shown, row, words, main) for words, row in rows.items()]
    windows += [_window(shown, rows["a typical window"], "the typical window", other) for other in others]
    return [_by_step(shown), *windows, _by_channel(shown)]


def _by_step(shown: SplitForecasts) -> Block:
    steps = list(range(1, shown.encoded.horizon + 1))
    kept = _thinned(len(steps))
    lines = []
    for name, preds in shown.preds.items():
        errors = (preds - shown.targets).square().mean((0, 2)).tolist()
        lines.append({"name": NAMES[name], "x": [steps[i] for i in kept], "y": [errors[i] for i in kept]})
    return {
        "kind": "lines",
        "title": "Error by forecast step",
        "caption": f"Mean squared error of {len(shown.targets):,} windows at each step, compared with "
        "forecasts that need no network.",
        "x_label": _axis(shown.encoded, "ahead"),
        "y_label": "mean squared error, standardized",
        "series": lines,
    }


def _window(shown: SplitForecasts, row: int, words: str, channel: int) -> Block:
    """One channel of one window, in its own unit: what came before, what came, and what was forecast."""
    encoded = shown.encoded
    before, truth, forecast = (
        _own(encoded, part[row, :, channel], channel)
        for part in (shown.inputs, shown.targets, shown.preds["forecast"])
    )
    before = before[-2 * len(truth) :]
    ahead, past = _thinned(len(truth)), _thinned(len(before))
    line: dict[str, Any] = {"name": "forecast", "x": [i + 1 for i in ahead], "y": _at(forecast, ahead)}
    band = ""
    if shown.margin is not None:
        margin = shown.margin[row, :, channel].double().numpy() * encoded.std[channel]
        line |= {"low": _at(forecast - margin, ahead), "high": _at(forecast + margin, ahead)}
        band = " The band contains 90 % of the errors on validation rows at that step."
    since = f" from {shown.starts[row]} on" if shown.starts else f", window {row + 1:,}"
    name, error = encoded.names[channel], shown.errors[row].item()
    return {
        "kind": "lines",
        "title": f"{name}: {words}",
        "caption": f"{encoded.horizon} rows{since}, forecast from the {encoded.window} rows before; over all "
        f"channels the standardized error is {error:.3g}.{band}",
        "x_label": _axis(encoded, "from the last known row"),
        "y_label": name,
        "series": [
            {"name": "known", "x": [i + 1 - len(before) for i in past], "y": _at(before, past)},
            {"name": "truth", "x": [i + 1 for i in ahead], "y": _at(truth, ahead)},
            line,
        ],
    }


def _by_channel(shown: SplitForecasts) -> Block:
    """One row a channel."""
    errors = {
        name: (preds - shown.targets).square().mean((0, 1)).tolist() for name, preds in shown.preds.items()
    }
    mae = (shown.preds["forecast"] - shown.targets).abs().mean((0, 1))
    own = (mae * torch.tensor(shown.encoded.std[: len(mae)])).tolist()
    rows = [
        [name, *(errors[who][index] for who in errors), own[index]]
        for index, name in enumerate(shown.encoded.forecast_names[:MAX_CHANNELS])
    ]
    return {
        "kind": "table",
        "title": "Errors by channel",
        "caption": "Mean squared error of each channel, standardized, and mean absolute error in its unit.",
        "columns": ["channel", *(f"{NAMES[who]}, MSE" for who in errors), "forecast, MAE in its unit"],
        "rows": rows,
    }


def _own(encoded: SeriesInputs, values: Tensor, channel: int) -> np.ndarray:
    return values.double().numpy() * encoded.std[channel] + encoded.mean[channel]


def _thinned(count: int) -> list[int]:
    """At most `MAX_POINTS` of `count` places, the first and the last among them."""
    if count <= MAX_POINTS:
        return list(range(count))
    return sorted({round(place) for place in np.linspace(0, count - 1, MAX_POINTS)})


def _at(values: np.ndarray, places: list[int]) -> list[float]:
    return [float(values[place]) for place in places]


def _axis(encoded: SeriesInputs, words: str) -> str:
    step = time_index.span(encoded.step) if encoded.step else "step"
    return f"{step}s {words}" if step.isalpha() else f"steps of {step} {words}"
