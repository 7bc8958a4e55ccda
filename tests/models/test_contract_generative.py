"""The contract of all models that generate, embed or forecast."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pellucid.models.autoencoder import autoencoder
from pellucid.models.forecast import dlinear, moving_average, nlinear, patch_lstm, patch_transformer
from pellucid.models.gan import GAN, dcgan
from pellucid.models.padim import padim
from pellucid.models.siamese import siamese
from pellucid.models.unet import unet
from pellucid.models.vae import VAE, vae
from pellucid.models.vqvae import vqvae
from tests.models.learning import least_error

BUILDERS = (
    autoencoder,
    vae,
    vqvae,
    unet,
    padim,
    dcgan,
    siamese,
    nlinear,
    dlinear,
    patch_transformer,
    patch_lstm,
)


@dataclass(frozen=True)
class Case:
    """A model to test.

    Attributes:
        builder: what makes it.
        input_shape: of one example.
        output_shape: of one output.
        parameters: how many there are, counted by hand.
        options: of the builder.
        num_outputs: of the builder.
        differs: whether training and evaluation mode give different outputs.
    """

    builder: Callable[..., nn.Module]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int
    options: dict[str, Any] = field(default_factory=dict)
    num_outputs: int = 10
    differs: bool = False

    def build(self, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return self.builder(self.input_shape, self.num_outputs, **self.options)

    def __str__(self) -> str:
        options = ",".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.builder.__name__}-{'x'.join(map(str, self.input_shape))}-{options}"


def dense(*widths: int) -> int:
    """Parameters of linear layers with biases."""
    return sum(a * b + b for a, b in itertools.pairwise(widths))


def normed(*widths: int) -> int:
    """Parameters of linear layers, each followed by a batch norm instead of a bias."""
    return sum(a * b + 2 * b for a, b in itertools.pairwise(widths))


def conv(channels: int, width: int, kernel_size: int = 3) -> int:
    """Parameters of a convolution with batch norm; the same for a transposed one."""
    return channels * width * kernel_size**2 + 2 * width


def plain(channels: int, width: int, kernel_size: int) -> int:
    """Parameters of a convolution with a bias."""
    return channels * width * kernel_size**2 + width


DENSE = dense(784, 512, 256, 32) + dense(32, 256, 512, 784)
CONV = (  # 1 x 9 x 14 images: 3 x 4 maps of 16 channels at the lowest resolution
    plain(1, 8, 3) + plain(8, 16, 3) + dense(192, 5) + dense(5, 192) + plain(16, 8, 4) + plain(8, 1, 4)
)
VAE_DENSE = normed(784, 512, 256) + dense(256, 40) + normed(20, 256, 512) + dense(512, 784)
VAE_CONV = (  # 3 x 12 x 12 images: 3 x 3 maps of 16 channels
    conv(3, 8) + conv(8, 16) + dense(144, 12) + normed(6, 144) + conv(16, 8, 4) + plain(8, 3, 4)
)
BLOCKS = 4 * conv(64, 64)  # two residual blocks
VAE_BASE = (
    *(conv(1, 32) + conv(32, 64), BLOCKS + dense(64 * 4, 40) + normed(20, 64 * 4) + BLOCKS),
    *(conv(64, 32, 4), plain(32, 1, 4)),
)
VQ = conv(1, 32) + conv(32, 64) + plain(64, 16, 1) + 128 * 16 + plain(16, 64, 1)
VQ_TINY = conv(1, 8) + conv(8, 16) + plain(16, 4, 1) + 32 * 4 + plain(4, 16, 1)
PADIM_TINY = 9 * (3 * 16 + 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64) + 4 * (16 + 32 + 64) + 113
UNET_TINY = (
    conv(3, 8) + conv(8, 8) + conv(8, 16) + conv(16, 16) + conv(16, 8) + conv(16, 8) + conv(8, 8)
) + plain(8, 3, 1)
UNET_SMALL = (
    *(conv(1, 16), conv(16, 16), conv(16, 32), conv(32, 32), conv(32, 64), conv(64, 64)),
    *(conv(64, 32), conv(64, 32), conv(32, 32), conv(32, 16), conv(32, 16), conv(16, 16), plain(16, 1, 1)),
)
G_SMALL = 64 * 64 * 49 + 2 * 64 + conv(64, 32, 4) + plain(32, 1, 4)
D_SMALL = plain(1, 32, 4) + conv(32, 64, 4) + dense(64 * 49, 1)
G_TINY = 24 * 32 * 16 + 2 * 32 + conv(32, 16, 4) + plain(16, 3, 4) + 10 * 16  # 8 numbers, 16 for the label
D_TINY = plain(3, 16, 4) + plain(16, 32, 4) + dense(33 * 16, 1) + 10 * 33 * 16
CNN_SMALL = conv(1, 16) + conv(16, 32) + conv(32, 64) + conv(64, 128)
BLOCK = 4 * dense(16, 16) + dense(16, 32, 16) + 4 * 16
PATCHES = dense(16, 16) + 6 * 16 + BLOCK + 32 + dense(6 * 16, 4)  # 48 steps: 6 patches of 16
SHORT = dense(5, 16) + 2 * 16 + BLOCK + 32 + dense(2 * 16, 2)
CASES = [
    Case(autoencoder, (1, 28, 28), (1, 28, 28), DENSE),
    Case(autoencoder, (1, 9, 14), (1, 9, 14), CONV, {"kind": "conv", "size": "tiny", "latent_dim": 5}),
    Case(vae, (1, 28, 28), (1, 28, 28), VAE_DENSE, differs=True),
    Case(
        vae,
        (3, 12, 12),
        (3, 12, 12),
        VAE_CONV,
        {"kind": "conv", "size": "tiny", "latent_dim": 6},
        differs=True,
    ),
    Case(vae, (1, 8, 8), (1, 8, 8), sum(VAE_BASE), {"kind": "conv", "size": "base"}, differs=True),
    Case(vqvae, (1, 28, 28), (1, 28, 28), VQ + conv(64, 32, 4) + plain(32, 1, 4), differs=True),
    Case(
        vqvae,
        (1, 10, 9),
        (1, 10, 9),
        VQ_TINY + conv(16, 8, 4) + plain(8, 1, 4),
        {"size": "tiny", "num_codes": 32, "latent_dim": 4},
        differs=True,
    ),
    Case(unet, (1, 28, 28), (1, 28, 28), sum(UNET_SMALL), {"residual": True}, differs=True),
    Case(unet, (3, 11, 9), (3, 11, 9), UNET_TINY, {"size": "tiny"}, differs=True),
    Case(padim, (3, 11, 9), (1, 6, 5), PADIM_TINY, {"size": "tiny"}, differs=True),
    Case(padim, (1, 41, 30), (1, 11, 8), PADIM_TINY - 2 * 9 * 16, {"size": "tiny"}, differs=True),
    Case(dcgan, (1, 28, 28), (1, 28, 28), G_SMALL + D_SMALL, differs=True),
    Case(
        dcgan,
        (3, 16, 16),
        (3, 16, 16),
        G_TINY + D_TINY,
        {"size": "tiny", "latent_dim": 8, "conditional": True, "norm": "spectral", "minibatch_std": True},
        differs=True,
    ),
    Case(siamese, (1, 8, 8), (64,), CNN_SMALL + 128 * 64 + 64, differs=True),
    Case(siamese, (20,), (5,), dense(20, 32, 5), {"size": "tiny", "embed_dim": 5, "norm": None}),
    Case(nlinear, (24, 3), (18,), 24 * 6 + 6, num_outputs=18),
    Case(nlinear, (24, 3), (18,), 3 * (24 * 6 + 6), {"individual": True}, num_outputs=18),
    Case(dlinear, (30, 2), (8,), 2 * (30 * 4 + 4), num_outputs=8),
    Case(patch_transformer, (48, 2), (8,), PATCHES, {"size": "tiny"}, num_outputs=8, differs=True),
    Case(patch_transformer, (5, 3), (6,), SHORT, {"size": "tiny", "dropout": 0.0}, num_outputs=6),
    Case(patch_lstm, (48, 2), (8,), 272 + 2176 + 68, {"size": "tiny"}, num_outputs=8, differs=True),
]
each = pytest.mark.parametrize("case", CASES, ids=str)


def batch(case: Case, rows: int = 12) -> Tensor:
    """Values in 0..1; images are smooth, like real ones."""
    generator = torch.Generator().manual_seed(1)
    if len(case.input_shape) != 3:
        return torch.rand(rows, *case.input_shape, generator=generator)
    coarse = torch.rand(rows, case.input_shape[0], 3, 3, generator=generator)
    return F.interpolate(coarse, case.input_shape[1:], mode="bilinear", align_corners=True)


def outputs(model: nn.Module, x: Tensor) -> Tensor:
    """The output of a model for a batch; for a GAN, images from noise that does not depend on the batch."""
    if isinstance(model, GAN):
        z = torch.randn(len(x), model.latent_dim, generator=torch.Generator().manual_seed(2))
        return model(z, labels(model, x))
    made = model(x)
    return made if isinstance(made, Tensor) else made.recon


def labels(model: nn.Module, x: Tensor) -> Tensor | None:
    return torch.arange(len(x)) % 10 if getattr(model, "conditional", False) else None


def loss(model: nn.Module, x: Tensor) -> Tensor:
    """A loss that depends on every parameter."""
    if isinstance(model, GAN):
        known = labels(model, x)
        real, fake = model.discriminator(x, known), model.discriminator(outputs(model, x), known)
        return F.softplus(-real).mean() + F.softplus(fake).mean()
    made = model(x)
    if isinstance(made, Tensor):
        wanted = torch.rand(made.shape, generator=torch.Generator().manual_seed(3))
        return F.mse_loss(made, wanted)
    if isinstance(model, VAE):
        return F.mse_loss(made.recon, x) + made.mu.square().mean() + (made.logvar.exp() - made.logvar).mean()
    return F.mse_loss(made.recon, x) + made.codebook_loss


@each
def test_outputs_have_the_documented_shape(case: Case) -> None:
    made = outputs(case.build(), batch(case))
    assert made.shape == (12, *case.output_shape)
    assert made.dtype == torch.float32
    assert torch.isfinite(made).all()


@each
def test_parameter_count(case: Case) -> None:
    assert sum(p.numel() for p in case.build().parameters()) == case.parameters


@each
def test_gradients_reach_every_parameter(case: Case) -> None:
    model = case.build()
    loss(model, batch(case)).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@each
def test_examples_are_independent_in_evaluation(case: Case) -> None:
    model, x = case.build().eval(), batch(case)
    if isinstance(model, GAN):
        z, known = torch.randn(12, model.latent_dim), labels(model, x)
        some = model(z[3:5], None if known is None else known[3:5])
        torch.testing.assert_close(model(z, known)[3:5], some)
    else:
        torch.testing.assert_close(outputs(model, x)[3:5], outputs(model, x[3:5]), rtol=1e-4, atol=1e-5)


@each
def test_training_and_evaluation_differ_only_where_documented(case: Case) -> None:
    model, x = case.build(), batch(case)
    same = torch.allclose(outputs(model.train(), x), outputs(model.eval(), x), atol=1e-6)
    assert same is not case.differs


@each
def test_seed_determines_the_weights(case: Case) -> None:
    first, second, other = case.build(0).state_dict(), case.build(0).state_dict(), case.build(1).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@each
def test_saved_weights_are_restored(case: Case, tmp_path: Path) -> None:
    model, other, x = case.build(0), case.build(1), batch(case)
    loss(model, x)  # updates the running statistics
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(outputs(model.eval(), x), outputs(other.eval(), x))
    assert loss(model, x) == loss(other, x)


@pytest.mark.parametrize("case", [case for case in CASES if case.builder is not dcgan], ids=str)
def test_one_batch_can_be_overfitted(case: Case) -> None:
    model, x = case.build(), batch(case, rows=4)
    wanted = x if case.output_shape == case.input_shape else torch.randn(4, *case.output_shape)
    wanted = F.normalize(wanted, dim=1) if case.builder is siamese else wanted

    def error() -> Tensor:
        made = model(x)
        return F.mse_loss(made if isinstance(made, Tensor) else made.recon, wanted) + getattr(
            made, "codebook_loss", torch.zeros(())
        )

    start = F.mse_loss(wanted.mean(0).expand_as(wanted), wanted).item()
    share = 0.5 if case.builder is vae else 0.25  # samples are never exact
    assert least_error(model, error, share * start) < share * start  # relative to a constant


@each
def test_wrong_input_is_refused_with_both_shapes(case: Case) -> None:
    model = case.build()
    wrong = torch.zeros(2, case.input_shape[0] + 1, *case.input_shape[1:])
    with pytest.raises(ValueError, match=r"expects .* received .*\(2, "):
        model.discriminator(wrong) if isinstance(model, GAN) else model(wrong)


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.__name__)
def test_unknown_size_is_refused(builder: Callable[..., nn.Module]) -> None:
    shape = (24, 1) if builder in (nlinear, dlinear, patch_transformer, patch_lstm) else (1, 28, 28)
    with pytest.raises(ValueError, match="enormous"):
        builder(shape, 10, size="enormous")


# ---- single models --------------------------------------------------------------------------------


@pytest.mark.parametrize("builder", [autoencoder, vae, vqvae, unet, dcgan], ids=lambda b: b.__name__)
def test_tables_are_refused_where_images_are_expected(builder: Callable[..., nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"expects images .* received inputs of shape \(13,\)"):
        builder((13,), 10)


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_autoencoder_is_encoder_then_decoder(kind: str) -> None:
    model = autoencoder((2, 10, 7), 10, kind=kind, latent_dim=6).eval()
    x = torch.rand(3, 2, 10, 7)
    assert model.encode(x).shape == (3, 6)
    assert torch.equal(model(x), model.decode(model.encode(x)))


def test_untrained_vae_starts_at_the_prior() -> None:
    mu, logvar = VAE((1, 28, 28)).encode(torch.rand(50, 1, 28, 28))
    assert mu.abs().mean() < 0.2
    assert logvar.abs().mean() < 0.2


def test_vae_samples_only_in_training() -> None:
    model = vae((1, 8, 8), 10, norm=None)
    x = torch.rand(2, 1, 8, 8)
    assert not torch.equal(model(x).recon, model(x).recon)
    torch.manual_seed(5)
    first = model(x).recon
    torch.manual_seed(5)
    assert torch.equal(model(x).recon, first)
    model.eval()
    assert torch.equal(model(x).recon, model.decode(model.encode(x)[0]))


def test_vqvae_uses_the_nearest_code_and_the_straight_through_estimator() -> None:
    torch.manual_seed(0)
    model = vqvae((1, 12, 12), 10).eval()
    x = torch.rand(4, 1, 12, 12)
    made = model(x)
    latents = model.to_latent(model.down(x)).permute(0, 2, 3, 1).reshape(-1, model.latent_dim)
    nearest = torch.cdist(latents, model.codebook.weight).argmin(1).view(4, 3, 3)
    assert torch.equal(made.codes, nearest)
    assert torch.equal(made.codes, model.encode(x))
    torch.testing.assert_close(made.recon, model.decode(made.codes))
    made.recon.sum().backward()
    assert model.codebook.weight.grad is None
    assert model.down[0].conv.weight.grad.any()


def test_untrained_vqvae_uses_many_codes() -> None:
    torch.manual_seed(0)
    codes = vqvae((1, 28, 28), 10)(torch.rand(16, 1, 28, 28)).codes
    assert len(codes.unique()) > 64


def test_residual_unet_subtracts_its_output_from_the_input() -> None:
    torch.manual_seed(0)
    plainly = unet((1, 16, 16), 10).eval()
    residual = unet((1, 16, 16), 10, residual=True).eval()
    residual.load_state_dict(plainly.state_dict())
    x = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(residual(x), x - plainly(x))


def test_unet_pads_by_replication_and_crops_the_output() -> None:
    model = unet((1, 16, 16), 10).eval()
    x = torch.rand(2, 1, 13, 15)
    by_hand = F.pad(x, (0, 1, 0, 3), mode="replicate")
    torch.testing.assert_close(model(x), model(by_hand)[..., :13, :15])


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 28, 28), (2, 12, 20)], ids=str)
def test_generated_images_are_between_0_and_1(shape: tuple[int, int, int]) -> None:
    model = dcgan(shape, 10, size="tiny")
    images = model(30 * torch.randn(8, 64))
    assert images.shape == (8, *shape)
    assert 0 <= images.min() < images.max() <= 1
    assert model.discriminator(images).shape == (8,)


@pytest.mark.parametrize("norm", [None, "batch", "layer", "instance", "spectral"])
def test_discriminator_norms(norm: str | None) -> None:
    torch.manual_seed(0)
    critic = dcgan((1, 16, 16), 10, size="tiny", norm=norm).discriminator
    images = torch.rand(6, 1, 16, 16, requires_grad=True)
    critic.train(norm == "batch")  # spectral norm updates its estimate in every training pass
    alone = torch.stack([critic(image[None])[0] for image in images])
    assert torch.allclose(critic(images), alone, atol=1e-5) is (norm != "batch")
    (slope,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    slope.square().sum().backward()  # a gradient penalty needs the second derivative
    assert all(p.grad is not None for name, p in critic.named_parameters() if name.endswith("0.weight"))


def test_spectral_norm_makes_the_largest_singular_value_one() -> None:
    torch.manual_seed(0)
    critic = dcgan((1, 16, 16), 10, size="tiny", norm="spectral").discriminator
    with torch.no_grad():
        for layer in (critic.layers[0], critic.layers[2], critic.output):
            layer.parametrizations.weight.original.mul_(50)
    for _ in range(50):
        critic(torch.rand(2, 1, 16, 16))  # each pass improves the estimate of the largest singular value
    for layer in (critic.layers[0], critic.layers[2], critic.output):
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.01)


def test_minibatch_std_detects_identical_images() -> None:
    torch.manual_seed(0)
    critic = dcgan((1, 16, 16), 10, size="tiny", norm=None, minibatch_std=True).discriminator
    images = torch.rand(8, 1, 16, 16)
    same = images[:1].expand(8, -1, -1, -1)
    maps = []
    critic.output.register_forward_hook(lambda module, args, made: maps.append(args[0].view(8, 33, 4, 4)))
    critic(images), critic(same)
    assert maps[0][:, -1].unique().numel() == 1
    assert maps[0][0, -1, 0, 0] > 10 * maps[1][0, -1, 0, 0]


def test_pack_classifies_images_together() -> None:
    critic = dcgan((1, 16, 16), 10, size="tiny", norm=None, pack=2).discriminator
    images = torch.rand(8, 1, 16, 16)
    logits = critic(images)
    assert logits.shape == (4,)
    torch.testing.assert_close(critic(images[2:4]), logits[1:2])
    filled_up = torch.cat([images[:7], images[:1]])
    torch.testing.assert_close(critic(images[:7]), critic(filled_up))
    assert critic(images[:1]).shape == (1,)
    with pytest.raises(ValueError, match="pack=2 and num_classes=10"):
        dcgan((1, 16, 16), 10, pack=2, conditional=True)


def test_conditional_gan_depends_on_labels() -> None:
    model = dcgan((1, 16, 16), 10, size="tiny", conditional=True).eval()
    z, first, second = torch.randn(4, 64), torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.long)
    images = model(z, first)
    assert not torch.allclose(images, model(z, second))
    assert not torch.allclose(model.discriminator(images, first), model.discriminator(images, second))
    with pytest.raises(ValueError, match=r"expects labels \(B,\)"):
        model(z)


@pytest.mark.parametrize("conditional", [False, True])
def test_untrained_discriminator_is_undecided(conditional: bool) -> None:
    torch.manual_seed(0)
    model = dcgan((1, 28, 28), 10, conditional=conditional)
    labels = torch.arange(64) % 10 if conditional else None
    assert model.discriminator(torch.rand(64, 1, 28, 28), labels).abs().mean() < 2


def test_dcgan_is_initialized_as_in_the_paper() -> None:
    torch.manual_seed(0)
    model = dcgan((1, 28, 28), 10, size="base")
    assert model.generator.layers[4].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert model.generator.layers[2].weight.mean().item() == pytest.approx(1, abs=0.01)
    with pytest.raises(ValueError, match=r"at least 4, received .*\(1, 3, 28\)"):
        dcgan((1, 3, 28), 10)


@pytest.mark.parametrize("options", [{}, {"backbone": "mlp"}, {"size": "tiny", "dropout": 0.3}], ids=str)
def test_embeddings_have_unit_length(options: dict[str, Any]) -> None:
    embedded = siamese((1, 28, 28), 10, **options)(torch.randn(8, 1, 28, 28))
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(8))


def test_siamese_chooses_its_backbone_by_the_input_shape() -> None:
    assert type(siamese((1, 28, 28), 10).backbone).__name__ == "CNN"
    assert type(siamese((13,), 10).backbone).__name__ == "MLP"
    with pytest.raises(ValueError, match=r"no backbone named 'cmn'\. Did you mean 'cnn'"):
        siamese((1, 28, 28), 10, backbone="cmn")


@pytest.mark.parametrize("individual", [False, True])
def test_nlinear_forecasts_relative_to_the_last_value(individual: bool) -> None:
    model = nlinear((24, 3), 18, individual=individual)
    x = torch.randn(5, 24, 3)
    moved = model(x + 100).view(5, 6, 3) - model(x).view(5, 6, 3)
    torch.testing.assert_close(moved, torch.full((5, 6, 3), 100.0), rtol=0, atol=1e-3)
    with torch.no_grad():
        model.linear.weight.zero_()
    assert torch.equal(model(x).view(5, 6, 3), x[:, -1:].expand(5, 6, 3))


FORECASTERS = [
    *((builder, {"individual": choice}) for builder in (nlinear, dlinear) for choice in (False, True)),
    *((builder, {"size": "tiny"}) for builder in (patch_transformer, patch_lstm)),
]


@pytest.mark.parametrize(
    ("builder", "options"), FORECASTERS, ids=lambda part: getattr(part, "__name__", str(part))
)
def test_channels_are_forecast_independently(
    builder: Callable[..., nn.Module], options: dict[str, Any]
) -> None:
    model = builder((24, 3), 18, **options).eval()
    x = torch.randn(2, 24, 3)
    other = x.clone()
    other[..., 1] += torch.randn(2, 24)
    change = (model(other) - model(x)).view(2, 6, 3).abs()
    assert change[..., 1].min() > 0
    assert change[..., [0, 2]].max() < 1e-5
    with pytest.raises(ValueError, match=r"H \* C outputs, received .* 17 outputs"):
        builder((24, 3), 17)


def test_moving_average_of_a_line_is_the_line() -> None:
    line = torch.arange(60.0).view(1, 60, 1)
    torch.testing.assert_close(moving_average(line, 25)[:, 12:-12], line[:, 12:-12])
    assert moving_average(line, 25)[0, 0, 0] == pytest.approx(sum(range(13)) / 25)


@pytest.mark.parametrize("builder", [patch_transformer, patch_lstm])
def test_patch_models_restore_the_scale_of_the_series(builder: Callable[..., nn.Module]) -> None:
    torch.manual_seed(0)
    model = builder((48, 2), 12).eval()
    x = torch.randn(3, 48, 2)
    scale, shift = torch.tensor([3.0, 0.1]), torch.tensor([-50.0, 7.0])
    moved = (model(x).view(3, 6, 2) * scale + shift).flatten(1)
    torch.testing.assert_close(model(x * scale + shift), moved, rtol=1e-3, atol=1e-3)
    constant = torch.full((1, 48, 2), 5.0)
    torch.testing.assert_close(model(constant), torch.full((1, 12), 5.0), rtol=0, atol=0.02)
