"""Autoencoders, denoisers and variational autoencoders on small digits: what is measured and shown."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pellucid.config import Config
from pellucid.data.sources.arrays import arrays
from pellucid.errors import BadDataError, UnknownNameError
from pellucid.evaluation import Outcome
from pellucid.models.autoencoder import autoencoder
from pellucid.models.unet import unet
from pellucid.models.vae import vae
from pellucid.models.vqvae import vqvae
from pellucid.tasks.elbo.task import Elbo
from pellucid.tasks.reconstruction.objective import add_noise
from pellucid.tasks.reconstruction.task import Reconstruction
from pellucid.tasks.shared import pca
from pellucid.tasks.shared.image_task import few
from tests.tasks.conftest import Digits, Learned

Learn = Callable[..., Learned]
SHAPE = (1, 8, 8)


def seeded(build: Callable[..., nn.Module], **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return build(SHAPE, 10, **options)


def outcome(learned: Learned, split: str = "test") -> Outcome:
    return learned.task.evaluate(learned.trained, learned.prepared, split)


def check_blocks(found: Outcome, *titles: str) -> None:
    """The blocks are these, plain JSON, and every picture they name is there and can be opened."""
    assert [block["title"] for block in found.blocks] == list(titles)
    json.dumps(found.blocks)
    named = {block["file"] for block in found.blocks if block["kind"] == "picture"}
    assert named == {f"samples/{name}" for name in found.pictures}
    for picture in found.pictures.values():
        assert min(Image.open(io.BytesIO(picture)).size) >= 8


def test_autoencoder_beats_principal_components(learn: Learn) -> None:
    model = seeded(autoencoder, latent_dim=3, activation="gelu")
    learned = learn(
        Reconstruction(), model, model_options={"latent_dim": 3}, epochs=25, lr=3e-3, watched=False
    )
    found = outcome(learned)
    baselines = learned.task.baselines(learned.prepared)
    assert list(baselines) == ["pca"]
    assert found.metrics["mse"] < 0.85 * baselines["pca"]["test/mse"]
    assert found.metrics["psnr"] > baselines["pca"]["test/psnr"]
    check_blocks(found, "Reconstructions", "Worst reconstructions", "Interpolations", "The latent space")
    scatter = found.blocks[-1]
    assert sum(len(group["points"]) for group in scatter["groups"]) == 497
    assert [group["name"] for group in scatter["groups"]] == list("0123456789")


def test_error_is_that_of_the_outputs_against_the_images(learn: Learn, digits: Digits) -> None:
    learned = learn(Reconstruction(), seeded(autoencoder, size="tiny"), epochs=1)
    found = outcome(learned)
    images = digits.images[1300:]
    with torch.no_grad():
        errors = (learned.trained.model.eval()(images) - images).square().flatten(1).mean(1)
    assert found.metrics["mse"] == pytest.approx(errors.mean().item(), rel=1e-4)
    assert found.predictions is not None
    np.testing.assert_allclose(found.predictions["loss"].to_numpy(), errors, rtol=1e-3, atol=1e-6)
    assert found.metrics["psnr"] == pytest.approx((-10 * errors.log10()).mean().item(), rel=1e-4)
    assert found.summary["rows"] == 497


def test_denoiser_is_measured_on_noisy_images_and_compared_with_baselines(
    learn: Learn, digits: Digits
) -> None:
    model = seeded(unet, size="tiny", residual=True)
    learned = learn(Reconstruction(), model, {"noise": 0.3}, name="unet", epochs=6)
    baselines = learned.task.baselines(learned.prepared)
    assert set(baselines) == {"identity", "total_variation"}
    assert baselines["identity"]["test/mse"] == pytest.approx(0.09, rel=0.05)
    assert baselines["total_variation"]["test/mse"] < 0.7 * baselines["identity"]["test/mse"]
    found = outcome(learned)
    images = digits.images[1300:]
    with torch.no_grad():
        by_hand = (learned.trained.model.eval()(add_noise(images, 0.3, fixed=True)) - images).square().mean()
    assert found.metrics["mse"] == pytest.approx(by_hand.item(), rel=1e-3)
    assert found.metrics["mse"] < baselines["total_variation"]["test/mse"]
    check_blocks(found, "Reconstructions", "Worst reconstructions")
    assert "noisy input" in found.blocks[0]["caption"]


def test_autoencoder_with_masking_noise_is_compared_with_pca_of_noisy_images(learn: Learn) -> None:
    learned = learn(
        Reconstruction(), seeded(autoencoder, size="tiny"), {"noise": 0.5, "noise_kind": "masking"}, epochs=1
    )
    baselines = learned.task.baselines(learned.prepared)
    assert set(baselines) == {"pca", "identity"}
    assert set(baselines["pca"]) == {"val/mse", "val/psnr", "test/mse", "test/psnr"}


def test_the_worst_rows_are_shown(learn: Learn, digits: Digits) -> None:
    class Forgets(nn.Module):
        """Reconstructs everything but the ones."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.weight * (x.sum((1, 2, 3), keepdim=True) > 15)

    learned = learn(Reconstruction(), Forgets(), name="unet", epochs=1, lr=1e-9)
    found = outcome(learned)
    assert found.predictions is not None
    light = digits.images[1300:].sum((1, 2, 3)) <= 15
    losses = torch.tensor(found.predictions["loss"].to_numpy())
    assert light.any()
    assert losses[light].min() > 100 * losses[~light].max()


