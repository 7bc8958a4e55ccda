"""Objectives whose target is the input itself: autoencoders, denoisers and variational autoencoders."""

from __future__ import annotations

import math
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

NoiseKind = Literal["gaussian", "masking"]
Likelihood = Literal["bernoulli", "gaussian"]
_ERRORS = {"mse": F.mse_loss, "mae": F.l1_loss, "bce": F.binary_cross_entropy_with_logits}


def reconstruction(
    loss: Literal["mse", "mae", "bce"] = "mse", *, noise: float = 0.0, noise_kind: NoiseKind = "gaussian"
) -> Objective:
    r"""Give back the input x; with noise, give back x from a spoiled copy.

    The loss is the mean over all elements of $(\hat x - x)^2$, $|\hat x - x|$, or the cross-entropy of
    $\sigma(\hat x)$ with x (Hinton and Salakhutdinov 2006; with noise: Vincent et al. 2008, Extracting and
    Composing Robust Features with Denoising Autoencoders). What a model returns beside its reconstruction
    as `codebook_loss` is added (van den Oord et al. 2017, VQ-VAE, equation 3).

    Batches are (inputs, anything); models give inputs' shape back, as a tensor or as `.recon`. Measured are
    the loss and "mse", both from a copy spoiled by noise that is always the same.

    Args:
        loss: "mse", "mae", or "bce" for pixels in 0..1 and a model that gives logits.
        noise: how much; see `spoil`.
        noise_kind: "gaussian" or "masking"; see `spoil`.

    Raises:
        ConfigError: no such loss or kind of noise.
    """
    one_of("loss", loss, _ERRORS)
    one_of("noise_kind", noise_kind, get_args(NoiseKind))

    def run(model: nn.Module, inputs: Tensor, fixed: bool) -> tuple[Tensor, Tensor]:
        """Return (reconstruction, loss)."""
        output = model(spoil(inputs, noise, noise_kind, fixed=fixed) if noise else inputs)
        recon = getattr(output, "recon", output).float()
        value = _ERRORS[loss](recon, inputs.float())
        codebook = getattr(output, "codebook_loss", None)
        return recon, value if codebook is None else value + codebook.float()

    def train(model: nn.Module, batch: Any) -> Tensor:
        return run(model, batch[0], fixed=False)[1]

    def measure(model: nn.Module, batch: Any) -> Measures:
        inputs = batch[0]
        recon, value = run(model, inputs, fixed=True)
        shown = recon.sigmoid() if loss == "bce" else recon
        count = len(inputs)
        return {"loss": (value * count, count), "mse": (F.mse_loss(shown, inputs.float()) * count, count)}

    probs = torch.sigmoid if loss == "bce" else (lambda output: output)
    return Objective("reconstruction", (Phase("train", train),), measure, probs)


def spoil(inputs: Tensor, noise: float, kind: NoiseKind = "gaussian", *, fixed: bool = False) -> Tensor:
    """Return a copy with noise. Values are not clamped, so pixels may leave 0..1.

    Args:
        inputs: of any shape.
        noise: "gaussian": standard deviation, in the units of the inputs. "masking": share of the elements
            that become 0, 0..1.
        kind: which of the two.
        fixed: always the same noise, for measuring and showing; otherwise from torch's own generator.
    """
    shape, device = inputs.shape, inputs.device
    if kind == "gaussian":
        drawn = fixed_normal(*shape, device=device) if fixed else torch.randn(shape, device=device)
        return inputs + noise * drawn
    drawn = fixed_uniform(*shape, device=device) if fixed else torch.rand(shape, device=device)
    return inputs.masked_fill(drawn < noise, 0)


def elbo(
    beta: float = 1.0,
    *,
    likelihood: Likelihood = "bernoulli",
    binarize: bool = True,
    free_bits: float = 0.0,
) -> Objective:
    r"""Maximize the evidence lower bound of a variational autoencoder.

    The loss is the mean over images of $-\ln p(x \mid z) + \beta\, KL(q(z \mid x) \,\|\, N(0, 1))$ in nats,
    z drawn once (Kingma and Welling 2014, equations 7 and 10; beta: Higgins et al. 2017). Its measure, with
    beta 1 and no free bits, bounds the negative log-likelihood from above, so that runs compare whatever
    they were trained with.

    Batches are (images in 0..1, anything). Models are those of `interfaces.Variational`; what they return has
    `recon` (logits, or means for "gaussian"), `mu` and `logvar`. Measured are "loss", and its parts "recon"
    and "kl", with pixels and z drawn by noise that is always the same.

    Args:
        beta: weight of the KL term.
        likelihood: of a pixel: "bernoulli", or "gaussian" with variance 1.
        binarize: draw x anew from Bernoulli(pixel) every time (Salakhutdinov and Murray 2008): without it
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
