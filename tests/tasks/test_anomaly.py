"""Anomaly detection on small digits: scores, metrics, report blocks and errors."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import nn

from pellucid import inference, runner
from pellucid.config import Config
from pellucid.data.one_class import of_class
from pellucid.data.sources.folder import read_folder
from pellucid.data.split import class_codes, split
from pellucid.errors import BadDataError, ConfigError, UnknownNameError
from pellucid.evaluation import Outcome
from pellucid.models.autoencoder import autoencoder
from pellucid.models.unet import unet
from pellucid.models.vae import vae
from pellucid.tasks.anomaly.reconstruction_score import blurred, reconstruction_score, threshold
from pellucid.tasks.anomaly.task import Anomaly
from tests.tasks.conftest import Digits, Learned

Learn = Callable[..., Learned]
SHAPE = (1, 8, 8)


def seeded(make: Callable[..., nn.Module], **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return make(SHAPE, 10, **options)


def outcome(learned: Learned, split: str = "test") -> Outcome:
    return learned.task.evaluate(learned.trained, learned.prepared, split)


@pytest.fixture
def knows_twos(learn: Learn) -> Learned:
    model = seeded(autoencoder, latent_dim=6, norm="batch")
    options = {"normal": "2", "noise": 0.2}
    return learn(Anomaly(), model, options, model_options={"latent_dim": 6}, epochs=60, lr=5e-3)


# ---- scores ------------------------------------------------------------------------------------------


def test_score_is_the_unexplained_share_of_the_variance() -> None:
    torch.manual_seed(0)
    images = torch.rand(3, 2, 28, 20)
    flat = images.mean((2, 3), keepdim=True).expand_as(images)
    assert torch.equal(reconstruction_score(images, images), torch.zeros(3))
    assert reconstruction_score(images, flat).mean().item() == pytest.approx(1, rel=0.1)
    halved = images + (flat - images) / 2
    torch.testing.assert_close(reconstruction_score(images, halved), reconstruction_score(images, flat) / 4)


@pytest.mark.parametrize(("brighter", "contrast"), [(0.3, 1.0), (0.0, 0.2), (0.5, 0.4)])
def test_score_does_not_depend_on_brightness_and_contrast(brighter: float, contrast: float) -> None:
    torch.manual_seed(0)
    images, restored = torch.rand(4, 1, 12, 12), torch.rand(4, 1, 12, 12)
    changed = (brighter + contrast * part for part in (images, restored))
    torch.testing.assert_close(
        reconstruction_score(*changed), reconstruction_score(images, restored), rtol=1e-3, atol=1e-5
    )


def test_a_missing_stroke_scores_higher_than_a_shifted_one() -> None:
    image = torch.zeros(1, 1, 28, 28)
    image[..., 4:24, 8] = image[..., 4:24, 18] = 1
    missing = image.clone()
    missing[..., 18] = 0
    off = image.roll(1, dims=3)
    pixels = [(image - other).square().sum().item() for other in (missing, off)]
    assert pixels[0] < pixels[1]
    assert reconstruction_score(image, missing) > reconstruction_score(image, off)


def test_flat_images_have_finite_scores() -> None:
    flat = torch.full((2, 1, 8, 8), 0.5)
    assert reconstruction_score(flat, flat).tolist() == [0, 0]
    assert torch.isfinite(reconstruction_score(flat, torch.zeros_like(flat))).all()


def test_blur_equals_scipy() -> None:
    from scipy.ndimage import gaussian_filter

    torch.manual_seed(0)
    images = torch.rand(2, 3, 17, 9)
    theirs = gaussian_filter(images.numpy(), (0, 0, 1.1, 1.1), mode="nearest", radius=(0, 0, 4, 4))
    np.testing.assert_allclose(blurred(images, 1.1), theirs, atol=1e-6)


def test_threshold_flags_one_in_twenty_normal_images() -> None:
    scores = torch.arange(1, 101).float()[torch.randperm(100)]
    assert threshold(scores) == 96  # the ceil(101 * 0.95)-th smallest
    assert threshold(torch.tensor([0.3, 0.1])) == pytest.approx(0.3)


# ---- learning ----------------------------------------------------------------------------------------


def test_training_and_validation_hold_only_the_normal_class(learn: Learn, digits: Digits) -> None:
    prepared = learn(Anomaly(), seeded(autoencoder, size="tiny"), {"normal": 3}, epochs=1).prepared
    for name in ("train", "validation"):
        rows = prepared.rows[name]
        assert {
            label for _, labels in rows.batches([torch.arange(len(rows))]) for label in labels.tolist()
        } == {3}
    assert len(prepared.rows["train"]) == (digits.labels[:1000] == 3).sum()
    assert len(prepared.rows["test"]) == 497
    assert any("only rows of the class '3' are kept" in note for note in prepared.dataset.notes)


def test_anomalies_are_found_better_than_by_baselines(knows_twos: Learned) -> None:
    found = outcome(knows_twos)
    baselines = knows_twos.task.baselines(knows_twos.prepared)
    assert set(baselines) == {"pca", "pca_pixels", "mean_image"}
    assert found.metrics["auroc"] > max(values["test/auroc"] for values in baselines.values()) + 0.01
    assert found.metrics["average_precision"] > 0.99
    assert found.metrics["score_others"] > 3 * found.metrics["score_normal"]
    assert found.metrics["detected"] > 0.8
    assert found.metrics["false_alarms"] < 0.25


def test_metrics_use_scores_of_clean_images(knows_twos: Learned, digits: Digits) -> None:
    found, images = outcome(knows_twos), digits.images[1300:]
    strange = (digits.labels[1300:] != 2).numpy()
    with torch.no_grad():
        scores = reconstruction_score(images, knows_twos.trained.model.eval()(images)).numpy()
    assert found.predictions is not None
    np.testing.assert_allclose(found.predictions["score"].to_numpy(), scores, rtol=1e-4)
    assert found.metrics["auroc"] == pytest.approx(roc_auc_score(strange, scores))
    limit = found.summary["limit"]
    assert found.metrics["detected"] == pytest.approx((scores[strange] > limit).mean())
    assert found.metrics["score_normal"] == pytest.approx(scores[~strange].mean(), rel=1e-4)


def test_validation_has_no_auroc_and_sets_the_threshold(knows_twos: Learned) -> None:
    found = outcome(knows_twos, "validation")
    assert set(found.metrics) == {"loss", "mse", "score_normal"}
    assert found.predictions is not None
    scores = torch.tensor(found.predictions["score"].to_numpy())
    assert found.summary["limit"] == pytest.approx(threshold(scores)) == outcome(knows_twos).summary["limit"]
    assert found.metrics["loss"] == pytest.approx(knows_twos.trainer.measures["val/loss"], rel=1e-4)


def test_misleading_images_are_shown(knows_twos: Learned, digits: Digits) -> None:
    found = outcome(knows_twos)
    json.dumps(found.blocks)
    assert [block["title"] for block in found.blocks] == [
        "Scores",
        "Scores by class",
        "False alarms",
        "Missed anomalies",
    ]
    for series in found.blocks[0]["series"]:
        assert sum(series["y"]) == pytest.approx(1, abs=1e-3)
    assert found.predictions is not None
    scores, labels = found.predictions["score"].to_numpy(), digits.labels[1300:].numpy()
    table = {row[0]: row[2] for row in found.blocks[1]["rows"]}
    assert set(table) == set("013456789")
    both = (labels == 2) | (labels == 6)
    assert table["6"] == pytest.approx(roc_auc_score(labels[both] == 6, scores[both]), abs=1e-4)
    twos = labels == 2
    first = {
        "test-strangest.png": np.flatnonzero(twos)[scores[twos].argmax()],
        "test-missed.png": np.flatnonzero(~twos)[scores[~twos].argmin()],
    }
    assert set(found.pictures) == set(first)
    for name, row in first.items():
        drawn = np.asarray(Image.open(io.BytesIO(found.pictures[name])).convert("L"))[:8, :8] / 255
        np.testing.assert_allclose(drawn, digits.images[1300 + row, 0], atol=1 / 255)


def test_variational_autoencoder_trains_with_the_elbo(learn: Learn) -> None:
    model = seeded(vae, latent_dim=6)
    learned = learn(Anomaly(), model, {"normal": "0", "loss": "elbo"}, name="vae", epochs=60, lr=5e-3)
    found = outcome(learned, "validation")
    assert set(found.metrics) == {"loss", "recon", "kl", "score_normal"}
    assert outcome(learned).metrics["auroc"] > 0.95
    assert "pca" in learned.task.baselines(learned.prepared)


def test_a_model_without_a_latent_code_has_no_pca_baseline(learn: Learn) -> None:
    learned = learn(
        Anomaly(),
        seeded(unet, size="tiny"),
        {"normal": "1", "noise": 0.3},
        name="unet",
        epochs=1,
        watched=False,
    )
    assert set(learned.task.baselines(learned.prepared)) == {"mean_image"}


# ---- what is refused ---------------------------------------------------------------------------------


def config(**options: Any) -> Config:
    return Config.parse(
        {
            "data": {"normalize": False},
            "model": {"name": "autoencoder", "size": "tiny"},
            "objective": {"name": "anomaly", "options": options},
            "train": {"epochs": 1, "device": "cpu", "execution": "eager"},
        }
    )


@pytest.mark.parametrize("options", [{}, {"normal": "ten"}, {"normal": None}])
def test_the_normal_class_must_exist(digits: Digits, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; received"):
        Anomaly().prepare(digits.dataset, config(**options), reads_tokens=False)


def test_options_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="noize"):
        Anomaly().objective(config(normal="0", noize=0.5))
    with pytest.raises(ConfigError, match=r"mse or mae or bce or elbo or defects, received 'rmse'"):
        Anomaly().objective(config(normal="0", loss="rmse"))
    with pytest.raises(ConfigError, match=r"expected 0 with the loss elbo, received 0.5"):
        Anomaly().objective(config(normal="0", loss="elbo", noise=0.5))


def test_images_without_classes_are_refused(digits: Digits) -> None:
    without = replace(digits.dataset, target=None, task=None)
    with pytest.raises(BadDataError, match=r"needs the classes of the images; .* has no target"):
        Anomaly().prepare(without, config(normal="0"), reads_tokens=False)
    amounts = replace(digits.dataset, task="regression")
    with pytest.raises(BadDataError, match=r"\(regression\)"):
        Anomaly().prepare(amounts, config(normal="0"), reads_tokens=False)


def test_splits_without_the_needed_classes_are_refused_or_filled(digits: Digits) -> None:
    def prepare(normal: str, **classes: str) -> list[bool]:
        """Prepare digits with the named splits of one class; return which test rows are normal."""
        dataset = digits.dataset
        for name, only in classes.items():
            dataset = of_class(dataset, only, [name])
        rows = Anomaly().prepare(dataset, config(normal=normal), reads_tokens=False).rows["test"]
        _, codes = next(iter(rows.batches([torch.arange(len(rows))])))
        return (codes == int(normal)).tolist()

    with pytest.raises(BadDataError, match="the train split has 102 rows, none of them of the class '0'"):
        prepare("0", train="1")
    with pytest.raises(BadDataError, match="the validation split has 30 rows, none of them"):
        prepare("0", validation="1")
    anomalies = int((digits.labels[:1300] != 0).sum())
    assert sorted(prepare("0", test="0")) == [False] * anomalies + [True] * 49  # moved to the test split
    assert sum(prepare("0", test="1")) == int((digits.labels[1000:1300] == 0).sum()) // 2


def test_only_training_and_validation_are_limited_to_a_class(digits: Digits) -> None:
    kept = of_class(digits.dataset, "7", ["train"])
    assert kept.target is not None
    codes = class_codes(kept.column(kept.target), kept.splits["train"][kept.target])
    assert (codes == 7).all()
    assert len(codes) == (digits.labels[:1000] == 7).sum()
    assert kept.splits["validation"] is digits.dataset.splits["validation"]


def test_classes_only_in_the_test_folder_are_anomalies(digits: Digits, tmp_path: Path) -> None:
    for number, (image, label) in enumerate(
        zip(digits.images[:300, 0], digits.labels.tolist(), strict=False)
    ):
        part = "test" if label == 1 or number % 3 == 0 else "train"
        if label in (0, 1):
            folder = tmp_path / part / ("good", "cracked")[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image.numpy() * 255).astype(np.uint8)).save(folder / f"{number}.png")
    dataset = split(read_folder(tmp_path, labelled=False), labelled=False)
    prepared = Anomaly().prepare(dataset, config(normal="good"), reads_tokens=False)
    assert prepared.preprocess.classes == ("cracked", "good")
    assert {len(prepared.rows[name]) > 0 for name in ("train", "validation", "test")} == {True}


# ---- from config to prediction -----------------------------------------------------------------------


def test_a_finished_run_scores_new_images_with_its_threshold(digits: Digits, tmp_path: Path) -> None:
    asked = config(normal="0", noise=0.2).patch(
        {"train.epochs": 15, "train.batch_size": 16, "optimizer.lr": 5e-3}
    )
    run = runner.train(asked, runs=tmp_path, dataset=digits.dataset)
    assert run.metrics["test/auroc"] > 0.9
    assert run.headline[0] == "test/auroc"
    images = digits.images[1300:1320].numpy()
    rows = [row["prediction"] for row in inference.predict(run, images).rows()]
    assert len(rows) == 20
    kept = json.loads((run.path / "evaluation" / "validation.json").read_text())["limit"]
    for row in rows:
        assert row["limit"] == kept
        assert row["verdict"] == ("anomaly" if row["score"] > kept else "normal")
    again = inference.evaluate(run, dataset=digits.dataset)
    assert again.metrics["auroc"] == pytest.approx(run.metrics["test/auroc"])
    assert again.predictions is not None
    scores = again.predictions["score"].to_numpy()[:20]
    np.testing.assert_allclose([row["score"] for row in rows], scores, rtol=1e-3)
    (run.path / "evaluation" / "validation.json").unlink()
    (run.path / "evaluation" / "test.json").unlink()
    assert set(inference.predict(run, images[:1]).rows()[0]["prediction"]) == {"score"}