def test_two_dimensional_latent_space_is_decoded(learn: Learn) -> None:
    learned = learn(Reconstruction(), seeded(autoencoder, latent_dim=2), model_options={"latent_dim": 2})
    found = outcome(learned)
    assert found.blocks[-1]["title"] == "The latent plane, decoded"
    scatter = found.blocks[-2]
    assert (scatter["x_label"], scatter["y_label"]) == ("z1", "z2")


def test_vqvae_has_no_latent_plane(learn: Learn) -> None:
    learned = learn(Reconstruction(), seeded(vqvae, size="tiny"), name="vqvae", epochs=1)
    check_blocks(outcome(learned), "Reconstructions", "Worst reconstructions")
    assert learned.task.baselines(learned.prepared) == {}


def test_elbo_is_recon_plus_kl_and_beats_independent_pixels(learn: Learn, digits: Digits) -> None:
    model = seeded(vae, latent_dim=6)
    learned = learn(Elbo(), model, name="vae", model_options={"latent_dim": 6}, epochs=15, lr=5e-3)
    found = outcome(learned)
    metrics = found.metrics
    assert metrics["elbo"] == pytest.approx(-metrics["recon"] - metrics["kl"], rel=1e-5)
    baseline = learned.task.baselines(learned.prepared)["pixel_means"]
    assert metrics["elbo"] > baseline["test/elbo"] + 2
    mean = digits.images[:1000].mean(0).clamp(1e-3, 1 - 1e-3).expand(497, 1, 8, 8)
    by_hand = nn.functional.binary_cross_entropy(mean, digits.images[1300:], reduction="sum") / 497
    assert baseline["test/elbo"] == pytest.approx(-by_hand.item(), rel=1e-4)
    assert 2 <= metrics["active_units"] <= 6
    check_blocks(found, "New images", "Reconstructions", "Interpolations", "The latent space")


def test_unused_latent_dimensions_are_not_active(learn: Learn) -> None:
    model = seeded(vae, latent_dim=6, norm=None)
    with torch.no_grad():
        model.encoder[-1].weight[:4] = 0  # mu of the first four numbers no longer depends on the image
        model.encoder[-1].weight[4:6] = 1
    learned = learn(Elbo(), model, name="vae", epochs=1, lr=1e-9)
    assert outcome(learned).metrics["active_units"] == 2


