"""A class or numbers for every step of a series: reading y, losses, models, scores, files, real engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn import metrics as scores
from torch import nn
from torch.nn import functional as F
from typer.testing import CliRunner

import pellucid
from pellucid import report
from pellucid.cli.main import app
from pellucid.data.preprocess import Preprocess
from pellucid.errors import BadDataError, ModelError, UsageError
from pellucid.tasks.shared.step_objective import by_step, step_classes, step_numbers
from pellucid.tasks.steps.baselines import class_baselines, number_baselines
from pellucid.tasks.steps.scores import score_classes, score_numbers

ROWS, STEPS, K = 40, 12, 3


def rows(count: int = ROWS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Series of two channels (N, T, 2) in which classes (N, T) take turns."""
    chosen = np.random.default_rng(seed)
    y = (chosen.integers(0, K, (count, 1)) + np.arange(STEPS) // 4) % K
    X = np.stack([np.sin(2.1 * y), np.cos(2.1 * y)], 2) + chosen.normal(0, 0.2, (count, STEPS, 2))
    return X.astype(np.float32), y


X, Y = rows()
WORDS = np.array(["run", "sit", "walk"])[Y]
SOME = Y != 1
"""Steps that have a label, in the tests of missing ones."""


def fit(model: Any, data: Any, tmp_path: Path, **options: Any) -> pellucid.Run:
    return pellucid.fit(model, data, runs=tmp_path, progress=False, **{"epochs": 1, "lr": 0.01, **options})


@pytest.mark.parametrize(
    ("y", "classes", "labels", "missing"),
    [
        (WORDS, ("run", "sit", "walk"), ("run", "sit", "walk"), 0),
        (WORDS.tolist(), ("run", "sit", "walk"), ("run", "sit", "walk"), 0),
        (np.where(SOME, WORDS.astype(object), None), ("run", "walk"), ("run", "walk"), 1),
        (Y, ("0", "1", "2"), (0, 1, 2), 0),
        (torch.tensor(Y), ("0", "1", "2"), (0, 1, 2), 0),
        (Y + 5, ("5", "6", "7"), (5, 6, 7), 0),
        (np.where(SOME, Y, -1), ("0", "2"), (0, 2), 1),
        (np.where(SOME, Y, np.nan), ("0", "2"), (0.0, 2.0), 1),
        (Y == 1, ("false", "true"), (False, True), 0),
        (np.where(SOME, 1, -1), ("-1", "1"), (-1, 1), 0),
        (np.eye(K)[Y], ("0", "1", "2"), (0, 1, 2), 0),
        (Y[..., None], ("0", "1", "2"), (0, 1, 2), 0),
    ],
)
def test_classes_of_steps_keep_their_type_and_may_be_missing(
    y: Any, classes: tuple[str, ...], labels: tuple[Any, ...], missing: bool
) -> None:
    data = pellucid.arrays(X, y)
    assert (data.task, data.encoding, data.classes) == ("steps", "step_classes", classes)
    encoded = Preprocess.fit(data)
    targets = encoded.targets(data.splits["train"])
    assert encoded.target is not None
    assert encoded.target.labels == labels
    assert tuple(map(type, encoded.target.labels)) == tuple(map(type, labels))
    assert targets.shape == (ROWS, STEPS)
    assert (targets == 0).sum() == (~SOME).sum() * missing


@pytest.mark.parametrize("y", [X[:, :, 0], X, X[:, :, :1], np.where(SOME, X[:, :, 0], np.nan)])
def test_numbers_of_steps_are_standardized_and_come_back(y: np.ndarray) -> None:
    data = pellucid.arrays(X, 10 * y + 3)
    assert (data.task, data.encoding) == ("steps", "step_numbers")
    encoded = Preprocess.fit(data)
    targets = encoded.targets(data.splits["train"])
    wide = y[..., None] if y.ndim == 2 else y
    assert targets.shape == wide.shape
    assert targets[~targets.isnan()].mean().abs() < 1e-5
    assert np.allclose(encoded.untarget(targets).numpy(), 10 * wide + 3, atol=1e-4, equal_nan=True)


def test_what_y_is_for_follows_from_the_shapes() -> None:
    table = X[:, :, 0]
    assert pellucid.arrays(table, WORDS).task == "steps"
    assert pellucid.arrays(table, X[:, :, 1]).task == "regression"  # as many targets as features
    assert pellucid.arrays(table, X[:, :, 1], kind="series").task == "steps"
    assert pellucid.arrays(table, X[:, :, 1], task="steps").task == "steps"
    assert pellucid.arrays(table, (Y > 1).astype(int)).task == "multilabel"
    assert pellucid.arrays(X, Y[:, 0]).task == "classification"
    assert pellucid.arrays(X, X[:, :5, 0]).task == "regression"


def test_labels_that_fit_no_step_are_refused() -> None:
    with pytest.raises(BadDataError, match="second axis"):
        pellucid.arrays(X.transpose(0, 2, 1), Y)
    with pytest.raises(UsageError, match=r"received X \(40, 12, 2\) and y \(40, 5\)"):
        pellucid.arrays(X, Y[:, :5], task="steps")
    with pytest.raises(BadDataError, match="1 different labels"):
        pellucid.arrays(X, np.full(Y.shape, "walk"))
    with pytest.raises(BadDataError, match="mixes types"):
        pellucid.arrays(X, np.where(SOME, WORDS.astype(object), 5))


def test_steps_without_a_label_do_not_count() -> None:
    logits, targets = torch.randn(4, 6, K), torch.randint(0, K + 1, (4, 6))
    weights = torch.tensor([1.0, 2.0, 5.0])
    for smoothing, each in ((0.0, None), (0.1, weights)):
        made = step_classes("steps", smoothing, each)
        found = made.phases[0].loss(nn.Identity(), (logits, targets))
        plain = F.cross_entropy(
            logits[targets > 0], targets[targets > 0] - 1, weight=each, label_smoothing=smoothing
        )
        assert torch.allclose(found, plain)
    numbers = torch.randn(4, 6, 2).masked_fill(torch.rand(4, 6, 2) < 0.5, torch.nan)
    known = ~numbers.isnan()
    outputs = torch.randn(4, 6, 2)
    found = step_numbers("steps").phases[0].loss(nn.Identity(), (outputs, numbers))
    assert torch.allclose(found, F.mse_loss(outputs[known], numbers[known]))


@pytest.mark.parametrize("objective", [step_classes("steps"), step_numbers("steps")])
def test_a_batch_without_any_label_changes_nothing(objective: Any) -> None:
    classes = objective.monitor == "val/accuracy"
    outputs = torch.randn(2, 5, K, requires_grad=True)
    targets = torch.zeros(2, 5, dtype=torch.long) if classes else torch.full((2, 5, K), torch.nan)
    loss = objective.phases[0].loss(nn.Identity(), (outputs, targets))
    loss.backward()
    assert loss == 0
    assert outputs.grad is not None
    assert (outputs.grad == 0).all()


def test_scores_are_those_of_scikit_learn() -> None:
    chosen = np.random.default_rng(0)
    probs, wanted = chosen.dirichlet(np.ones(K), 50), chosen.integers(0, K, 50)
    preds, found = probs.argmax(1), score_classes(probs, wanted)
    assert found["accuracy"] == pytest.approx(scores.accuracy_score(wanted, preds))
    assert found["balanced_accuracy"] == pytest.approx(scores.balanced_accuracy_score(wanted, preds))
    assert found["f1"] == pytest.approx(scores.f1_score(wanted, preds, average="macro"))
    assert found["loss"] == pytest.approx(scores.log_loss(wanted, probs))
    errors = score_numbers(probs, 2 * probs)
    assert errors["mae"] == pytest.approx(scores.mean_absolute_error(2 * probs, probs))
    assert errors["rmse"] == pytest.approx(np.sqrt(scores.mean_squared_error(2 * probs, probs)))


def test_baselines_see_the_steps_around_and_not_those_without_a_label() -> None:
    labels = np.roll(Y, 1, axis=1)  # the class of the step before
    labels[:, 0] = -1
    found = class_baselines((X, labels), {"test": (X, labels)}, K)
    assert found["window"]["test/accuracy"] > 0.95 > found["prior"]["test/accuracy"]
    numbers = X[:, :, 1:]
    copied = number_baselines((X, numbers), {"test": (X, numbers)})
    assert copied["copy"]["test/mae"] == 0 < copied["prior"]["test/mae"]


class Net(nn.Module):
    """An LSTM with a linear layer; `turned` returns (N, K, T), as convolutions do."""

    def __init__(self, channels: int, outputs: int, turned: bool = False):
        super().__init__()
        self.lstm, self.turned = nn.LSTM(channels, 16, batch_first=True), turned
        self.output = nn.Linear(16, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.output(self.lstm(x)[0])
        return made.transpose(1, 2) if self.turned else made


@pytest.mark.parametrize("turned", [False, True])
def test_own_modules_may_put_the_steps_last(turned: bool, tmp_path: Path) -> None:
    run = fit(Net(2, K, turned), (X, WORDS), tmp_path, epochs=8, batch_size=4, lr=0.02)
    labels = run.predict(X).labels
    assert labels.dtype.kind == "U"
    assert labels.shape == WORDS.shape
    assert (labels == WORDS).mean() > 0.9
    assert run.evaluate((X, WORDS)).metrics["accuracy"] == pytest.approx((labels == WORDS).mean())


def test_shapes_that_modules_return() -> None:
    batch = (None, torch.zeros(2, 5, dtype=torch.long))
    for returned, outputs in (((2, 5, 3), 3), ((2, 3, 5), 3), ((2, 5), 1), ((2, 5, 1), 1), ((2, 1, 5), 1)):
        assert by_step(outputs)(torch.zeros(returned), batch).shape == (2, 5, outputs)


@pytest.mark.parametrize("model", ["gru", "transformer", "tcn"])
def test_sequence_models_answer_at_every_step_without_being_told(model: str, tmp_path: Path) -> None:
    small = {"model.size": "tiny"}
    run = fit(model, (X, np.where(SOME, Y, -1)), tmp_path, epochs=6, batch_size=8, settings=small)
    labels = run.predict(X[:5]).labels
    assert labels.dtype == np.int64
    assert labels.shape == (5, STEPS)
    assert set(labels.ravel()) <= {0, 2}
    assert run.metrics["test/accuracy"] > 0.8


def test_a_model_of_whole_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="one logit for each class at every step"):
        fit("mlp", (X, Y), tmp_path)
    with pytest.raises(ModelError, match="a last layer of 1 on every step"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(2 * STEPS, 1)), (X, X[:, :, 0]), tmp_path)


