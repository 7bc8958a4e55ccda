"""The objective of generative adversarial networks: a generator against a discriminator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import ConfigError
from pellucid.tasks.shared.model_interfaces import GANModel, gan_model
from pellucid.train.objective import Measures, Objective, Phase, fixed_normal, one_of

GANLoss = Literal["bce", "hinge", "wgan-gp"]


@dataclass(frozen=True)
class Options:
    """Options of the task; see `adversarial`.

    Attributes:
        evaluator: a finished run, by id or name, whose classifier evaluates generated images.
    """

    loss: GANLoss = "bce"
    label_smoothing: float = 0.0
    instance_noise: float = 0.0
    critic_steps: int = 1
    gp_weight: float = 10.0
    r1: float = 0.0
    evaluator: str | None = None


def adversarial(
    loss: GANLoss = Options.loss,
    *,
    label_smoothing: float = Options.label_smoothing,
    instance_noise: float = Options.instance_noise,
    critic_steps: int = Options.critic_steps,
    gp_weight: float = Options.gp_weight,
    r1: float = Options.r1,
) -> Objective:
    r"""Train a generator G and a discriminator D in turn.

    With real images x, made ones G(z), and the logistic function $\sigma$, the discriminator minimizes the
    mean over the batch of

    - bce: $-\ln \sigma(D(x)) - \ln(1 - \sigma(D(G(z))))$ (Goodfellow et al. 2014),
    - hinge: $\max(0, 1 - D(x)) + \max(0, 1 + D(G(z)))$ (Lim and Ye 2017),
    - wgan-gp: $D(G(z)) - D(x) + w\,(\lVert\nabla D(\tilde x)\rVert - 1)^2$ (Gulrajani et al. 2017),

    and the generator that of $-\ln \sigma(D(G(z)))$ for bce, or $-D(G(z))$ for the others;
    $\tilde x$ lies at random between x and G(z). Both learn from the same made images, unless the
    discriminator learns several times.

    Batches are (images, labels). Models are those of `GANModel`, whose discriminator gives one
    logit for each image or for each pack of several (Lin et al. 2018, PacGAN). Measured on noise that is
    always the same are "loss", the discriminator's; "d_real" and "d_fake", its mean output on real and made
    images: a probability for "bce", D itself for the others. None of these says how good the images are.

    Args:
        loss: "bce", "hinge" or "wgan-gp".
        label_smoothing: real images have the target 1 - this, and made ones 0 (Salimans et al. 2016);
            only for "bce".
        instance_noise: standard deviation of noise on the inputs of the discriminator (Sønderby et al. 2017).
        critic_steps: updates of the discriminator for each of the generator, >= 1.
        gp_weight: w above; only for "wgan-gp".
        r1: weight of $\frac{1}{2} \lVert\nabla D(x)\rVert^2$ on real images (Mescheder et al. 2018).

    Raises:
        ConfigError: an option is out of range.
    """
    one_of("loss", loss, get_args(GANLoss))
    if critic_steps < 1:
        raise ConfigError(f"objective.options.critic_steps: expected at least 1, received {critic_steps}.")

    def made_once(model: nn.Module, batch: Any) -> Any:
        (images, labels), players = batch, gan_model(model)
        return images, labels, _make(players, _noise(players, images), labels)

    def discriminator_loss(model: nn.Module, batch: Any) -> Tensor:
        players = gan_model(model)
        with torch.no_grad():
            images, labels, made = batch if len(batch) == 3 else made_once(model, batch)
            made = made.detach()
        seen_real, seen_made = _noisy(images, instance_noise), _noisy(made, instance_noise)
        if r1:
            seen_real = seen_real.detach().requires_grad_(True)
        real = _discriminate(players, seen_real, labels)
        value = _discriminator_loss(loss, real, _discriminate(players, seen_made, labels), label_smoothing)
        if r1:
            value = value + 0.5 * r1 * _slopes(real, seen_real).square().mean()
        if loss == "wgan-gp":
            value = value + gp_weight * _gradient_penalty(players, seen_real, seen_made, labels)
        return value

    def generator_loss(model: nn.Module, batch: Any) -> Tensor:
        players = gan_model(model)
        _, labels, made = batch if len(batch) == 3 else made_once(model, batch)
        output = _discriminate(players, _noisy(made, instance_noise), labels)
        return F.softplus(-output).mean() if loss == "bce" else -output.mean()

    def measure(model: nn.Module, batch: Any) -> Measures:
        (images, labels), players = batch, gan_model(model)
        z = fixed_normal(len(images), players.latent_dim, device=images.device)
        real = _discriminate(players, images, labels)
        made = _discriminate(players, _make(players, z, labels), labels)
        shown: Callable[[Tensor], Tensor] = torch.sigmoid if loss == "bce" else (lambda output: output)
        count = len(real)
        return {
            "loss": (_discriminator_loss(loss, real, made, 0.0) * count, count),
            "d_real": (shown(real).sum(), count),
            "d_fake": (shown(made).sum(), count),
        }

    phases = (
        Phase("discriminator", discriminator_loss, _parameters_of("discriminator"), repeat=critic_steps),
        Phase("generator", generator_loss, _parameters_of("generator")),
    )
    return Objective("adversarial", phases, measure, prepare_batch=made_once if critic_steps == 1 else None)


def _parameters_of(part: str) -> Callable[[nn.Module], Any]:
    return lambda model: getattr(model, part).parameters()


def _noise(players: GANModel, images: Tensor) -> Tensor:
    return torch.randn(len(images), players.latent_dim, device=images.device)


def _noisy(images: Tensor, std: float) -> Tensor:
    return images + std * torch.randn_like(images) if std else images


def _make(players: GANModel, z: Tensor, labels: Tensor) -> Tensor:
    return players.generator(z, labels) if players.conditional else players.generator(z)


def _discriminate(players: GANModel, images: Tensor, labels: Tensor) -> Tensor:
    """Outputs of the discriminator in float32, one for each image or pack."""
    discriminator = players.discriminator
    return (discriminator(images, labels) if players.conditional else discriminator(images)).float()


def _discriminator_loss(loss: str, real: Tensor, made: Tensor, label_smoothing: float) -> Tensor:
    if loss == "bce":
        wanted = torch.full_like(real, 1 - label_smoothing)
        return F.binary_cross_entropy_with_logits(real, wanted) + F.softplus(made).mean()
    if loss == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + made).mean()
    return made.mean() - real.mean()


def _gradient_penalty(players: GANModel, real: Tensor, made: Tensor, labels: Tensor) -> Tensor:
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    between = torch.lerp(real, made.to(real.dtype), share).detach().requires_grad_(True)
    return (_slopes(_discriminate(players, between, labels), between) - 1).square().mean()


def _slopes(output: Tensor, images: Tensor) -> Tensor:
    """Return the norm of the gradient of each output by its inputs, an image or a pack: (outputs,)."""
    (gradient,) = torch.autograd.grad(output.sum(), images, create_graph=True)
    rows = gradient.float().flatten(1)
    missing = -len(rows) % len(output)  # of the last pack
    return F.pad(rows, (0, 0, 0, missing)).reshape(len(output), -1).norm(dim=1)
