"""`fit` and the run it returns, from Python."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import pellucid
from pellucid.errors import ConfigError, ModelError, UnknownNameError


@pytest.fixture(scope="module")
def digits():
    inputs, targets = load_digits(return_X_y=True)
    return pellucid.arrays(inputs.reshape(-1, 8, 8), targets)


class Own(nn.Module):
    """A module of the caller's own."""

    def __init__(self, outputs=10):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, outputs))

    def forward(self, x):
        return self.layers(x)


def test_any_module_trains_predicts_evaluates_and_reports(digits, runs):
    run = pellucid.fit(Own(), digits, epochs=8, lr=0.01, runs=runs, progress=False)
    assert run.metrics["test/accuracy"] > 0.9
    pixels, labels = load_digits(return_X_y=True)
    said = run.predict(pixels[:50].reshape(-1, 8, 8))
    assert said.outputs.shape == (50, 10)
    assert np.allclose(said.outputs.sum(1), 1, atol=1e-5)
    assert np.mean([int(label) for label in said.labels] == labels[:50]) > 0.9
    assert run.evaluate("test").metrics["accuracy"] == pytest.approx(run.metrics["test/accuracy"])
    assert run.report().read_text(encoding="utf-8").startswith("<!doctype html>")
    again = pellucid.Run(run.path, Own(), digits)
    assert again.predict(pixels[:3].reshape(-1, 8, 8)).labels == said.labels[:3]


def test_a_users_module_must_be_passed_again(digits, runs):
    run = pellucid.fit(Own(), digits, epochs=1, runs=runs, progress=False)
    with pytest.raises(ModelError, match="Own"):
        pellucid.Run(run.path).predict(np.zeros((1, 8, 8)))


def test_a_model_by_name_is_built_for_the_data(digits, runs):
    run = pellucid.fit(
        "mlp", digits, epochs=2, runs=runs, progress=False, settings={"model.options.hidden": [16]}
    )
    assert run.facts["model"]["parameters"] == 64 * 16 + 16 + 16 * 10 + 10
    assert pellucid.Run(run.path).predict(np.zeros((2, 8, 8))).outputs.shape == (2, 10)


def test_a_run_is_repeatable(digits, runs):
    first, second = (
        pellucid.fit("mlp", digits, epochs=2, runs=runs, progress=False, seed=3) for _ in range(2)
    )
    assert first.metrics == second.metrics


def test_regression_predicts_in_the_units_of_the_target(runs):
    X = np.random.default_rng(0).normal(size=(400, 3))
    data = pellucid.arrays(X, 1000 + 50 * X[:, 0])
    run = pellucid.fit("mlp", data, epochs=30, lr=0.01, runs=runs, progress=False)
    assert run.metrics["test/r2"] > 0.8
    values = run.predict(np.array([[0.0, 0, 0], [1.0, 0, 0]])).outputs.ravel()
    assert values == pytest.approx([1000, 1050], abs=25)
    assert run.facts["baselines"]["linear"]["test/mae"] < 5


@pytest.mark.parametrize(
    ("model", "options", "error", "words"),
    [
        (Own(7), {}, ModelError, "one logit for each of the 10 outputs"),
        (nn.Linear(5, 10), {}, ModelError, "cannot take inputs of shape"),
        ("mpl", {}, UnknownNameError, "Did you mean 'mlp'"),
        ("mlp", {"epoch": 3}, UnknownNameError, "Did you mean 'epochs'"),
        ("mlp", {"epochs": 0}, ConfigError, "train.epochs"),
        ("mlp", {"loss": "mse"}, ConfigError, "is for regression"),
    ],
)
def test_invalid_input_is_refused_before_anything_is_written(digits, runs, model, options, error, words):
    with pytest.raises(error, match=words):
        pellucid.fit(model, digits, runs=runs, progress=False, **options)
    assert not runs.exists()


def test_the_parts_work_in_a_users_own_loop(digits):
    from functools import partial

    from pellucid.tasks.classification.objective import classification
    from pellucid.train.optimizers import optimizer

    batches = [(torch.randn(16, 8, 8), torch.randint(0, 10, (16,))) for _ in range(4)]
    trainer = pellucid.Trainer(Own(), classification(), partial(optimizer, "sgd", lr=0.1))
    trainer.config.epochs = 2
    trainer.fit(batches)
    assert trainer.step == 8
