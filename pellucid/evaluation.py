"""What a trained model does on a split: the numbers, and what there is to see behind them.

An `Outcome` writes `evaluation/<split>.json` (metrics, summary, and the blocks the report draws),
`<split>.parquet` (one row per prediction) and `<split>-examples.parquet` (the rows worth looking at) where
a task has them, and pictures to `samples/`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from pellucid.data.batches import Batches
from pellucid.data.preprocess import Preprocess
from pellucid.nn.modes import evaluating
from pellucid.record import files
from pellucid.train.execution import PATHS
from pellucid.train.objective import Measures, Objective, means

EVALUATION, SAMPLES = "evaluation", "samples"


@dataclass(frozen=True)
class Outcome:
    """The result on one split.

    Attributes:
        metrics: e.g. {"accuracy": 0.995, "loss": 0.02}.
        summary: what else goes into `<split>.json`.
        predictions: one row per prediction.
        examples: the rows worth looking at.
        blocks: what there is to see, in order; the kinds are those of `report.blocks`.
        pictures: PNG files by the name blocks refer to them by, `samples/<name>`.
    """

    metrics: dict[str, float]
    summary: dict[str, Any] = field(default_factory=dict)
    predictions: pa.Table | None = None
    examples: pa.Table | None = None
    blocks: list[dict[str, Any]] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path, split: str) -> None:
        """Write everything into a run folder; the JSON comes last, so that all it names is there."""
        for name, content in self.pictures.items():
            files.write(folder / SAMPLES / name, content)
        for name, table in ((split, self.predictions), (f"{split}-examples", self.examples)):
            if table is not None:
                sink = pa.BufferOutputStream()
                pq.write_table(table, sink)
                files.write(folder / EVALUATION / f"{name}.parquet", sink.getvalue().to_pybytes())
        facts = {"split": split, "metrics": self.metrics, **self.summary, "blocks": self.blocks}
        files.write_json(folder / EVALUATION / f"{split}.json", facts)


@dataclass(frozen=True)
class Trained:
    """A trained model and how it computes.

    Attributes:
        model: its weights are the ones to use.
        objective: measures it.
        preprocess: turns rows into its inputs; names its classes.
        device, path: where and how it runs.
        task: the name of what it was trained for.
        folder: of the run it was loaded from; None while that is being made.
    """

    model: nn.Module
    objective: Objective
    preprocess: Preprocess
    device: torch.device
    path: str = "eager"
    task: str = "classification"
    folder: Path | None = None


def forward(trained: Trained, batches: Batches) -> tuple[Tensor, Tensor]:
    """Return all outputs (N, ...) and targets, on the CPU, in the order of the rows, in evaluation mode."""
    how, outputs, targets = PATHS[trained.path], [], []
    with evaluating(trained.model):
        for inputs, wanted in batches:
            with how.computing(trained.device):
                outputs.append(trained.model(how.batch(inputs.to(trained.device))).float().cpu())
            targets.append(wanted)
    given, wanted = torch.cat(outputs), torch.cat(targets)
    order = batches.row_order()
    if order is None:
        return given, wanted
    back = order.argsort()
    return given[back], wanted[back]


def measure(trained: Trained, batches: Batches) -> dict[str, float]:
    """Return the mean of every measure of the objective over some batches, in evaluation mode."""
    with evaluating(trained.model):
        return means(_measure(trained, *batch) for batch in batches)


def _measure(trained: Trained, inputs: Tensor, targets: Tensor) -> Measures:
    how, device = PATHS[trained.path], trained.device
    with how.computing(device):
        return trained.objective.measure(trained.model, (how.batch(inputs.to(device)), targets.to(device)))
