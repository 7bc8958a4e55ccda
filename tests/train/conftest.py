"""Small things to train."""

import shutil
from functools import partial

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from pellucid.config import TrainConfig
from pellucid.data.batches import Batches, MemoryRows
from pellucid.tasks.classification.objective import classification
from pellucid.train.optimizers import optimizer
from pellucid.train.trainer import Trainer

compiles = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++"))), reason="compiling needs a C++ compiler"
)


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's digits: inputs (1797, 64) in 0..1, and targets (1797,)."""
    inputs, targets = load_digits(return_X_y=True)
    return torch.tensor(inputs, dtype=torch.float32) / 16, torch.tensor(targets)


@pytest.fixture
def batches(digits):
    """300 rows, shuffled, 32 at a time."""
    inputs, targets = digits
    return Batches(MemoryRows(inputs[:300], targets[:300]), 32, shuffle=True)


@pytest.fixture
def held_out(digits):
    inputs, targets = digits
    return Batches(MemoryRows(inputs[1000:], targets[1000:]), 256)


def network(seed=0, dropout=0.2):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 10)
    )


def trainer(model=None, *, callbacks=(), lr=0.01, objective=None, schedule=None, **config):
    settings = TrainConfig(**{"epochs": 3, "device": "cpu", "execution": "eager", **config})
    return Trainer(
        model if model is not None else network(),
        objective or classification(),
        partial(optimizer, "adamw", lr=lr),
        settings,
        schedule=schedule,
        callbacks=list(callbacks),
    )
