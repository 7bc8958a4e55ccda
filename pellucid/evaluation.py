"""The evaluation of a trained model on a split: metrics, predictions, and the blocks of the report.

An `Outcome` writes `evaluation/<split>.json` (metrics, summary, and the blocks of the report) and pictures in
`samples/`; if the task provides them, also `<split>.parquet` (one row per prediction) and
`<split>-examples.parquet` (the most informative rows).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from pellucid.batch import as_batch
from pellucid.data.batches import Batches
from pellucid.data.preprocess import Preprocess
from pellucid.errors import UsageError
from pellucid.nn.modes import evaluating
from pellucid.record import files
from pellucid.train.execution import execution_mode
from pellucid.train.objective import Objective, read_logits

EVALUATION = "evaluation"  # folders of a run
SAMPLES = "samples"

NOT_DEFINED = "it is not defined for these rows (0 / 0)"


@dataclass(frozen=True)
class Outcome:
    """The result on one split.

    Attributes:
        metrics: e.g. {"accuracy": 0.995, "loss": 0.02}; numbers, or arrays and tensors of one number.
        summary: other content of `<split>.json`.
        predictions: one row per prediction.
        examples: the most informative rows.
        blocks: blocks of the report in order; for their kinds see `report.blocks`.
        pictures: PNG files by the name that blocks refer to, `samples/<name>`.
        left_out: the reason by the name of each metric that is not a number here (NaN), and so is none of
            `metrics`; for those that the task gives no reason for, it is a general one.

    Raises:
        UsageError: a metric is not one number, or the blocks are not dicts.
    """

    metrics: dict[str, float]
    summary: dict[str, Any] = field(default_factory=dict)
    predictions: pa.Table | None = None
    examples: pa.Table | None = None
    blocks: list[dict[str, Any]] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        of = f" of the task {self.summary['task']}" if "task" in self.summary else ""
        numbers = {name: _one_number(name, value, of) for name, value in self.metrics.items()}
        missing = {name: NOT_DEFINED for name, value in numbers.items() if math.isnan(value)}
        object.__setattr__(
            self, "metrics", {name: value for name, value in numbers.items() if name not in missing}
        )
        object.__setattr__(self, "left_out", missing | self.left_out)
        if not isinstance(self.blocks, list) or not all(isinstance(block, dict) for block in self.blocks):
            raise UsageError(
                f"The blocks of an Outcome{of} must be a list of dicts, received {self.blocks!r:.80}.",
                remedy='blocks=[{"kind": ..., "title": ..., "caption": ...}]',
            )

    def write(self, folder: Path, split: str) -> None:
        """Write all files to a run folder; the JSON comes last, so that the files it names exist."""
        for name, content in self.pictures.items():
            files.write(folder / SAMPLES / name, content)
        for name, table in ((split, self.predictions), (f"{split}-examples", self.examples)):
            if table is not None:
                sink = pa.BufferOutputStream()
                pq.write_table(table, sink)
                files.write(folder / EVALUATION / f"{name}.parquet", sink.getvalue().to_pybytes())
        left_out = {"left_out": self.left_out} if self.left_out else {}
        facts = {"split": split, "metrics": self.metrics, **left_out, **self.summary, "blocks": self.blocks}
        files.write_json(folder / EVALUATION / f"{split}.json", facts)


def _one_number(name: str, value: Any, of: str) -> float:
    """Return a metric as a plain number.

    Raises:
        UsageError: it is not one number.
    """
    try:
        number = value.item() if hasattr(value, "item") else value
    except (RuntimeError, ValueError):
        number = None
    if isinstance(number, int | float):
        return number if type(number) is int else float(number)
    shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
    raise UsageError(
        f"The metric {name!r}{of} must be one number, received {type(value).__name__}{shape}: {value!r:.60}."
    )


@dataclass(frozen=True)
class Trained:
    """A trained model with everything needed to evaluate it.

    Attributes:
        model: the model with its trained weights.
        objective: the objective, which measures the model.
        preprocess: converts rows to inputs, and holds the class names.
        device: the device to compute on.
        execution: name of the execution mode.
        task: name of the task it was trained for.
        folder: folder of its run; None while the run folder does not exist yet.
        threshold: probability from which on the second of two classes is predicted, or a label holds; None:
            the most probable class, or 0.5.
    """

    model: nn.Module
    objective: Objective
    preprocess: Preprocess
    device: torch.device
    execution: str = "eager"
    task: str = "classification"
    folder: Path | None = None
    threshold: float | None = None


def forward(trained: Trained, batches: Batches) -> tuple[Tensor, Tensor]:
    """Return all outputs (N, ...) and targets on the CPU, in the order of the rows, in evaluation mode."""
    mode, outputs, targets = execution_mode(trained.execution), [], []
    with evaluating(trained.model):
        for batch in batches:
            with mode.computing(trained.device):
                made = trained.objective.forward(trained.model, mode.place_batch(batch, trained.device))
            outputs.append(read_logits(made).float().cpu())
            targets.append(as_batch(batch).targets)
    given, wanted = torch.cat(outputs), torch.cat(targets)
    order = batches.row_order()
    if order is None:
        return given, wanted
    back = order.argsort()
    return given[back], wanted[back]


def measure(trained: Trained, batches: Iterable[Any]) -> dict[str, float]:
    """Return every measure and metric of the objective over the batches, in evaluation mode."""
    mode = execution_mode(trained.execution)
    placed = (mode.place_batch(batch, trained.device) for batch in batches)
    with evaluating(trained.model):
        return trained.objective.evaluate(trained.model, placed, partial(mode.computing, trained.device))


def own_metrics(trained: Trained, batches: Iterable[Any]) -> dict[str, float]:
    """Return the metrics that a user added to the objective; tasks measure their own."""
    if not trained.objective.metrics:
        return {}
    only = replace(trained.objective, measure=lambda model, batch: {}, score=lambda outputs, batch: {})
    return measure(replace(trained, objective=only), batches)
