"""`train.watch`: a run is looked into while it trains, stays the same to the bit, and says what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import pellucid
from pellucid.diagnosis import diagnose, watch_file
from pellucid.train.checkpoint import find_weights

draw = np.random.default_rng(0)
PICTURES = (draw.random((60, 8, 8, 1), dtype=np.float32), draw.integers(0, 3, 60))
PIXELS, LABELS = load_digits(return_X_y=True)
DIGITS = (PIXELS[:600].astype(np.float32), LABELS[:600])
SERIES = (draw.random((80, 12, 3), dtype=np.float32), draw.integers(0, 2, 80))


def fit(model: Any, data: Any, runs: Path, watch: str = "light", **settings: Any) -> pellucid.Run:
    chosen = {"train.execution": "eager", "train.epochs": 3, "train.batch_size": 16, **settings}
    return pellucid.fit(model, data, runs=runs, progress=False, watch=watch, settings=chosen)


def warned(run: pellucid.Run) -> list[str]:
    return [one.id for one in run.findings if one.severity != "info"]


@pytest.mark.parametrize(
    ("model", "data", "settings"),
    [
        ("mlp", DIGITS, {"model.options": {"dropout": 0.3}, "train.clip_grad_norm": 0.5}),
        ("cnn", PICTURES, {"data.augment": {"shift": 0.2}, "train.ema": 0.9}),
        ("dcgan", PICTURES, {"objective.name": "adversarial", "data.normalize": False}),
        ("lstm", SERIES, {"train.gradient_accumulation_steps": 2}),
    ],
)
def test_weights_are_the_same_bits_and_steps_are_recorded(
    model: str, data: Any, settings: dict[str, Any], runs: Path
) -> None:
    plain, watched = fit(model, data, runs, "off", **settings), fit(model, data, runs, **settings)
    assert find_weights(plain, "last").read_bytes() == find_weights(watched, "last").read_bytes()
    assert watch_file.read(plain) is None
    seen = watch_file.read(watched)
    assert seen is not None
    assert seen.looks[0].step == 1
    looked = [one for one in seen.looks[0].parameters if one.trainable]
    assert all(one.optimized and one.update_rms and one.backward_rms for one in looked if one.is_weight)
    assert seen.looks[0].modules
    assert len(seen.losses) == seen.losses[-1][0]
    assert seen.optimizers[0].kind == "FusedAdamW"
    assert seen.loop.stale == seen.loop.early == seen.loop.without_graph == 0


def test_the_findings_of_a_run_say_why_it_does_not_learn(runs: Path) -> None:
    run = fit("mlp", DIGITS, runs, **{"optimizer.lr": 3.0, "train.epochs": 6})
    assert warned(run)[0] == "learning-rate-too-high"
    assert warned(run) == [one.id for one in diagnose(run) if one.severity != "info"]
    assert "learning-rate-too-high" not in warned(fit("mlp", DIGITS, runs, "off", **{"optimizer.lr": 3.0}))
    assert warned(fit("mlp", DIGITS, runs, **{"train.epochs": 12})) == []


def test_findings_on_a_module_of_ones_own(runs: Path) -> None:
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10), nn.Dropout(0.5))
    assert "dropout-on-outputs" in warned(fit(model, DIGITS, runs, **{"train.epochs": 8}))


def test_a_resumed_run_keeps_the_numbers_of_its_steps(runs: Path) -> None:
    short = fit("mlp", DIGITS, runs, **{"train.epochs": 2})
    before = watch_file.read(short)
    assert before is not None
    settings = {"train.execution": "eager", "train.epochs": 4, "train.batch_size": 16}
    longer = pellucid.fit("mlp", DIGITS, runs=runs, progress=False, resume=short.id, settings=settings)
    after = watch_file.read(longer)
    assert after is not None
    assert after.looks[0].step == before.losses[-1][0] + 1
    assert after.losses[-1][0] == 2 * before.losses[-1][0]


class Stubborn(nn.Module):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("one of a kind")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def test_what_cannot_be_copied_is_trained_without_being_watched(runs: Path) -> None:
    run = fit(Stubborn(), DIGITS, runs)
    assert run.status == "finished"
    assert watch_file.read(run) is None


def test_a_damaged_file_of_a_watch_is_as_none(runs: Path) -> None:
    run = fit("mlp", DIGITS, runs)
    (run.path / watch_file.FILE).write_text("{")
    assert watch_file.read(run) is None
    assert diagnose(run) is not None
