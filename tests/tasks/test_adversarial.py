"""GANs on small digits: metrics of the evaluator, report blocks, and that measuring changes nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pellucid.data.sources.arrays import arrays
from pellucid.evaluation import Outcome, Trained
from pellucid.models.gan import GAN, dcgan
from pellucid.tasks.adversarial.gan_samples import (
    between,
    discriminator_outputs,
    generate,
    nearest,
    untrained,
)
from pellucid.tasks.adversarial.task import Adversarial
from tests.tasks.conftest import Digits, Learned

Learn = Callable[..., Learned]


def gan(shape: tuple[int, ...] = (1, 8, 8), **options: Any) -> GAN:
    torch.manual_seed(0)
    return dcgan(shape, 10, size="tiny", latent_dim=8, **options)


class Copies(nn.Module):
    """A generator that returns given images, one after the other."""

    def __init__(self, images: Tensor):
        super().__init__()
        self.images, self.next = images, 0

    def forward(self, z: Tensor) -> Tensor:
        rows = torch.arange(self.next, self.next + len(z)) % len(self.images)
        self.next = (self.next + len(z)) % len(self.images)
        return self.images[rows]


def outcome(learned: Learned, evaluator: Trained | None, split: str = "test") -> Outcome:
    needed = {"evaluator": evaluator} if evaluator else {}
    return learned.task.evaluate(learned.trained, replace(learned.prepared, needed=needed), split)


def generating(learned: Learned, images: Tensor) -> Learned:
    """The same run with a generator that returns these images."""
    model = gan()
    model.generator = Copies(images)  # type: ignore[assignment]
    return replace(learned, trained=replace(learned.trained, model=model))


def table(found: Outcome, title: str) -> dict[str, list[Any]]:
    block = next(block for block in found.blocks if block["title"] == title)
    return {row[0]: row[1:] for row in block["rows"]}


@pytest.fixture
def learned(learn: Learn, evaluator: Trained) -> Learned:
    return learn(Adversarial(), gan(), name="dcgan", evaluator=evaluator, epochs=2, lr=1e-3)


def test_evaluator_is_confident_on_real_images_and_not_on_noise(
    learned: Learned, evaluator: Trained, digits: Digits
) -> None:
    real = outcome(generating(learned, digits.images[:1300]), evaluator).metrics
    noise = torch.rand(1000, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    poor = outcome(generating(learned, noise), evaluator).metrics
    assert real["coverage"] == 1
    assert real["confidence"] > 0.9 > poor["confidence"]
    assert real["frechet"] < 0.1 * poor["frechet"]


def test_missing_classes_reduce_the_coverage(learned: Learned, evaluator: Trained, digits: Digits) -> None:
    twos = digits.images[(digits.labels == 2) | (digits.labels == 6)]
    found = outcome(generating(learned, twos), evaluator)
    assert found.metrics["coverage"] == 0.2
    shares = table(found, "Classes")
    assert shares["2"][0] + shares["6"][0] > 95
    assert 5 < shares["2"][1] < 15  # of the test images


def test_distance_is_compared_with_real_images_and_an_untrained_network(
    learned: Learned, evaluator: Trained
) -> None:
    found = outcome(learned, evaluator)
    rows = table(found, "Distance from the test images")
    assert list(rows) == ["generated", "training images", "untrained network"]
    assert rows["training images"][1] < min(rows["generated"][1], rows["untrained network"][1])
    assert rows["generated"][1] == pytest.approx(found.metrics["frechet"], abs=1e-3)
    assert rows["generated"][0] == 10_000


def test_report_blocks_of_a_gan(learned: Learned, evaluator: Trained) -> None:
    found = outcome(learned, evaluator)
    titles = ["Images", "Classes", "Distance from the test images", "Interpolations"]
    assert [block["title"] for block in found.blocks] == [*titles, "Nearest training images"]
    json.dumps(found.blocks)
    named = {block["file"] for block in found.blocks if block["kind"] == "picture"}
    assert named == {f"samples/{name}" for name in found.pictures}
    sides = {name: Image.open(io.BytesIO(data)).size for name, data in found.pictures.items()}
    assert sides["test-samples.png"] == (20 * 10 - 2, 5 * 10 - 2)


def test_snapshots_and_charts_are_written_during_training(learned: Learned) -> None:
    blocks = json.loads((learned.run.path / "evaluation" / "training.json").read_text())["blocks"]
    by_title = {block["title"]: block for block in blocks}
    assert list(by_title) == [
        "Images by epoch",
        "Quality by epoch",
        "Evaluator by epoch",
        "Balance by epoch",
        "Losses by epoch",
    ]
    frames = by_title["Images by epoch"]["frames"]
    assert [frame["label"] for frame in frames] == ["untrained", "epoch 1", "epoch 2"]
    assert len({(learned.run.path / frame["file"]).read_bytes() for frame in frames}) == 3
    assert by_title["Quality by epoch"]["series"][0]["x"] == [0, 1, 2]
    losses = {series["name"]: series for series in by_title["Losses by epoch"]["series"]}
    assert losses["generator"]["x"] == losses["discriminator"]["x"] == [1, 2]
    measures = learned.trainer.measures
    assert measures["val/frechet"] == by_title["Quality by epoch"]["series"][0]["y"][-1]
    assert measures["train/generator_loss"] == losses["generator"]["y"][-1]
    assert 0 <= measures["val/d_fake_accuracy"] <= 1


def test_snapshots_do_not_change_training(learn: Learn, evaluator: Trained) -> None:
    options: dict[str, Any] = {"name": "dcgan", "evaluator": evaluator, "epochs": 2, "lr": 1e-3}
    watched, alone = (
        learn(Adversarial(), gan(norm="spectral"), watched=watched, **options).trained.model.state_dict()
        for watched in (True, False)
    )
    assert all(torch.equal(watched[name], alone[name]) for name in watched)


def test_snapshots_continue_after_an_interruption(learned: Learned) -> None:
    film = learned.trainer.callbacks[0]
    fresh = learned.task.callbacks(learned.run, learned.prepared)[0]
    fresh.load_state_dict(json.loads(json.dumps(film.state_dict())))
    learned.trainer.epoch = 3
    fresh.on_epoch_end(learned.trainer)
    blocks = json.loads((learned.run.path / "evaluation" / "training.json").read_text())["blocks"]
    assert [frame["label"] for frame in blocks[0]["frames"]] == ["untrained", "epoch 1", "epoch 2", "epoch 3"]


def test_measuring_twice_gives_the_same(learned: Learned, evaluator: Trained) -> None:
    state = torch.get_rng_state()
    first, second = outcome(learned, evaluator, "validation"), outcome(learned, evaluator, "validation")
    assert first.metrics == second.metrics
    assert first.pictures == second.pictures
    assert torch.equal(torch.get_rng_state(), state)


def test_without_an_evaluator_images_are_compared_with_each_other(learned: Learned, digits: Digits) -> None:
    found = outcome(learned, None)
    assert [block["title"] for block in found.blocks][1:] == [
        "Interpolations",
        "Nearest training images",
    ]
    assert "frechet" not in found.metrics
    same = outcome(generating(learned, digits.images[:1].expand(2, -1, -1, -1)), None)
    alike = outcome(generating(learned, digits.images[:1300]), None)
    assert same.metrics["diversity"] == same.metrics["feature_diversity"] == 0
    assert alike.metrics["diversity"] == pytest.approx(1, abs=0.15)
    assert alike.metrics["feature_diversity"] == pytest.approx(1, abs=0.3)
    assert alike.summary["samples"] == 1000  # as many as training images


def test_conditional_images_are_requested_by_class(learn: Learn, evaluator: Trained) -> None:
    learned = learn(
        Adversarial(),
        gan(conditional=True),
        name="dcgan",
        model_options={"conditional": True},
        evaluator=evaluator,
        epochs=1,
        lr=1e-3,
    )
    assert 0 <= outcome(learned, evaluator, "validation").metrics["accuracy"] <= 1
    _, asked = generate(learned.trained.model, 40, 10, columns=20)
    assert asked.view(2, 20)[0].tolist() == asked.view(2, 20)[1].tolist() == sorted([*range(10)] * 2)
    _, asked = generate(learned.trained.model, 40, 10)
    assert torch.bincount(asked).tolist() == [4] * 10


def test_stacked_images_are_counted_by_their_combinations(
    learn: Learn, evaluator: Trained, digits: Digits
) -> None:
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
    stacked = digits.images[order, 0].view(599, 3, 8, 8)
    dataset = arrays(
        stacked[:400].numpy(),
        validation=(stacked[400:500].numpy(), None),
        test=(stacked[500:].numpy(), None),
    )
    learned = learn(
        Adversarial(), gan((3, 8, 8)), name="dcgan", evaluator=evaluator, dataset=dataset, epochs=1, lr=1e-3
    )
    model = gan((3, 8, 8))
    model.generator = Copies(stacked)  # type: ignore[assignment]
    found = outcome(replace(learned, trained=replace(learned.trained, model=model)), evaluator)
    labels = digits.labels[order].view(599, 3)
    truly = len({tuple(row) for row in labels.tolist()})
    assert found.metrics["modes"] == pytest.approx(truly, rel=0.1)
    assert found.summary["samples"] == 26_000
    assert outcome(learned, evaluator, "validation").summary["samples"] == 2000
    assert 0 < found.metrics["kl"] < np.log(1000)
    assert "frechet" not in found.metrics
    assert "val/modes" in learned.trainer.measures


def test_wasserstein_critic_has_no_threshold(learn: Learn) -> None:
    learned = learn(Adversarial(), gan(norm="layer"), {"loss": "wgan-gp"}, name="dcgan", epochs=1, lr=1e-3)
    assert "val/d_real_accuracy" not in learned.trainer.measures
    assert "train/generator_loss" in learned.trainer.measures


# ---- generated images ------------------------------------------------------------------------------


def test_generation_is_deterministic_and_draws_no_global_random_numbers() -> None:
    model = gan().eval()
    state = torch.get_rng_state()
    first, second = generate(model, 600, 10)[0], generate(model, 600, 10)[0]
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == (600, 1, 8, 8)


def test_interpolation_starts_and_ends_at_random_draws() -> None:
    model = gan().eval()
    seen = []
    model.generator.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    images = between(model, 10).view(8, 10, 1, 8, 8)
    noise = seen[0].view(8, 10, 8)
    ends = torch.randn(2, 8, 1, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(noise[:, 0], ends[0, :, 0])
    torch.testing.assert_close(noise[:, -1], ends[1, :, 0])
    lengths = noise.norm(dim=2)
    assert (lengths[:, 5] > 0.8 * torch.minimum(lengths[:, 0], lengths[:, -1])).all()
    steps = (images[:, 1:] - images[:, :-1]).abs().mean((2, 3, 4))
    assert (steps > 0).all()


def test_nearest_image_of_a_copy_is_the_original(digits: Digits) -> None:
    copies = digits.images[[5, 700, 1500]]
    assert torch.equal(nearest(copies + 0.01, digits.images), copies)


def test_untrained_copy_does_not_change_the_model() -> None:
    model = gan()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    fresh = untrained(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not torch.equal(fresh.generator.layers[0].weight, model.generator.layers[0].weight)


def test_discriminator_outputs_of_batches_equal_those_of_the_model(digits: Digits) -> None:
    model = gan().eval()
    images, labels = digits.images[:700], digits.labels[:700]
    with torch.no_grad():
        torch.testing.assert_close(discriminator_outputs(model, images, labels), model.discriminator(images))
