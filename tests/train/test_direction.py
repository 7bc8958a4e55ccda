"""Whether lower or higher is better: by the name of a metric, or as the config says."""

from __future__ import annotations

import pytest
from rich.console import Console

from pellucid.config import Config
from pellucid.record import Run
from pellucid.runner.components import make_callbacks, monitored
from pellucid.train.callbacks import EarlyStopping
from pellucid.train.objective import Objective

OBJECTIVE = Objective("any", phases=(), monitor="val/accuracy", mode="max")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ("val/accuracy", "max")),
        ({"train.monitor_mode": "min"}, ("val/accuracy", "min")),
        ({"train.monitor": "val/my_rmse"}, ("val/my_rmse", "min")),
        ({"train.monitor": "val/dice"}, ("val/dice", "max")),
        ({"train.monitor": "val/dice", "train.monitor_mode": "min"}, ("val/dice", "min")),
    ],
)
def test_the_mode_of_the_monitored_metric(settings, expected):
    assert monitored(Config().patch(settings), OBJECTIVE) == expected


@pytest.mark.parametrize(
    ("stopping", "settings", "mode"),
    [
        ({"monitor": "val/error_rate"}, {}, "min"),
        ({"monitor": "val/odd"}, {}, "max"),
        ({"monitor": "val/odd", "mode": "min"}, {}, "min"),
        ({"monitor": "val/odd"}, {"train.monitor": "val/odd", "train.monitor_mode": "min"}, "min"),
        (
            {"monitor": "val/odd", "mode": "max"},
            {"train.monitor": "val/odd", "train.monitor_mode": "min"},
            "max",
        ),
    ],
)
def test_the_mode_of_early_stopping(tmp_path, stopping, settings, mode):
    config = Config().patch({"train.early_stopping": stopping, **settings})
    run = Run.create(tmp_path, "any", config.to_yaml())
    callbacks = make_callbacks(config, OBJECTIVE, run, Console(quiet=True), 1)
    (found,) = [callback for callback in callbacks if isinstance(callback, EarlyStopping)]
    assert found.mode == mode
