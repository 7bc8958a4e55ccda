"""Signals keep their scale through an initialized network."""

import math

import pytest
import torch
from torch import nn

from pellucid.nn import activation, gain, init_weights


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("linear", 1.0),  # LeCun et al. 1998
        ("relu", math.sqrt(2)),  # He et al. 2015
        ("leaky_relu", math.sqrt(2 / (1 + 0.01**2))),  # He et al. 2015, equation 15
        ("selu", 1.0),  # Klambauer et al. 2017: the fixed point of its own map
    ],
)
def test_gain_equals_the_published_value(name: str, known: float) -> None:
    assert gain(name) == pytest.approx(known, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "depth", "most"),
    [
        ("relu", 10, 4),
        ("selu", 10, 1.2),
        ("tanh", 10, 1.2),
        ("sigmoid", 10, 1.2),
        ("gelu", 3, 4),
        ("silu", 3, 6),
        ("mish", 3, 4),
    ],
)
def test_signals_neither_vanish_nor_explode(name: str, depth: int, most: float) -> None:
    torch.manual_seed(0)
    layers = [layer for _ in range(depth) for layer in (nn.Linear(512, 512), activation(name))]
    model = nn.Sequential(*layers)
    init_weights(model, name)
    variance = model[:-1](torch.randn(256, 512)).square().mean().item()
    assert 1 / most < variance < most


def test_output_layer_starts_small_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 64, 3), nn.Flatten(), nn.Linear(64, 10))
    init_weights(model, "relu", output=model[2])
    assert model[0].weight.std().item() == pytest.approx(math.sqrt(2 / 27), rel=0.1)
    assert model[2].weight.std().item() == pytest.approx(0.1 / 8, rel=0.2)
    assert not model[0].bias.any()
