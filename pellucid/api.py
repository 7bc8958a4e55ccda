"""The verbs of Python: `fit` trains, and the `Run` it returns predicts, evaluates and reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from pellucid import diagnosis, inference, record, report, runner
from pellucid.config import Config
from pellucid.data.dataset import Dataset
from pellucid.errors import UnknownNameError
from pellucid.evaluation import Outcome
from pellucid.record.spec import task_for
from pellucid.tasks.task import Answer

SHORT = {
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "seed": "train.seed",
    "device": "train.device",
    "execution": "train.execution",
    "path": "train.execution",
    "lr": "optimizer.lr",
    "weight_decay": "optimizer.weight_decay",
    "optimizer": "optimizer.name",
    "schedule": "schedule.name",
    "objective": "objective.name",
    "loss": "objective.loss",
    "augment": "data.augment",
}
"""The settings `fit` takes by a short name; all others go through `settings`."""


class Run(record.Run):
    """A run folder, with the verbs that need its model.

    Args:
        path: the folder.
        model: the module it trained, where that was the caller's own.
        dataset: the data it learned from, where that was handed over.
    """

    def __init__(self, path: str | Path, model: nn.Module | None = None, dataset: Dataset | None = None):
        super().__init__(path)
        self.model, self.dataset = model, dataset

    def __repr__(self) -> str:
        numbers = ", ".join(
            f"{key} {value:.4g}" for key, value in self.metrics.items() if key.startswith("test/")
        )
        return f"Run({str(self.path)!r}, {self.status}{': ' + numbers if numbers else ''})"

    def predict(self, inputs: Any, **options: Any) -> Answer:
        """Predict for an array, a table, images, a CSV, Parquet or .npy file, or a text."""
        return inference.predict(self, inputs, self.model, **options)

    def evaluate(self, split: str = "test") -> Outcome:
        """Load the run's own data again and measure its model on a split."""
        return inference.evaluate(self, split, self.model, self.dataset)

    @property
    def findings(self) -> list[record.Finding]:
        """What the rules found in this run: errors first, then warnings, then notes."""
        return diagnosis.findings(self)

    def diagnose(self) -> list[record.Finding]:
        """Run the rules again on what was recorded and return what they find; nothing is written."""
        return diagnosis.diagnose(self)

    def report(self) -> Path:
        """Write report.html anew and return its path."""
        return report.write(self.path)


def fit(
    model: nn.Module | str,
    data: Dataset | str,
    *,
    runs: str | Path = "runs",
    resume: str | None = None,
    progress: bool = True,
    settings: Mapping[str, Any] | None = None,
    **short: Any,
) -> Run:
    """Train a model on data.

    Args:
        model: any module whose output is one logit for each class (or one number), or a model's name.
        data: a dataset, or what `pellucid.load` takes.
        runs: the folder that holds run folders.
        resume: an earlier run to go on with: its id, its folder, or "last".
        progress: show a bar and one row an epoch.
        settings: any setting by its dotted key, e.g. {"data.augment.shift": 0.1}.
        short: the usual settings by their short names: epochs, batch_size, lr, seed, ... (see `SHORT`).

    Returns:
        The finished run.

    Raises:
        PellucidError: a setting, the data or the model does not fit; says what to change.

    Example:
        >>> run = fit("mlp", "digits", epochs=3, lr=0.01)  # doctest: +SKIP
    """
    for name in short:
        if name not in SHORT:
            raise UnknownNameError("setting", name, SHORT)
    dataset = data if isinstance(data, Dataset) else None
    own = model if isinstance(model, nn.Module) else None
    values: dict[str, Any] = {"model.name": runner.OWN_MODEL if own is not None else model}
    values["data.source"] = dataset.source.name if dataset is not None else data
    if dataset is not None and (spec := task_for(dataset.task)):
        values["objective.name"] = spec.name
    values |= {SHORT[name]: value for name, value in short.items()} | dict(settings or {})
    config = Config(name=dataset.name.rsplit("/", 1)[-1] if dataset is not None else str(data)).patch(values)
    finished = runner.train(
        config,
        runs=runs,
        resume=runner.Resume(resume) if resume else None,
        dataset=dataset,
        model=own,
        console=Console(highlight=False, markup=False) if progress else None,
    )
    return Run(finished.path, own, dataset)
