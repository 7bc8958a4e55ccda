"""Options of losses, models, optimizers and schedules: typed, and refused before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid import fit, runner
from pellucid.config import Config
from pellucid.data.sources.arrays import arrays
from pellucid.errors import ConfigError, PellucidError
from pellucid.runner.check import check_config
from pellucid.tasks import get_task
from pellucid.train import losses


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objective.loss": "focal", "objective.loss_options": {"gama": 1}}, "Did you mean 'gamma'"),
        ({"objective.loss_options": {"label_smoothing": 2}}, "expected a number from 0 to 1, received 2"),
        (
            {"objective.loss": "focal", "objective.loss_options": {"weight": "a"}},
            "objective.loss_options.weight: expected a list of numbers or null, received 'a'",
        ),
        ({"model.options": {"hiden": [3]}}, "one of: activation, dropout, hidden, norm, size"),
        ({"model.options": {"hidden": "wide"}}, "model.options.hidden: expected a list of whole numbers"),
        ({"optimizer.options": {"beta": [0.9, 0.99]}}, "Did you mean 'betas'"),
        ({"optimizer.options": {"layer_decay": "x"}}, "optimizer.options.layer_decay: expected a number"),
        ({"optimizer.name": "torch.optim:SGD", "optimizer.options": {"momentm": 0.9}}, "'momentum'"),
        ({"schedule.name": "cosine", "schedule.options": {"finale": 0.1}}, "Did you mean 'final'"),
        ({"schedule.name": "plateau", "schedule.options": {"patience": -1}}, "expected a whole number of 0"),
        ({"objective.name": "elbo", "objective.options": {"btea": 1}}, "Did you mean 'beta'"),
        (
            {"objective.name": "elbo", "objective.loss_options": {"delta": 1}},
            "'elbo' does not learn by a loss",
        ),
        (
            {"objective.loss": "torch.nn:HuberLoss", "objective.loss_options": {"dleta": 2}},
            "Did you mean 'delta'",
        ),
    ],
)
def test_what_does_not_exist_or_fit_is_refused_before_data_is_loaded(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    config = Config().patch({"data.source": "nowhere.csv", **changes})  # which is not there
    with pytest.raises(PellucidError) as caught:
        runner.train(config, runs=tmp_path / "runs")
    assert said in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_options_of_the_config_reach_the_loss() -> None:
    config = Config().patch({"objective.loss": "focal", "objective.loss_options": {"gamma": "3e0"}})
    logits, targets = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    loss = get_task("classification").objective(config).phases[0].loss(torch.nn.Identity(), (logits, targets))
    assert loss == losses.focal(logits, targets, gamma=3)


def numbers() -> Any:
    X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)).numpy()
    return arrays(X, X @ [1.0, 2.0, 3.0])


@pytest.mark.parametrize("loss", ["huber", "torch.nn.functional:huber_loss", "torch.nn:HuberLoss"])
def test_fit_takes_options_of_a_named_loss(tmp_path: Path, loss: str) -> None:
    def trained(**options: Any) -> float:
        run = fit("mlp", numbers(), loss=loss, epochs=1, runs=tmp_path, progress=False, **options)
        return run.metrics["train/loss"]

    assert trained(loss_options={"delta": 0.1}) < 0.5 * trained()


def test_the_same_option_is_not_set_twice_nor_where_it_does_nothing(tmp_path: Path) -> None:
    settings = {"objective.label_smoothing": 0.1}
    with pytest.raises(ConfigError, match="both are set"):
        check_config(Config().patch({**settings, "objective.loss_options": {"label_smoothing": 0.2}}))
    with pytest.raises(ConfigError, match="the loss mse has no such option"):
        fit("mlp", numbers(), runs=tmp_path, progress=False, settings=settings)
