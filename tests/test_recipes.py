"""Every recipe on a small share of real data, from training to the report; some are also resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from pellucid import inference, runner
from pellucid.errors import UnknownNameError, UsageError
from pellucid.recipes import find, names
from pellucid.record import Run
from pellucid.runner import components
from pellucid.study import Study
from pellucid.train.callbacks import SignalHandler
from pellucid.train.trainer import Trainer

SMALL: dict[str, dict[str, Any]] = {
    "digits": {"data.fraction": 0.01},
    "digits-mlp": {"data.fraction": 0.01},
    "fashion": {"data.fraction": 0.01, "model.size": "tiny"},
    "sentiment": {"data.fraction": 0.01, "model.size": "tiny", "data.text.max_seq_len": 60},
    "sentiment-gru": {"data.fraction": 0.01, "model.size": "tiny", "data.text.max_seq_len": 60},
    "sentiment-pretrained": {
        "data.fraction": 0.002,
        "data.text.max_seq_len": 16,
        "model.options.freeze": "output",
    },
    "sentiment-transformer": {"data.fraction": 0.01, "model.size": "tiny", "data.text.max_seq_len": 60},
    "masked-language": {"data.fraction": 0.005, "model.size": "tiny", "data.text.vocab_size": 500},
    "span-denoise": {"data.fraction": 0.005, "model.size": "tiny", "data.text.vocab_size": 500},
    "translate": {
        "data.fraction": 0.01,
        "data.text.vocab_size": 500,
        "model.options.embed_dim": 16,
        "model.options.num_layers": 1,
    },
    "vit": {"data.fraction": 0.01},
    "sentiment-best": {
        "data.fraction": 0.01,
        "data.text.max_seq_len": 60,
        "model.size": "tiny",
        "model.weights": None,
    },
    "reviews-words": {
        "data.fraction": 0.005,
        "data.text.vocab_size": 2000,
        "model.size": "tiny",
        "objective.options.sampled": 200,
    },
    "shakespeare": {"data.fraction": 0.02, "model.size": "tiny", "data.text.max_seq_len": 64},
    "compress": {"data.fraction": 0.01, "model.size": "tiny"},
    "denoise": {"data.fraction": 0.005},
    "anomaly": {"data.fraction": 0.02, "model.size": "tiny", "train.max_steps": 2},
    "vae": {"data.fraction": 0.01, "model.size": "tiny"},
    "image-generation": {"data.fraction": 0.01, "model.size": "tiny", "objective.options.evaluator": None},
    "vit-vs-cnn": {"data.fraction": 0.01, "model.size": "tiny", "train.max_steps": 2},
    "stacked-mnist": {"data.fraction": 0.01, "model.size": "tiny", "objective.options.evaluator": None},
    "forecast": {"train.epochs": 1},
    "forecast-lstm": {"model.size": "tiny", "train.max_steps": 20},
    "forecast-transformer": {"model.size": "tiny", "train.max_steps": 20},
}
"""Settings that make each recipe train within seconds."""

ASKED: dict[str, tuple[Any, int]] = {
    "sentiment": (["A wonderful film.", "Wonderful \N{SPARKLES} 映画"], 2),
    "sentiment-pretrained": (["A wonderful film.", "Terrible."], 2),
    "masked-language": ("This is a [MASK] film.", 1),
    "span-denoise": ("This is a [MASK] film.", 1),
    "translate": ("Ein Mann geht.", 1),
    "reviews-words": ("This film is", 1),
    "shakespeare": ("ROMEO:", 1),
    "compress": (np.zeros((2, 28, 28), np.uint8), 2),
    "denoise": (np.full((1, 28, 28), 200, np.uint8), 1),
    "vae": (np.zeros((2, 28, 28), np.uint8), 2),
    "image-generation": ("3", 3),
}
"""Inputs to predict for afterwards, and the number of predictions."""


def small(name: str, **changes: Any) -> Any:
    return find(name).patch({"train.epochs": 1, "train.execution": "eager", **SMALL[name], **changes})


def test_every_recipe_is_tested() -> None:
    assert sorted(SMALL) == names()


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_recipe_has_a_published_score_with_its_source_or_says_why_not(name: str) -> None:
    recipe = find(name)
    assert (recipe.published is None) == bool(recipe.published_note)
    if recipe.published is not None:
        assert recipe.published.source
        assert recipe.target is None or recipe.published.metric == recipe.target.metric


@pytest.mark.parametrize("name", sorted(SMALL))
def test_every_recipe_trains_and_reports(name: str, mirror: Path, runs: Path) -> None:
    shrunk = small(name)
    run = (runner.train_study if isinstance(shrunk, Study) else runner.train)(shrunk, runs=runs)
    assert run.status == "finished"
    target = find(name).target
    needs_an_evaluator = target is not None and target.metric in ("test/confidence", "test/modes")
    assert target is None or target.metric in run.metrics or needs_an_evaluator
    assert run.facts["published"] or find(name).published is None
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "cannot be shown" not in page
    if name in ASKED:
        inputs, answers = ASKED[name]
        rows = inference.predict(run, inputs).rows()
        assert len(rows) == answers
        assert all(row["prediction"] for row in rows)


def test_generated_images_are_saved_on_request(mirror: Path, runs: Path, tmp_path: Path) -> None:
    run = runner.train(small("image-generation", **{"train.max_steps": 2}), runs=runs)
    rows = inference.predict(run, 5, folder=str(tmp_path / "images"), seed=1).rows()
    assert [Image.open(row["prediction"]).size for row in rows] == [(28, 28)] * 5
    with pytest.raises(UsageError, match="number of images"):
        inference.predict(run, "many")
    with pytest.raises(UnknownNameError, match="seed"):
        inference.predict(run, 5, sed=1)


class StopsAtStep5(SignalHandler):
    """Asks to stop in the middle, as Ctrl-C does."""

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step == 5:
            trainer.interrupt("interrupted by the test")


@pytest.mark.parametrize(
    "name", ["image-generation", "vae", "shakespeare", "sentiment", "sentiment-best", "reviews-words"]
)
def test_recipe_resumes_bit_for_bit(
    name: str, mirror: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(name, **{"train.max_steps": 12, "train.epochs": 9, "train.batch_size": 32})
    whole = runner.train(config, runs=runs / "whole")
    monkeypatch.setattr(components, "SignalHandler", StopsAtStep5)
    stopped = runner.train(config, runs=runs / "parts")
    assert stopped.status == "interrupted"
    monkeypatch.undo()
    resumed = runner.train(config, runs=runs / "parts", resume=runner.Resume(stopped.id))
    assert resumed.status == "finished"
    assert {**whole.metrics} == {**resumed.metrics}
    before, after = weights(whole), weights(resumed)
    assert all(tensor.equal(after[key]) for key, tensor in before.items())


def weights(run: Run) -> dict[str, Any]:
    last = run.checkpoints.pointed("last")
    assert last is not None
    return load_file(last / "model.safetensors")
