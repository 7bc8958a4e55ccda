"""The same thing after every epoch: pictures that become a film, and measures that become lines.

What is seen while a model trains is written to `evaluation/training.json`, blocks in the form of those of a
split, so that an interrupted run shows what there is so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pellucid.evaluation import EVALUATION, SAMPLES
from pellucid.record import Run, files
from pellucid.train.callbacks import Callback
from pellucid.train.trainer import Trainer

TRAINING = "training"


@dataclass(frozen=True)
class Chart:
    """Measures that are drawn together.

    Attributes:
        title: of the chart.
        caption: what one sees.
        y_label: of the axis.
        series: measure -> its name in the chart.
    """

    title: str
    caption: str
    y_label: str
    series: dict[str, str]


class Film(Callback):
    """Draws a model before training and after every epoch, and measures it.

    Args:
        run: where it is written.
        draw: model -> PNG bytes; draws no random numbers of torch's own.
        title: of the film.
        caption: what one sees.
        measure: model -> numbers, kept as `val/<name>`, so that they can be monitored.
        charts: how they are drawn; where a step has several phases, `<phase>_loss` is there too.
    """

    def __init__(
        self,
        run: Run,
        draw: Callable[[nn.Module], bytes],
        *,
        title: str,
        caption: str,
        measure: Callable[[nn.Module], dict[str, float]] = lambda model: {},
        charts: Sequence[Chart] = (),
    ):
        self.run, self.draw, self.measure, self.charts = run, draw, measure, charts
        self.title, self.caption = title, caption
        self.history: list[dict[str, float]] = []
        self._losses: dict[str, list[float]] = {}  # sum and count of each phase in this epoch

    def on_phase_losses(self, trainer: Trainer, phase: str, rows: list[tuple[int, float, float]]) -> None:
        total, count = self._losses.get(phase, (0.0, 0))
        self._losses[phase] = [total + sum(loss for _, loss, _ in rows), count + len(rows)]

    def on_train_start(self, trainer: Trainer) -> None:
        if trainer.step == 0:
            self._show(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._show(trainer)

    def _show(self, trainer: Trainer) -> None:
        with torch.no_grad(), trainer.inference() as model:
            files.write(self.run.path / SAMPLES / frame(trainer.epoch), self.draw(model))
            measured = self.measure(model)
        losses = {f"{phase}_loss": total / count for phase, (total, count) in self._losses.items()}
        self._losses = {}
        trainer.measures |= {f"val/{name}": value for name, value in measured.items()}
        trainer.measures |= {f"train/{name}": value for name, value in losses.items()}
        self.history = [row for row in self.history if row["epoch"] < trainer.epoch]
        self.history.append({"epoch": trainer.epoch, **measured, **losses})
        facts = {"split": TRAINING, "metrics": {}, "blocks": self.blocks()}
        files.write_json(self.run.path / EVALUATION / f"{TRAINING}.json", facts)

    def blocks(self) -> list[dict[str, Any]]:
        """The film, and a chart for each group of measures that there are."""
        epochs = [int(row["epoch"]) for row in self.history]
        frames = [
            {"label": f"epoch {epoch}" if epoch else "untrained", "file": f"{SAMPLES}/{frame(epoch)}"}
            for epoch in epochs
        ]
        film = {"kind": "film", "title": self.title, "caption": self.caption, "frames": frames}
        return [film, *(block for chart in self.charts if (block := self._lines(chart)))]

    def _lines(self, chart: Chart) -> dict[str, Any] | None:
        series = []
        for name, shown in chart.series.items():
            points = [(row["epoch"], row[name]) for row in self.history if name in row]
            if points:
                series.append({"name": shown, "x": [x for x, _ in points], "y": [y for _, y in points]})
        if not series:
            return None
        about = {"title": chart.title, "caption": chart.caption, "x_label": "epoch", "y_label": chart.y_label}
        return {"kind": "lines", **about, "series": series}

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "losses": self._losses}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history, self._losses = state["history"], state["losses"]


def frame(epoch: int) -> str:
    """The file of an epoch's picture."""
    return f"epoch-{epoch:03d}.png"