def test_numbers_of_steps_in_the_shape_of_y_and_on_with_the_run(tmp_path: Path) -> None:
    y = 100 + 10 * X[:, :, :1]
    run = fit("tcn", (X, y), tmp_path, epochs=2, batch_size=8, settings={"model.size": "tiny"})
    assert run.predict(X[:3]).labels.shape == (3, STEPS, 1)
    more = {"epochs": 25, "batch_size": 8, "settings": {"model.size": "tiny"}}
    run = fit("tcn", (X, y), tmp_path, resume=run.id, **more)
    assert run.metrics["test/mae"] < 2 < run.facts["baselines"]["prior"]["test/mae"]


def test_files_of_arrays_are_trained_and_predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("steps").mkdir()
    np.save("steps/X.npy", X)
    np.save("steps/y.npy", WORDS)
    runner = CliRunner()
    for source in ("steps", "steps/X.npy"):
        offered = runner.invoke(app, ["inspect", source]).output
        assert "--task steps  a class (run, sit, walk) for each of 12 steps" in offered
    trained = runner.invoke(app, ["train", "steps", "--set", "train.epochs=3", "--set", "model.size=tiny"])
    assert trained.exit_code == 0, trained.output
    assert "boosting, on a window" in trained.output
    run = next(Path("runs").iterdir())
    made = runner.invoke(app, ["predict", str(run), "steps/X.npy", "--out", "labels.jsonl"])
    assert made.exit_code == 0, made.output
    lines = [json.loads(line) for line in Path("labels.jsonl").read_text().splitlines()]
    assert len(lines) == ROWS
    assert len(lines[0]["prediction"]) == STEPS == len(lines[0]["confidences"])
    shown = json.dumps(report.view(pellucid.Run(run)), default=str)
    assert all(title in shown for title in ("Worst series", "Accuracy along the series"))


