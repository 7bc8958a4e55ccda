"""The reconstruction objective: autoencoders and denoisers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.train.objective import (
    Measures,
    Objective,
    Phase,
    fixed_normal,
    fixed_uniform,
    one_of,
)

LossName = Literal["mse", "mae", "bce"]
NoiseKind = Literal["gaussian", "masking"]
_ERRORS = {"mse": F.mse_loss, "mae": F.l1_loss, "bce": F.binary_cross_entropy_with_logits}


@dataclass(frozen=True)
class Options:
    """Options of the task; see `reconstruction`."""

    loss: LossName = "mse"
    noise: float = 0.0
    noise_kind: NoiseKind = "gaussian"


def reconstruction(
    loss: LossName = Options.loss,
    *,
    noise: float = Options.noise,
    noise_kind: NoiseKind = Options.noise_kind,
) -> Objective:
    r"""Reconstruct the input x; with noise, reconstruct x from a noisy copy.

    The loss is the mean over all elements of $(\hat x - x)^2$, $|\hat x - x|$, or the cross-entropy of
    $\sigma(\hat x)$ with x (Hinton and Salakhutdinov 2006; with noise: Vincent et al. 2008, Extracting and
    Composing Robust Features with Denoising Autoencoders). A `codebook_loss` that a model returns with its
    reconstruction is added (van den Oord et al. 2017, VQ-VAE, equation 3).

    Batches are (inputs, anything); models return the same shape, as a tensor or as `.recon`. Measured
    are the loss and "mse", both with noise that is always the same.

    Args:
        loss: "mse", "mae", or "bce" for pixels in 0..1 and a model that returns logits.
        noise: strength; see `add_noise`.
        noise_kind: "gaussian" or "masking"; see `add_noise`.

    Raises:
        ConfigError: no such loss or kind of noise.
    """
    one_of("loss", loss, _ERRORS)
    one_of("noise_kind", noise_kind, get_args(NoiseKind))

    def run(model: nn.Module, inputs: Tensor, fixed: bool) -> tuple[Tensor, Tensor]:
        """Return (reconstruction, loss)."""
        output = model(add_noise(inputs, noise, noise_kind, fixed=fixed) if noise else inputs)
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


def add_noise(inputs: Tensor, noise: float, kind: NoiseKind = "gaussian", *, fixed: bool = False) -> Tensor:
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
