"""Weight initialization: the scale at which signals neither vanish nor explode with depth.

A layer with weights of standard deviation `gain / sqrt(fan_in)` preserves the variance of its input if
`gain` makes up for what the activation removes: gain(f) = 1 / sqrt(E[f(z)^2]) with z ~ N(0, 1).
For ReLU it is sqrt(2), the initialization of He et al. (2015); for a linear layer 1, that of LeCun
et al. (1998), which Glorot and Bengio (2010) average with the backward direction; for SELU 1, by design.
This holds at any depth for these and for the bounded activations. With GELU, SiLU and Mish, a deviation from
variance 1 grows by a factor of up to gain^2 / 2 per layer: deep networks of these need normalization.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import nn

from pellucid.nn.activations import ACTIVATIONS
from pellucid.nn.names import lookup

OUTPUT_GAIN = 0.1
"""Gain of output layers. Logits start close to 0: an untrained classifier of K classes has the loss ln K."""


@cache
def gain(name: str) -> float:
    """Return 1 / sqrt(E[f(z)^2]), z ~ N(0, 1), by the trapezoid rule; 1 if f is not pointwise.

    Args:
        name: one of `ACTIVATIONS`.
    """
    entry = lookup("activation", name, ACTIVATIONS)
    if not entry.pointwise:
        return 1.0
    z = torch.linspace(-10, 10, 20_001, dtype=torch.float64, device="cpu")
    density = torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return 1 / math.sqrt(torch.trapezoid(entry.function(z) ** 2 * density, z).item())


@torch.no_grad()
def init_weights(model: nn.Module, activation: str, output: nn.Linear | None = None) -> None:
    """Draw the weights of every linear and convolution layer from N(0, gain^2 / fan_in); biases are 0.

    Args:
        model: the model, changed in place.
        activation: the activation after its layers, one of `ACTIVATIONS`.
        output: the output layer, whose gain is `OUTPUT_GAIN` instead.
    """
    for layer in model.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            _draw(layer, OUTPUT_GAIN if layer is output else gain(activation))


@torch.no_grad()
def init_output(layer: nn.Linear | nn.Conv2d) -> None:
    """Draw the weights of an output layer from N(0, OUTPUT_GAIN^2 / fan_in); biases are 0."""
    _draw(layer, OUTPUT_GAIN)


def _draw(layer: nn.Linear | nn.Conv2d, scale: float) -> None:
    nn.init.normal_(layer.weight, std=scale / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
