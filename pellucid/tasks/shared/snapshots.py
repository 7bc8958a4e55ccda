"""Snapshots after every epoch: pictures, and measures as lines.

Callbacks write them to `evaluation/training.json` while the model trains, as blocks in the form of those of a
split, so that the report of an interrupted run shows what there is so far. Each callback keeps its own blocks
in that file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pellucid.errors import RunError
from pellucid.evaluation import EVALUATION, SAMPLES
from pellucid.record import Run, files
from pellucid.train.callbacks import Callback
from pellucid.train.trainer import Trainer

TRAINING = "training"


@dataclass(frozen=True)
class MeasureChart:
    """Measures to draw together.

    Attributes:
        title: of the chart.
        caption: what it shows.
        y_label: label of the axis.
        series: measure -> its name in the chart.
    """

    title: str
    caption: str
    y_label: str
    series: dict[str, str]


class Snapshots(Callback):
    """Draw a picture before training and after every epoch, and measure the model.

    Args:
        run: the run to write to.
        draw: model -> PNG bytes; must not use torch's global random generator.
        title: of the pictures; no other callback of the run may have it.
        caption: what they show.
        measure: model -> numbers, recorded as `val/<name>`, so that they can be monitored.
        charts: how to draw them; where a step has several phases, `<phase>_loss` is available too.
        name: start of the names of the picture files, and the key of the state.
    """

    old_name = "Film"

    def __init__(
        self,
        run: Run,
        draw: Callable[[nn.Module], bytes],
        *,
        title: str,
        caption: str,
        measure: Callable[[nn.Module], dict[str, float]] = lambda model: {},
        charts: Sequence[MeasureChart] = (),
        name: str = "epoch",
    ):
        self.run, self.draw, self.measure, self.charts = run, draw, measure, charts
        self.title, self.caption, self.name = title, caption, name
        self.state_key = f"{type(self).__name__}({name})"
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
            files.write(self.run.path / SAMPLES / self._file(trainer.epochs_done), self.draw(model))
            measured = self.measure(model)
        losses = {f"{phase}_loss": total / count for phase, (total, count) in self._losses.items()}
        self._losses = {}
        measured = {name: value for name, value in measured.items() if not math.isnan(value)}
        trainer.measures |= {f"val/{name}": value for name, value in measured.items()}
        trainer.measures |= {f"train/{name}": value for name, value in losses.items()}
        epoch = trainer.epochs_done
        self.history = [row for row in self.history if row["epoch"] < epoch]
        self.history.append({"epoch": epoch, **measured, **losses})
        save_blocks(self.run, self.title, self.blocks())

    def blocks(self) -> list[dict[str, Any]]:
        """Return the pictures, and a chart for each group of measures there is."""
        epochs = [row["epoch"] for row in self.history]
        frames = [
            {"label": f"epoch {epoch:g}" if epoch else "untrained", "file": f"{SAMPLES}/{self._file(epoch)}"}
            for epoch in epochs
        ]
        pictures = {"kind": "snapshots", "title": self.title, "caption": self.caption, "frames": frames}
        return [pictures, *(block for chart in self.charts if (block := self._lines(chart)))]

    def _lines(self, chart: MeasureChart) -> dict[str, Any] | None:
        series = []
        for name, shown in chart.series.items():
            points = [(row["epoch"], row[name]) for row in self.history if name in row]
            if points:
                series.append({"name": shown, "x": [x for x, _ in points], "y": [y for _, y in points]})
        if not series:
            return None
        about = {"title": chart.title, "caption": chart.caption, "x_label": "epoch", "y_label": chart.y_label}
        return {"kind": "lines", **about, "series": series}

    def _file(self, epoch: float) -> str:
        return f"{self.name}-{epoch:03g}.png"

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "losses": self._losses}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history, self._losses = state["history"], state["losses"]


def save_blocks(run: Run, title: str, blocks: list[dict[str, Any]]) -> None:
    """Save what a callback has to show so far; blocks of other callbacks stay.

    Args:
        run: the run that trains.
        title: names the callback among those of the run.
        blocks: replace those it saved before.
    """
    path = run.path / EVALUATION / f"{TRAINING}.json"
    parts = {**_saved(path), title: blocks}
    every = [block for part in parts.values() for block in part]
    files.write_json(path, {"split": TRAINING, "metrics": {}, "blocks": every, "parts": parts})


def _saved(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the blocks saved so far by callback; none if the file is missing or damaged."""
    try:
        return dict(files.read_json(path)["parts"])
    except (OSError, RunError, KeyError, TypeError, ValueError):
        return {}
