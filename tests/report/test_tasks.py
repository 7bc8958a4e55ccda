"""The page of every task: its sentence, its number, its comparisons, and its curves."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import report
from pellucid.record import Run
from pellucid.report.learning_curves import learning
from pellucid.report.result import result
from tests.report import shown

FALL = [float(1 + np.exp(-i / 2)) for i in range(8)]
LANGUAGE = {
    "unigram": {"test/loss": 3.34, "val/loss": 3.33},
    "bigram": {"test/loss": 2.47, "val/loss": 2.46},
    "6-gram": {"test/loss": 1.71, "val/loss": 1.70},
}


def of(root, task: str, metrics: dict, baselines: dict | None = None, **options) -> Run:
    epochs = options.pop("epochs", [{"train/loss": value, "val/loss": value} for value in FALL])
    return shown.task_run(root, task, metrics, baselines or {}, epochs, **options)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("task", "kind", "metrics", "baselines", "sentence", "number"),
    [
        (
            "classification",
            "text",
            {"test/accuracy": 0.889, "test/loss": 0.3},
            {"prior": {"test/accuracy": 0.5}},
            "classification classifies 88.9 % of 400 test texts correctly; guessing gets 50.0 %.",
            "88.9 %",
        ),
        (
            "language_model",
            "text",
            {"test/loss": 1.472, "test/perplexity": 4.358, "test/accuracy": 0.56},
            LANGUAGE,
            "language_model predicts the next token of 400 test texts at 1.47 nats, perplexity 4.36; "
            "a 6-gram model gets 1.71.",
            "1.47",
        ),
        (
            "masked_language_model",
            "text",
            {"test/loss": 2.1, "test/accuracy": 0.58},
            {"unigram": {"test/loss": 6.0, "test/accuracy": 0.05}},
            "masked_language_model predicts 58.0 % of the masked tokens of 400 test texts correctly; "
            "a unigram model gets 5.0 %.",
            "58.0 %",
        ),
        (
            "seq2seq",
            "text",
            {"test/loss": 1.9, "test/bleu": 33.12},
            {"copy": {"test/bleu": 2.1}, "word_by_word": {"test/bleu": 8.04}},
            "seq2seq translates 400 test texts with a BLEU of 33.1; translating word by word gets 8.0.",
            "33.1",
        ),
        (
            "span_denoising",
            "text",
            {"test/loss": 2.2},
            {},
            "span_denoising restores the tokens removed from 400 test texts at 2.20 nats each.",
            "2.20",
        ),
        (
            "reconstruction",
            "image",
            {"test/loss": 0.0061, "test/mse": 0.0061, "test/psnr": 22.4},
            {"pca": {"test/mse": 0.0093, "test/psnr": 20.3}, "identity": {"test/mse": 0.09}},
            "reconstruction reconstructs 400 test images with a mean squared error of 0.00610; "
            "PCA gets 0.00930.",
            "0.00610",
        ),
        (
            "elbo",
            "image",
            {"test/loss": 104.21, "test/elbo": -104.21, "test/recon": 80.0, "test/kl": 24.2},
            {"pixel_means": {"test/loss": 206.1, "test/elbo": -206.1}},
            "elbo encodes each of 400 test images in at most 104.2 nats; a model of pixel means gets 206.1.",
            "−104.2",
        ),
        (
            "adversarial",
            "image",
            {"test/loss": 0.9, "test/frechet": 12.31, "test/coverage": 1.0},
            {},
            "The images adversarial generates have a Fréchet distance of 12.3 from 400 test images.",
            "12.3",
        ),
        (
            "adversarial",
            "image",
            {"test/loss": 0.9, "test/diversity": 0.971},
            {},
            "The images adversarial generates are 97.1 % as diverse as 400 test images.",
            "97.1 %",
        ),
        (
            "anomaly",
            "image",
            {"test/auroc": 0.979, "test/average_precision": 0.99},
            {"mean_image": {"test/auroc": 0.79}, "pca_pixels": {"test/auroc": 0.86}},
            "anomaly separates normal images from anomalies with an AUROC of 0.979, over 400 test images; "
            "PCA by its squared error gets 0.860.",
            "0.979",
        ),
        (
            "forecasting",
            "number",
            {"test/loss": 0.371, "test/mse": 0.371, "test/mae": 0.4, "test/coverage": 0.88},
            {"prior": {"test/mse": 1.1}, "last": {"test/mse": 0.9}},
            "forecasting forecasts 400 test rows with a mean squared error of 0.371; "
            "the last value gets 0.900.",
            "0.371",
        ),
        (
            "metric_learning",
            "image",
            {"test/loss": 0.2, "test/recall_at_1": 0.934, "test/map": 0.8},
            {"prior": {"test/recall_at_1": 0.1}},
            "metric_learning finds a row of the same class nearest for 93.4 % of 400 test images; "
            "guessing gets 10.0 %.",
            "93.4 %",
        ),
    ],
)
def test_every_task_has_a_sentence_and_a_headline_number(
    tmp_path, task, kind, metrics, baselines, sentence, number
):
    run = of(tmp_path, task, metrics, baselines, kind=kind)
    found = result(run)
    assert plain(found.sentence) == sentence
    assert plain(found.number) == number
    assert sentence in plain(report.render(run)).replace("&#39;", "'")


def test_baselines_are_in_order_with_explanations(tmp_path):
    run = of(tmp_path, "language_model", {"test/loss": 1.47}, LANGUAGE, kind="text")
    compared = result(run).comparison
    assert [one.name for one in compared] == ["this run", "6-gram", "bigram", "unigram"]
    assert all(one.note for one in compared)
    assert result(run).note == "Smaller is better."
    assert result(run).unit == "nats per token"


def test_a_better_baseline_is_named_for_every_task(tmp_path, page_of):
    run = of(tmp_path, "language_model", {"test/loss": 2.0}, LANGUAGE, kind="text")
    assert "A 6-gram model does better" in page_of(run).text


def test_a_negative_elbo_is_better_closer_to_zero(tmp_path):
    run = of(tmp_path, "elbo", {"test/elbo": -104.0}, {"pixel_means": {"test/elbo": -206.0}})
    ours, theirs = result(run).comparison
    assert ours.ours
    assert 0 < ours.share < theirs.share == 1
    assert result(run).note == "Nearer zero is better."
    assert result(run).beaten_by == ""


def test_a_single_number_has_no_bars(tmp_path, page_of):
    run = of(tmp_path, "adversarial", {"test/frechet": 12.3})
    assert "comparison" not in [a.get("class") for tag, a in page_of(run).elements if tag == "table"]


def test_the_target_metric_is_the_headline(tmp_path):
    run = of(tmp_path, "adversarial", {"test/frechet": 12.3, "test/modes": 998.0})
    assert run.headline[0] == "test/frechet"
    run.update(target={"metric": "test/modes", "value": 990, "on": None}, target_met=True)
    found = result(run)
    assert found.number == "998"
    assert plain(found.target) == "Target test/modes ≥ 990: met"


@pytest.mark.parametrize(
    ("met", "metrics", "says"),
    [
        (False, {"test/modes": 9.0}, "missed"),
        (None, {"test/modes": 9.0}, "does not apply to this data"),
        (None, {"test/frechet": 12.3}, "not measured"),
    ],
)
def test_a_missed_target_is_explained(tmp_path, met, metrics, says):
    run = of(tmp_path, "adversarial", metrics)
    run.update(target={"metric": "test/modes", "value": 990, "on": "data"}, target_met=met)
    assert plain(result(run).target) == f"Target test/modes ≥ 990: {says}"


def test_the_headline_loss_is_not_repeated(tmp_path):
    run = of(tmp_path, "forecasting", {"test/loss": 0.371, "test/mse": 0.371, "test/mae": 0.4})
    assert [name for name, _ in result(run).context] == ["mean absolute error"]
    run.update(metrics={"test/loss": 0.5, "test/mse": 0.371})
    assert [name for name, _ in result(run).context] == ["loss"]


def test_a_label_that_is_not_predicted_is_not_called_predicted(tmp_path, page_of):
    run = of(tmp_path, "elbo", {"test/elbo": -104.0})
    run.update(dataset={**run.facts["dataset"], "task": "classification", "target": "label"})
    assert "elbo, with label" in " ".join(page_of(run).text.split())


def test_a_single_text_is_not_counted_as_rows(tmp_path):
    run = of(tmp_path, "language_model", {"test/loss": 1.47}, kind="text")
    splits = {"test": {"rows": 1, "fingerprint": ""}}
    run.update(dataset={**run.facts["dataset"], "splits": splits})
    assert "of the test text at" in result(run).sentence


GAN = [
    {
        "train/loss": 1.2,
        "train/discriminator_loss": 1.2 - i / 20,
        "train/generator_loss": 0.8 + i / 20,
        "val/loss": 1.0,
        "val/d_real": 0.7,
        "val/d_fake": 0.3,
        "val/frechet": 100 / (i + 1),
    }
    for i in range(8)
]


def test_a_gan_has_a_curve_for_each_network_and_no_finding_on_overfitting(tmp_path, page_of):
    run = of(tmp_path, "adversarial", {"test/frechet": 12.3}, epochs=GAN)
    found = learning(run)
    assert found is not None
    assert found.findings[0].verdict == "Balanced"
    titles = [chart.title for chart in found.charts]
    assert "Final values: discriminator 0.850, generator 1.15" in titles
    assert (
        "Final values: discriminator on real images 0.700, discriminator on generated images 0.300" in titles
    )
    assert any(title.startswith("Best validation Fréchet distance 12.5") for title in titles)
    text = page_of(run).text
    assert "neither network has won" in text
    assert "overfit" not in text.partition("Checks that could not run")[0]
    assert "No split has been evaluated" not in text


def test_charts_of_the_task_replace_those_drawn_from_the_records(tmp_path, page_of):
    run = of(tmp_path, "adversarial", {"test/frechet": 12.3}, epochs=GAN)
    series = [{"name": "generated images", "x": [1, 2, 3], "y": [9.0, 5.0, 4.0]}]
    quality = {"kind": "lines", "title": "Quality by epoch", "caption": "Lower is better.", "series": series}
    shown.write_evaluation(run, [{**quality, "x_label": "epoch", "y_label": "distance"}], split="training")
    text = page_of(run).text
    assert "Quality by epoch" in text
    assert "Lower is better." in text
    assert "Final values: discriminator" not in text


def test_the_terms_of_the_elbo_share_a_chart(tmp_path):
    epochs = [{"train/loss": v, "val/loss": v, "val/recon": v - 0.2, "val/kl": 0.2} for v in FALL]
    found = learning(of(tmp_path, "elbo", {"test/elbo": -1.0}, epochs=epochs))
    assert found is not None
    assert found.by_split
    assert [chart.title for chart in found.charts][1].startswith("Final values: reconstruction loss 0.8")


def test_a_measure_that_equals_the_loss_is_drawn_once(tmp_path):
    epochs = [{"train/loss": v, "val/loss": v, "val/mse": v} for v in FALL]
    found = learning(of(tmp_path, "reconstruction", {"test/mse": 1.0}, epochs=epochs))
    assert found is not None
    assert len(found.charts) == 1


def test_the_loss_of_text_is_in_nats_per_token(tmp_path):
    epochs = [{"train/loss": v, "val/loss": v, "val/accuracy": 0.5} for v in FALL]
    found = learning(of(tmp_path, "language_model", {"test/loss": 1.0}, epochs=epochs, kind="text"))
    assert found is not None
    assert "loss, nats per token" in found.charts[0].wide
    assert "accuracy" in found.charts[1].title


def test_an_embedding_table_is_not_drawn_as_weights(digits, page_of):
    model = {**digits.facts["model"], "layers": [{"name": "layers.0", "type": "Embedding", "parameters": 1}]}
    digits.update(model=model)
    assert "What the first layer looks for" not in page_of(digits).text
