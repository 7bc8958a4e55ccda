"""Small images, and a classifier trained on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from pellucid.config import Config
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources.arrays import arrays
from pellucid.evaluation import Trained
from pellucid.record import Run
from pellucid.tasks.classification.objective import classification
from pellucid.tasks.prepared import Prepared
from pellucid.tasks.task import Task
from pellucid.train.optimizers import optimizer
from pellucid.train.trainer import Trainer


@dataclass(frozen=True)
class Digits:
    """scikit-learn's digits: as tensors (1797, 1, 8, 8) with pixels in 0..1 and (1797,), and as a dataset."""

    images: Tensor
    labels: Tensor
    dataset: Dataset


@pytest.fixture(scope="session")
def digits() -> Digits:
    pixels, labels = load_digits().images[:, None].astype(np.float32) / 16, load_digits().target
    parts = {"validation": slice(1000, 1300), "test": slice(1300, 1797)}
    dataset = arrays(
        pixels[:1000],
        labels[:1000],
        task="classification",
        **{name: (pixels[part], labels[part]) for name, part in parts.items()},
    )
    return Digits(torch.from_numpy(pixels), torch.from_numpy(labels), dataset)


@pytest.fixture(scope="session")
def evaluator(digits: Digits) -> Trained:
    """A classifier of digits that is right nine times in ten."""
    preprocess = Preprocess.fit(digits.dataset)
    inputs, targets = preprocess.inputs(digits.dataset.splits["train"]), digits.labels[:1000]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 10))
    steps = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(100):
        steps.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        steps.step()
    return Trained(model, classification(), preprocess, torch.device("cpu"))


@dataclass
class Learned:
    """A finished training run: everything a task measures and shows."""

    run: Run
    task: Task
    prepared: Prepared
    trained: Trained
    trainer: Trainer


@pytest.fixture
def learn(digits: Digits, tmp_path: Any) -> Callable[..., Learned]:
    """Train a model on digits as a task says: (task, model, options of the objective) -> `Learned`."""

    def learned(
        task: Task,
        model: nn.Module,
        options: dict[str, Any] | None = None,
        *,
        name: str = "autoencoder",
        model_options: dict[str, Any] | None = None,
        evaluator: Trained | None = None,
        epochs: int = 2,
        lr: float = 1e-2,
        dataset: Dataset | None = None,
        watched: bool = True,
    ) -> Learned:
        config = Config.parse(
            {
                "data": {"normalize": False},
                "model": {"name": name, "options": model_options or {}},
                "objective": {"name": task.name, "options": options or {}},
                "train": {"epochs": epochs, "batch_size": 100, "device": "cpu", "execution": "eager"},
            }
        )
        prepared = task.prepare(dataset or digits.dataset, config, reads_tokens=False)
        prepared = replace(prepared, needed={"evaluator": evaluator} if evaluator else {})
        objective = task.objective(config, prepared)
        task.check(model, objective, prepared)
        run = Run.create(tmp_path / "runs", "test", config.to_yaml())
        shown = task.callbacks(run, prepared) if watched else []
        torch.manual_seed(1)
        trainer = Trainer(model, objective, partial(optimizer, "adamw", lr=lr), config.train, callbacks=shown)
        trainer.fit(prepared.training_batches(), {"val": prepared.batches("validation")})
        trained = Trained(model, objective, prepared.preprocess, torch.device("cpu"), task=task.name)
        return Learned(run, task, prepared, trained, trainer)

    return learned
