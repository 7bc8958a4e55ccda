"""Baselines of autoencoders, each checked against its published definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from pellucid.tasks.reconstruction.denoising import (
    _divergence,
    _gradient,
    best_total_variation,
    measured,
    psnr,
    scores,
    total_variation,
)
from pellucid.tasks.shared import pca


@pytest.fixture(scope="module")
def digits() -> Tensor:
    """scikit-learn's digits, (1797, 1, 8, 8)."""
    return torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 16


def spoiled(clean: Tensor, noise: float) -> Tensor:
    return clean + noise * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))


def test_divergence_is_minus_the_transpose_of_the_gradient() -> None:
    u, p = torch.randn(3, 2, 5, 7), torch.randn(2, 3, 2, 5, 7)
    torch.testing.assert_close((_gradient(u) * p).sum(), -(u * _divergence(p)).sum())


def test_total_variation_finds_the_minimum(digits: Tensor) -> None:
    noisy, weight = spoiled(digits[:4], 0.3), 0.2
    found = total_variation(noisy, weight, steps=2000)

    def energy(u: Tensor) -> float:
        return (0.5 * (u - noisy).square().sum() + weight * _gradient(u).norm(dim=0).sum()).item()

    for size in (1e-1, 1e-2, 1e-3):
        for seed in range(20):
            change = torch.randn(found.shape, generator=torch.Generator().manual_seed(seed))
            assert energy(found) <= energy(found + size * change)
    assert energy(found) < min(energy(noisy), energy(digits[:4]))


def test_total_variation_keeps_the_mean_and_flattens_with_a_large_weight(digits: Tensor) -> None:
    flat = total_variation(digits[:2], 100.0, steps=3000)
    means = digits[:2].mean((2, 3), keepdim=True).expand_as(flat)
    torch.testing.assert_close(flat, means, rtol=0, atol=0.02)


def test_total_variation_with_a_chosen_weight_removes_noise(digits: Tensor) -> None:
    restore = best_total_variation(digits[:100], spoiled(digits[:100], 0.3), 0.3)
    clean, noisy = digits[100:300], spoiled(digits[100:300], 0.3)
    before, after = scores(clean, noisy), scores(clean, restore(noisy))
    assert after["mse"] < 0.6 * before["mse"]
    assert after["psnr"] > before["psnr"] + 2


def test_pca_is_exact_with_enough_components() -> None:
    generator = torch.Generator().manual_seed(0)
    images = (torch.randn(50, 3, generator=generator) @ torch.randn(3, 64, generator=generator)).view(
        50, 1, 8, 8
    )
    torch.testing.assert_close(pca.fit(images, 3)(images), images, rtol=1e-4, atol=1e-4)
    assert (pca.fit(images, 2)(images) - images).abs().max() > 0.1
    assert pca.fit(images[:4], 32)(images).shape == images.shape  # fewer images than numbers


def test_more_components_reduce_the_error(digits: Tensor) -> None:
    held_out = {"test": (digits[1000:], digits[1000:])}
    methods = {str(count): pca.fit(digits[:1000], count) for count in (2, 8, 32)}
    found = [measured(methods, held_out)[str(count)]["test/mse"] for count in (2, 8, 32)]
    assert found[0] > 1.5 * found[1] > 2 * found[2]


def test_psnr_equals_its_formula() -> None:
    assert psnr(torch.tensor([0.01, 1.0, 0.0])).tolist() == pytest.approx([20, 0, 100])
    assert scores(torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 0.1))["psnr"] == pytest.approx(
        20, abs=1e-3
    )
    assert np.isclose(scores(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))["mse"], 1)