def test_as_many_targets_as_inputs_are_steps_where_that_is_asked_for(tmp_path: Path) -> None:
    np.savez(tmp_path / "series.npz", X=X[:, :, 0], y=X[:, :, 1])
    run = fit(None, str(tmp_path / "series.npz"), tmp_path, task="steps")
    assert run.metrics.keys() >= {"test/mae", "test/rmse", "test/r2"}
    assert fit(None, (X[:, :, 0], X[:, :, 1]), tmp_path, task="steps").spec.name == "steps"


def engines(mirror: Path, length: int = 40) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Sensors of real jet engines in their last flights, and how many flights each has left at every step.

    NASA's C-MAPSS, FD001: run to failure in simulation. Splits have different engines.
    """
    table = pq.read_table(next((mirror / "nasa/cmapss/FD001").glob("train*.parquet")))
    unit, sensors = table["unit"].to_numpy(), []
    for name in table.column_names[2:]:
        values = table[name].to_numpy().astype(np.float32)
        sensors += [values] if values.std() > 1e-3 else []
    found: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {}
    for number in range(1, 51):
        split = ("train", "train", "train", "validation", "test")[number % 5]
        own = np.flatnonzero(unit == number)
        left = np.arange(len(own))[::-1].clip(max=125).astype(np.float32)
        inputs, targets = found.setdefault(split, ([], []))
        for end in range(len(own), length, -20):
            inputs.append(np.stack(sensors, 1)[own[end - length : end]])
            targets.append(left[end - length : end])
    return {split: (np.stack(inputs), np.stack(targets)) for split, (inputs, targets) in found.items()}


def test_wear_of_real_engines_is_predicted_better_than_by_boosting(mirror: Path, tmp_path: Path) -> None:
    parts = engines(mirror)
    held_out = {"validation": parts["validation"], "test": parts["test"]}
    small = {"model.size": "tiny"}
    run = fit(None, parts["train"], tmp_path, **held_out, epochs=10, batch_size=16, settings=small)
    named = run.facts["baselines"]
    assert run.metrics["test/mae"] < named["window"]["test/mae"] < named["prior"]["test/mae"]


def test_a_tagger_needs_no_pooling(tmp_path: Path) -> None:
    tags = ["O", "LOC", "O", "O"]
    rows = [{"tokens": ["In", f"Bern{row}", "it", "rains"], "tags": tags} for row in range(12)]
    (tmp_path / "tags.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run = fit("gru", str(tmp_path / "tags.jsonl"), tmp_path, objective="tagging", epochs=3)
    assert len(run.predict([["In", "Bern"]]).rows()[0]["prediction"]) == 2


def test_labels_at_the_last_step_only_have_a_baseline(tmp_path: Path) -> None:
    last = np.where(np.arange(STEPS) == STEPS - 1, Y, -1)  # no window has a step after it
    assert class_baselines((X, last), {"val": (X, last)}, K)["window"]["val/accuracy"] > 0.9
    numbers = np.where(last < 0, np.nan, 1.0 * last)[..., None]
    assert number_baselines((X, numbers), {"val": (X, numbers)})["window"]["val/mae"] < 0.3
    assert fit("gru", (X, last), tmp_path, epochs=1).facts["baselines"]["window"]
