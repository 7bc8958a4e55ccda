"""Names, units and directions of numbers: what the whole program agrees on."""

from __future__ import annotations

import pytest

from pellucid.record import measures
from pellucid.record.spec import UNKNOWN, find_spec, specs


@pytest.mark.parametrize(
    "key",
    [
        "val/loss",
        "loss",
        "train/generator_loss",
        "test/mae",
        "rmse",
        "mse",
        "perplexity",
        "test/frechet",
        "kl",
        "recon",
        "some_error",
    ],
)
def test_losses_errors_and_distances_are_better_when_smaller(key):
    assert measures.lower_is_better(key)


@pytest.mark.parametrize(
    "key",
    [
        "val/accuracy",
        "f1",
        "auroc",
        "r2",
        "psnr",
        "ssim",
        "bleu",
        "elbo",
        "recall_at_1",
        "modes",
        "coverage",
        "confidence",
        "map",
        "something",
    ],
)
def test_scores_are_better_when_larger(key):
    assert not measures.lower_is_better(key)


def test_every_headline_measure_is_described_by_its_task_or_shared():
    for spec in specs().values():
        own = {*spec.measures, *measures.NAMES}
        assert all(name in own or name.startswith("recall_at_") for name in spec.headline)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("test/accuracy", 0.98431, "98.43 %"),
        ("recall_at_5", 0.5, "50.00 %"),
        ("test/loss", 1.47221, "1.472"),
        ("test/elbo", -104.2123, "-104.2"),
        ("test/bleu", 3.5e-19, "0.0"),
        ("test/accuracy", None, "-"),
        ("test/accuracy", float("nan"), "not a number"),
    ],
)
def test_values_are_written_in_their_unit(key, value, text):
    assert measures.written(key, value) == text


def test_the_headline_is_measured_on_test_rows_if_there_are_any():
    numbers = {
        "val/loss": 1.0,
        "val/perplexity": 2.7,
        "test/perplexity": 2.8,
        "test/loss": 1.1,
        "test/odd": 3.0,
    }
    assert measures.headline(find_spec("language_model"), numbers)[:2] == ["test/loss", "test/perplexity"]
    assert measures.headline(find_spec("language_model"), {"val/loss": 1.0}) == ["val/loss"]
    assert measures.headline(find_spec("adversarial"), {"train/loss": 1.0, "test/odd": 2.0}) == ["test/odd"]
    assert measures.headline(UNKNOWN, {}) == []


def test_a_loss_has_the_unit_of_its_task():
    assert measures.unit("val/loss", find_spec("language_model")) == "nats per token"
    assert measures.unit("test/psnr", find_spec("reconstruction")) == "dB"
    assert measures.unit("test/loss", find_spec("reconstruction")) == ""


@pytest.mark.parametrize(
    "name",
    [
        "err",
        "error_rate",
        "my_rmse",
        "loss2",
        "mape",
        "fpr",
        "wer",
        "cer",
        "hamming",
        "brier",
        "nll",
        "mse_x",
        "MSE",
        "valLoss",
        "cross_entropy",
        "negative_log_likelihood",
        "false_positive_rate",
        "ece",
        "regret",
        "total_cost",
        "logloss",
        "brier_score",
    ],
)
def test_names_imply_that_lower_is_better(name):
    assert measures.lower_is_better(f"val/{name}")


@pytest.mark.parametrize(
    "name",
    [
        "hamming_accuracy",
        "neg_mean_squared_error",
        "negative_predictive_value",
        "tpr_at_fpr",
        "brier_skill_score",
        "error_reduction",
        "glossary",
        "terrain",
        "accuracy2",
        "f1_macro",
        "dice",
        "iou",
        "log_likelihood",
        "1",
        "at",
    ],
)
def test_other_names_imply_that_higher_is_better(name):
    assert not measures.lower_is_better(f"val/{name}")
