"""The objective of variational autoencoders: the evidence lower bound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.tasks.shared.model_interfaces import variational
from pellucid.train.objective import (
    Measures,
    Objective,
    Phase,
    fixed_normal,
    fixed_uniform,
    one_of,
)

Likelihood = Literal["bernoulli", "gaussian"]


@dataclass(frozen=True)
class Options:
    """Options of the task; see `elbo`."""

    beta: float = 1.0
    likelihood: Likelihood = "bernoulli"
    binarize: bool = True
    free_bits: float = 0.0


def elbo(
    beta: float = Options.beta,
    *,
    likelihood: Likelihood = Options.likelihood,
    binarize: bool = Options.binarize,
    free_bits: float = Options.free_bits,
) -> Objective:
    r"""Maximize the evidence lower bound of a variational autoencoder.

    The loss is the mean over images of $-\ln p(x \mid z) + \beta\, KL(q(z \mid x) \,\|\, N(0, 1))$ in nats,
    z drawn once (Kingma and Welling 2014, equations 7 and 10; beta: Higgins et al. 2017). Its measure, with
    beta 1 and no free bits, bounds the negative log-likelihood from above, so that runs compare whatever
    they were trained with.

    Batches are (images in 0..1, anything). Models are those of `Variational`; what they return has
    `recon` (logits, or means for "gaussian"), `mu` and `logvar`. Measured are "loss", and its parts "recon"
    and "kl", with pixels and z drawn by noise that is always the same.

    Args:
        beta: weight of the KL term.
        likelihood: of a pixel: "bernoulli", or "gaussian" with variance 1.
        binarize: sample x from Bernoulli(pixel) every time (Salakhutdinov and Murray 2008): without it
            the Bernoulli likelihood of grey pixels is not normalized. Only for "bernoulli".
        free_bits: nats of KL of each latent number, mean over the batch, below which it costs no less
            (Kingma et al. 2016, appendix C.8).

    Raises:
        ConfigError: no such likelihood.
    """
    one_of("likelihood", likelihood, get_args(Likelihood))
    binary = binarize and likelihood == "bernoulli"

    def train(model: nn.Module, batch: Any) -> Tensor:
        # Interpolation while augmenting may leave 0..1 by a rounding error.
        images = torch.bernoulli(batch[0].clamp(0, 1)) if binary else batch[0]
        output = model(images)
        recon = _negative_log_likelihood(output.recon, images, likelihood)
        kl = _kl(output.mu, output.logvar).mean(0)  # (latent_dim,)
        return recon / len(images) + beta * (kl.clamp(min=free_bits) if free_bits else kl).sum()

    def measure(model: nn.Module, batch: Any) -> Measures:
        pixels, coder = batch[0], variational(model)
        count, device = len(pixels), pixels.device
        images = (fixed_uniform(*pixels.shape, device=device) < pixels).float() if binary else pixels
        mu, logvar = coder.encode(images)
        z = mu + fixed_normal(*mu.shape, device=device) * (0.5 * logvar).exp()
        recon = _negative_log_likelihood(coder.decode(z), images, likelihood)
        kl = _kl(mu, logvar).sum()
        return {"loss": (recon + kl, count), "recon": (recon, count), "kl": (kl, count)}

    probs = torch.sigmoid if likelihood == "bernoulli" else (lambda output: output)
    return Objective("elbo", (Phase("train", train),), measure, probs)


def _negative_log_likelihood(recon: Tensor, images: Tensor, likelihood: str) -> Tensor:
    """In nats, summed over the batch."""
    recon, images = recon.float(), images.float()
    if likelihood == "bernoulli":
        return F.binary_cross_entropy_with_logits(recon, images, reduction="sum")
    return 0.5 * F.mse_loss(recon, images, reduction="sum") + 0.5 * math.log(2 * math.pi) * images.numel()


def _kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)) of every latent number, (B, latent_dim), in nats."""
    mu, logvar = mu.float(), logvar.float()
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar)
