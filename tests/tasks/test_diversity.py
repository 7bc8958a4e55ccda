"""Whether generated images differ as much as real ones, and GANs on a handful of images."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import pellucid
from pellucid.data.sources.arrays import arrays
from pellucid.errors import ConfigError
from pellucid.evaluation import Outcome
from pellucid.models.gan import dcgan
from pellucid.tasks.adversarial.diversity import random_features, spread
from tests.tasks.conftest import Digits

SETTINGS: dict[str, Any] = {
    "objective.name": "adversarial",
    "data.normalize": False,
    "model.size": "tiny",
    "train.batch_size": 8,
}


def few(count: int, side: int = 12) -> pellucid.Dataset:
    return arrays(np.random.default_rng(0).random((count, 1, side, side), np.float32))


def test_spread_is_the_mean_squared_difference_of_two_images() -> None:
    torch.manual_seed(0)
    images = torch.rand(400, 1, 9, 7)
    assert spread(images).pixels == pytest.approx(1 / 6, rel=0.05)  # of two uniform numbers
    assert spread(images[:1].expand(5, -1, -1, -1)).pixels == 0
    two = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(-1, 1, 6, 6)
    assert spread(two).pixels == 1


def test_one_image_for_each_class_has_no_spread_within_the_classes() -> None:
    images = torch.rand(3, 1, 8, 8).repeat(20, 1, 1, 1)
    labels = torch.arange(3).repeat(20)
    assert spread(images).pixels > 0.05
    assert spread(images, labels).pixels == spread(images, labels).features == 0


def test_random_features_see_that_a_shifted_image_is_the_same(digits: Digits) -> None:
    real = F.pad(F.interpolate(digits.images[:300], scale_factor=3.0, mode="bilinear"), (4,) * 4)
    places = torch.randint(0, 9, (300, 2), generator=torch.Generator().manual_seed(0)).tolist()
    shifted = torch.stack([F.pad(real[0], (4,) * 4)[:, y : y + 32, x : x + 32] for y, x in places])
    found, wanted = spread(shifted), spread(real)
    assert found.pixels / wanted.pixels > 0.5
    assert found.features / wanted.features < 0.4 * found.pixels / wanted.pixels
    assert torch.equal(random_features(real), random_features(real))


def test_ten_images_are_warned_of_and_leave_no_nan(tmp_path: Any) -> None:
    run = pellucid.fit("dcgan", few(10), epochs=1, progress=False, settings=SETTINGS, runs=tmp_path)
    notes = " ".join(run.facts["notes"])
    assert "There are 8 training images: a GAN memorizes so few" in notes
    assert "compared with the 8 training images, since only 1 are in the test split" in notes
    assert 0 <= run.metrics["test/diversity"] < 2
    for file in [*run.path.glob("*.json"), *run.path.glob("evaluation/*.json")]:
        assert "NaN" not in file.read_text(), file


def test_equal_images_have_no_diversity_and_the_reason_is_noted(tmp_path: Any) -> None:
    same = np.full((10, 1, 8, 8), 0.5, np.float32)
    data = arrays(same, validation=(same[:2], None), test=(same[:2], None))
    run = pellucid.fit("dcgan", data, epochs=1, progress=False, settings=SETTINGS, runs=tmp_path)
    assert "test/diversity" not in run.metrics
    assert any(
        note.startswith("test/diversity is left out: it is not defined") for note in run.facts["notes"]
    )
    assert "diversity" in json.loads((run.path / "evaluation" / "test.json").read_text())["left_out"]


def test_a_metric_that_is_not_a_number_is_left_out() -> None:
    found = Outcome(
        {"loss": 1.0, "ratio": float("nan"), "other": float("nan")}, left_out={"ratio": "no rows"}
    )
    assert found.metrics == {"loss": 1.0}
    assert found.left_out == {"ratio": "no rows", "other": "it is not defined for these rows (0 / 0)"}


def test_a_conditional_model_needs_classes(tmp_path: Any) -> None:
    settings = {**SETTINGS, "model.options.conditional": True}
    with pytest.raises(ConfigError, match="arrays has none"):
        pellucid.fit("dcgan", few(10), epochs=1, progress=False, settings=settings, runs=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(1, 37, 91), (3, 50, 50), (1, 5, 6)])
def test_a_gan_draws_images_of_any_size(shape: tuple[int, int, int]) -> None:
    model = dcgan(shape, 0, size="tiny", latent_dim=4)
    made = model(torch.randn(2, 4))
    assert made.shape == (2, *shape)
    assert model.discriminator(made).shape == (2,)
