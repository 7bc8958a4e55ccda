"""A threshold between two classes, a number or the best on validation rows, decides what is predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score
from torch import nn

import pellucid
from pellucid.errors import ConfigError
from pellucid.tasks.classification.threshold import best_threshold

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 3)).astype("float32")
Y = np.where(X[:, 0] + RNG.normal(size=400) > 1.4, "yes", "no")
SCORES = {"f1": f1_score, "balanced_accuracy": balanced_accuracy_score}


@pytest.fixture
def fit(tmp_path: Path) -> Any:
    def fitted(threshold: Any, y: Any = Y, model: nn.Module | None = None, **more: Any) -> pellucid.Run:
        chosen = {"epochs": 3, "lr": 0.01, "execution": "eager", "progress": False, **more}
        settings = {"objective.threshold": threshold}
        torch.manual_seed(0)
        return pellucid.fit(model or nn.Linear(3, 2), (X, y), settings=settings, runs=tmp_path, **chosen)

    return fitted


@pytest.mark.parametrize("by", SCORES)
def test_the_best_threshold_is_that_of_a_search_through_all(by: str) -> None:
    for rows in (2, 7, 60):
        probs = RNG.random(rows).round(1)
        targets = np.arange(rows) % 2
        found, score = best_threshold(probs, targets, by)
        every = [SCORES[by](targets, probs >= value) for value in np.linspace(0.01, 1, 100)]
        assert np.isclose(score, SCORES[by](targets, probs >= found))
        assert score >= max(every) - 1e-12


@pytest.mark.parametrize("by", SCORES)
def test_a_threshold_chosen_on_validation_rows_is_followed_everywhere(fit: Any, by: str) -> None:
    run = fit(by)
    (choice,) = [choice for choice in run.facts["choices"] if choice["what"] == "threshold"]
    assert "on 40 validation rows" in choice["reason"]
    assert choice["value"] < 0.5  # few rows are "yes"
    for opened in (run, pellucid.Run(run.path, model=nn.Linear(3, 2), dataset=run.dataset)):
        found = opened.predict(X)
        assert (np.array(found.labels) == np.where(found.probs[:, 1] >= choice["value"], "yes", "no")).all()
    assert run.evaluate("test").metrics["f1"] == pytest.approx(run.metrics["test/f1"])
    assert set(run.predict(X, threshold=1.0).labels) == {"no"}


def test_a_number_is_followed_and_scores_with_it(fit: Any) -> None:
    run = fit(0.0)
    assert set(run.predict(X).labels) == {"yes"}
    assert run.metrics["test/balanced_accuracy"] == 0.5
    plain = fit(None)
    assert plain.metrics["test/accuracy"] > run.metrics["test/accuracy"]
    assert plain.metrics["test/auroc"] == pytest.approx(run.metrics["test/auroc"])


def test_labels_hold_from_a_number_on(fit: Any) -> None:
    labels = (X > 0).astype(int)
    run = fit(0.0, labels, nn.Linear(3, 3))
    assert run.predict(X).indicators.all()
    with pytest.raises(ConfigError, match="decides between two classes"):
        fit("f1", labels, nn.Linear(3, 3))


def test_more_classes_and_numbers_have_no_threshold(fit: Any) -> None:
    with pytest.raises(ConfigError, match="this is 3 classes"):
        fit("f1", X.argmax(1), nn.Linear(3, 3))
    with pytest.raises(ConfigError, match="this is the task regression"):
        fit(0.5, X[:, 0], nn.Linear(3, 1))
    with pytest.raises(ConfigError, match="threshold"):
        fit("recall")
