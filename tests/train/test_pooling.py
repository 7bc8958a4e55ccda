"""Max-pooling in compiled programs equals torch's."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from pellucid.train import pooling
from pellucid.train.pooling import FusedPooling

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def pooled(images: torch.Tensor, *args: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the result, and its gradient with respect to the images, of which no two are weighted alike."""
    images = images.clone(memory_format=torch.preserve_format).requires_grad_()
    result = F.max_pool2d(images, *args, **options)
    weights = torch.arange(result.numel(), dtype=torch.float32).view(result.shape)
    (result.nan_to_num() * weights).sum().backward()
    assert images.grad is not None
    return result.detach(), images.grad


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize(
    ("shape", "window"),
    [((2, 3, 8, 8), 2), ((2, 3, 9, 7), 2), ((1, 4, 9, 9), 3), ((2, 1, 6, 6), (2, 3)), ((1, 2, 5, 4), (1, 2))],
)
def test_values_and_gradients_are_those_of_torch(layout: Any, shape: Any, window: Any) -> None:
    torch.manual_seed(0)
    for images in (torch.randn(shape), torch.randn(shape).relu(), torch.full(shape, 3.0)):  # the last two tie
        images = images.contiguous(memory_format=layout)
        expected = pooled(images, window)
        with FusedPooling():
            found = pooled(images, window)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])
        assert found[1].is_contiguous(memory_format=layout)


def test_not_a_number_reaches_the_result() -> None:
    images = torch.zeros(1, 1, 4, 4)
    images[0, 0, 0, 1] = math.nan
    with FusedPooling():
        assert F.max_pool2d(images, 2).isnan().tolist() == [[[[True, False], [False, False]]]]


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 1, 6, 6), {"kernel_size": 3, "stride": 2}),
        ((1, 1, 6, 6), {"kernel_size": 2, "padding": 1}),
        ((1, 1, 7, 7), {"kernel_size": 2, "ceil_mode": True}),
        ((1, 1, 6, 6), {"kernel_size": 2, "stride": 2, "dilation": 2}),
        ((1, 6, 6), {"kernel_size": 2}),
        ((1, 1, 8, 8), {"kernel_size": 4}),
    ],
)
def test_other_windows_are_left_to_torch(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    monkeypatch.setattr(pooling, "_MaxPool", None)
    images = torch.randn(shape)
    expected = F.max_pool2d(images, **options)
    with FusedPooling():
        assert torch.equal(F.max_pool2d(images, **options), expected)
        values, places = F.max_pool2d(images, 2, return_indices=True)
    assert torch.equal(images.flatten(-2).gather(-1, places.flatten(-2)), values.flatten(-2))
