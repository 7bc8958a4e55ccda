"""Anomalies by patches: Gaussians of the features of each place, learned from artificial defects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import pellucid
from pellucid.config import DataConfig
from pellucid.data.inspect import inspect_data
from pellucid.errors import ConfigError
from pellucid.models.padim import REDUCED, SHRINKAGE, PaDiM
from pellucid.tasks.anomaly.defects import MOST, NUMBERS, detection, with_defects

OPTIONS = {"progress": False, "batch_size": 16}


def textures(count, seed, crack=False, side=16):
    """Stripes of any brightness; with a crack, a dark line of 6 pixels at a place of its own."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        stripes = 0.5 + 0.2 * np.sin(np.arange(side) + rng.uniform(0, 0.5)) + rng.uniform(-0.1, 0.1)
        image = np.tile(stripes, (side, 1)) + rng.normal(0, 0.03, (side, side))
        if crack:
            row, column = rng.integers(2, side - 2), rng.integers(2, side - 8)
            image[row, column : column + 6] -= 0.35
        made.append((255 * image.clip(0, 1)).astype(np.uint8))
    return made


@pytest.fixture(scope="module")
def cracks(tmp_path_factory):
    """MVTec's layout with cracks in the test pictures, and a run of the suggested model."""
    top = tmp_path_factory.mktemp("cracks")
    for place, images in {
        "train/good": textures(60, 0),
        "test/good": textures(20, 1),
        "test/crack": textures(20, 2, crack=True),
    }.items():
        (top / "parts" / place).mkdir(parents=True)
        for index, image in enumerate(images):
            Image.fromarray(image).save(top / "parts" / place / f"{index}.png")
    tiny = {"model.size": "tiny"}
    run = pellucid.fit(
        "padim", str(top / "parts"), task="anomaly", epochs=8, runs=top / "runs", settings=tiny, **OPTIONS
    )
    return top, run


def test_cracks_are_found_and_compared_with_pca(cracks):
    assert cracks[1].metrics["test/auroc"] > 0.9
    assert {"mean_image", "pca", "pca_pixels"} <= set(cracks[1].facts["baselines"])


def test_the_heat_map_is_largest_at_the_crack(cracks):
    image = textures(1, 3)[0].copy()
    image[3:5, 8:14] = 40
    path = cracks[0] / "one.png"
    Image.fromarray(image).save(path)
    found = cracks[1].predict(str(path), folder=str(cracks[0] / "maps"))
    row, column = np.unravel_index(found.maps[0].argmax(), found.maps[0].shape)
    assert abs(row - 4) <= 3
    assert 6 <= column <= 15
    assert found.rows()[0]["prediction"]["verdict"] == "anomaly"


def test_a_loaded_run_scores_as_the_one_that_was_trained(cracks):
    again = pellucid.inference.evaluate(cracks[1], "test")
    assert again.metrics["auroc"] == pytest.approx(cracks[1].metrics["test/auroc"])


def test_it_is_suggested_with_the_reason(cracks):
    found = inspect_data(DataConfig.model_validate({"source": str(cracks[0] / "parts")}))
    assert found.chosen == "anomaly"
    assert "name: padim" in found.config
    assert any("PaDiM" in reason for reason in found.reasons)


def test_a_loss_of_the_other_kind_of_model_is_refused(cracks):
    options = {"objective.name": "anomaly", "objective.options.loss": "mse", "data.normalize": False}
    for model, loss in (("padim", "mse"), ("autoencoder", "defects")):
        with pytest.raises(ConfigError, match="padim"):
            pellucid.fit(
                model,
                str(cracks[0] / "parts"),
                settings={**options, "objective.options.loss": loss},
                epochs=1,
            )


def test_an_autoencoder_that_is_asked_for_gets_its_own_loss(cracks):
    top = cracks[0]
    run = pellucid.fit("autoencoder", str(top / "parts"), task="anomaly", epochs=1, runs=top / "a", **OPTIONS)
    assert "psnr" not in run.metrics
    assert "test/auroc" in run.metrics


def test_distances_are_mahalanobis_distances():
    torch.manual_seed(0)
    model, images = PaDiM((1, 12, 12), size="tiny").eval(), torch.rand(80, 1, 12, 12)
    model.fit_normal(images)
    found = model.distances(images)  # (N, h, w)
    assert found.mean() == pytest.approx(1, abs=0.35)
    with torch.no_grad():
        features = model.features(images)[:, :, 2, 3]
    reduced = ((features - model.center) @ model.whitening).double().numpy()
    covariance = np.cov(reduced.T, bias=True) + SHRINKAGE * np.eye(REDUCED)
    off = reduced - reduced.mean(0)
    expected = np.einsum("nk,kl,nl->n", off, np.linalg.inv(covariance), off) / REDUCED
    np.testing.assert_allclose(found[:, 2, 3].numpy(), expected, rtol=1e-3)


def test_defects_are_where_the_mask_is_and_stay_in_range():
    images = torch.rand(16, 3, 20, 15)
    spoiled, masks = with_defects(images, torch.rand(16, MOST, NUMBERS))
    assert spoiled.shape == images.shape
    assert 0 <= spoiled.min() <= spoiled.max() <= 1
    near = torch.nn.functional.max_pool2d(masks, 3, 1, 1).bool().expand_as(images)
    assert torch.equal(spoiled[~near], images[~near])
    assert 0 < masks.mean() < 0.5


def test_defects_are_measured_the_same_every_time():
    model, batch = PaDiM((1, 16, 16), size="tiny").eval(), (torch.rand(8, 1, 16, 16), torch.zeros(8))
    with torch.no_grad():
        first, second = (detection().measure(model, batch)["loss"][0] for _ in range(2))
    assert first == second
