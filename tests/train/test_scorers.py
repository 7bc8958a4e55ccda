"""Scorers of scikit-learn and their names as metrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import fbeta_score, make_scorer

import pellucid
from pellucid.errors import ConfigError, UsageError

X = np.random.default_rng(0).normal(size=(60, 2))


def test_scorers_and_names_of_scorers_are_metrics(tmp_path: Path) -> None:
    options = {"epochs": 1, "execution": "eager", "progress": False, "runs": tmp_path}
    own = make_scorer(lambda y, predicted: float((y == predicted).mean()))
    scorers = {"f2": make_scorer(fbeta_score, beta=2), "same": own}
    run = pellucid.fit("linear", (X, X[:, 0] > 0), metrics=scorers, **options)
    assert 0 <= run.metrics["val/f2"] <= 1
    assert run.metrics["val/same"] == pytest.approx(run.metrics["val/accuracy"])
    run = pellucid.fit("linear", (X, X[:, 0]), metrics=["neg_mean_absolute_error", "r2"], **options)
    assert {"val/mae", "val/r2"} <= run.metrics.keys()


def test_what_is_for_classes_or_for_evaluation_is_refused_with_what_to_call(tmp_path: Path) -> None:
    options = {"epochs": 1, "execution": "eager", "progress": False, "runs": tmp_path}
    with pytest.raises(ConfigError, match="Class weights are for classes, and this is regression"):
        pellucid.fit("linear", (X, X[:, 0]), class_weight="balanced", **options)
    run = pellucid.fit("linear", (X, X[:, 0]), **options)
    with pytest.raises(UsageError, match=r"run.evaluate\(\(X, y\)\)"):
        run.predict((X, X[:, 0]))
