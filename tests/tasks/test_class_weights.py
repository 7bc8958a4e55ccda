"""Weights of classes: by frequency, by name, in order; for rows, steps and tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pellucid
from pellucid.config import Config
from pellucid.errors import ConfigError, UnknownNameError
from pellucid.tasks import get_task
from pellucid.tasks.shared.class_weights import class_weights

COUNTS = torch.tensor([1.0, 3.0, 0.0])


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (True, [4 / 3, 4 / 9, 4 / 3]),
        ({"b": 5}, [1, 5, 1]),
        ([1, 2, 3], [1, 2, 3]),
    ],
)
def test_weights_are_those_asked_for(asked: Any, expected: list[float]) -> None:
    found = class_weights(asked, "abc", lambda: COUNTS)
    assert found is not None
    assert found.tolist() == pytest.approx(expected)
    assert class_weights(False, "abc", lambda: COUNTS) is None


def test_weights_that_fit_no_class_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="class to weigh"):
        class_weights({"d": 2.0}, "abc", lambda: COUNTS)
    with pytest.raises(ConfigError, match="expected one for each of 3 classes, in the order a, b, c"):
        class_weights([1, 2], "abc", lambda: COUNTS)


def test_steps_without_a_label_are_not_counted(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(6, 4, 2)).astype(np.float32)
    y = np.array([["a", "b", "b", None]] * 6, object)
    task, config = get_task("steps"), Config().patch({"objective.name": "steps"})
    prepared = task.prepare(pellucid.arrays(X, y), config, False)
    inputs, targets = next(iter(prepared.training_batches()))
    logits = torch.zeros(*targets.shape, 2)
    logits[..., 0] = 1.0
    model = torch.nn.Linear(2, 2)
    model.forward = lambda _: logits  # type: ignore[method-assign]
    found = {}
    for asked in (True, {"a": 1.5, "b": 0.75}, False):
        objective = task.objective(config.patch({"objective.class_weights": asked}), prepared)
        found[str(asked)] = float(objective.phases[0].loss(model, (inputs, targets)))
    assert found["True"] == pytest.approx(found[str({"a": 1.5, "b": 0.75})])
    assert found["True"] != pytest.approx(found["False"])