def test_snapshots_and_charts_are_written_during_training(learn: Learn) -> None:
    learned = learn(Elbo(), seeded(vae, size="tiny"), name="vae", epochs=2)
    written = json.loads((learned.run.path / "evaluation" / "training.json").read_text())
    film, chart = written["blocks"]
    assert [frame["label"] for frame in film["frames"]] == ["untrained", "epoch 1", "epoch 2"]
    frames = [(learned.run.path / frame["file"]).read_bytes() for frame in film["frames"]]
    assert len(set(frames)) == 3
    assert chart["series"][0]["x"] == [0, 1, 2]
    assert learned.trainer.measures["val/active_units"] == chart["series"][0]["y"][-1]


@pytest.mark.parametrize("task", [Reconstruction(), Elbo()], ids=["reconstruction", "elbo"])
def test_snapshots_do_not_change_training(learn: Learn, task: Reconstruction | Elbo, tmp_path: Any) -> None:
    states = [
        learn(
            task, seeded(vae, size="tiny"), name="vae", epochs=2, watched=watched
        ).trained.model.state_dict()
        for watched in (True, False)
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_measuring_twice_gives_the_same(learn: Learn) -> None:
    learned = learn(Elbo(), seeded(vae, size="tiny"), name="vae", epochs=1)
    first, second = outcome(learned), outcome(learned)
    assert first.metrics == second.metrics
    assert first.pictures == second.pictures


def test_images_without_classes_are_accepted(learn: Learn, digits: Digits) -> None:
    pixels = digits.images.numpy()
    unlabelled = arrays(pixels[:500], validation=(pixels[500:600], None), test=(pixels[600:700], None))
    learned = learn(Reconstruction(), seeded(autoencoder, size="tiny"), dataset=unlabelled, epochs=1)
    found = outcome(learned)
    assert np.isfinite(found.metrics["mse"])
    assert [group["name"] for group in found.blocks[-1]["groups"]] == ["images"]


def test_mismatched_models_and_data_are_refused(digits: Digits) -> None:
    task = Reconstruction()

    def prepare(dataset: Any) -> None:
        task.prepare(dataset, Config(), reads_tokens=False)

    table = arrays(np.random.default_rng(0).random((30, 4)), np.arange(30) % 2)
    with pytest.raises(BadDataError, match=r"expects images \(C, H, W\)"):
        prepare(table)
    prepared = task.prepare(digits.dataset, Config(), reads_tokens=False)  # data.normalize is true
    assert torch.equal(few(prepared, "train", 1000), digits.images[:1000])
    with pytest.raises(UnknownNameError, match="noise"):
        task.objective(Config.parse({"objective": {"name": "reconstruction", "options": {"nose": 1}}}))


def test_baselines_know_the_defaults_of_the_models() -> None:
    assert pca.latent_dim(Config.parse({"model": {"name": "vae"}})) == vae((1, 8, 8), 0).latent_dim
    assert pca.latent_dim(Config.parse({"model": {"name": "vae", "options": {"latent_dim": 3}}})) == 3
    assert pca.latent_dim(Config.parse({"model": {"name": "vqvae"}})) is None
    assert pca.latent_dim(Config.parse({"model": {"name": "unet"}})) is None


def test_gaussian_likelihood_shows_the_means(learn: Learn) -> None:
    learned = learn(Elbo(), seeded(vae, size="tiny"), {"likelihood": "gaussian"}, name="vae", epochs=1)
    assert learned.task.baselines(learned.prepared) == {}
    model = learned.trained.model
    with torch.no_grad():
        model.decoder[-2].weight.zero_()
        model.decoder[-2].bias.zero_()
    drawn = Image.open(io.BytesIO(outcome(learned).pictures["test-samples.png"])).convert("LA")
    assert np.asarray(drawn)[0, 0].tolist() == [0, 255]  # black, not the 0.5 of a logit of 0


def test_evaluation_files_are_readable_by_the_report(learn: Learn) -> None:
    learned = learn(Reconstruction(), seeded(autoencoder, size="tiny"), epochs=1)
    outcome(learned).write(learned.run.path, "test")
    written = json.loads((learned.run.path / "evaluation" / "test.json").read_text())
    for block in written["blocks"]:
        if "file" in block:
            assert (learned.run.path / block["file"]).is_file()
    assert written["task"] == "reconstruction"
