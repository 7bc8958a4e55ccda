"""Convolution blocks: shapes, order of layers, residual sum."""

import pytest
import torch
from torch import nn

from pellucid.nn import ConvBlock, ResidualBlock, norm


@pytest.mark.parametrize(("stride", "side"), [(1, 9), (2, 5), (3, 3)])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_conv_block_rounds_the_side_up(kernel_size: int, stride: int, side: int) -> None:
    block = ConvBlock(3, 8, kernel_size=kernel_size, stride=stride)
    assert block(torch.zeros(2, 3, 9, 9)).shape == (2, 8, side, side)


def test_conv_block_applies_conv_pool_norm_activation() -> None:
    block = ConvBlock(2, 4, norm="batch", activation="tanh")
    x = torch.randn(3, 2, 8, 8)
    expected = torch.tanh(nn.functional.batch_norm(block.conv(x), None, None, training=True))
    torch.testing.assert_close(block(x), expected)


def test_convolution_has_a_bias_only_without_a_norm() -> None:
    assert ConvBlock(1, 2, norm=None).conv.bias is not None
    assert ConvBlock(1, 2, norm="batch").conv.bias is None


def test_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="odd kernel_size, received 4"):
        ConvBlock(1, 2, kernel_size=4)


def test_residual_block_adds_to_its_input() -> None:
    block = ResidualBlock(4, norm=None)
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(block(x) - x, block.second(block.first(x)))
    nn.init.zeros_(block.second.conv.weight)
    nn.init.zeros_(block.second.conv.bias)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("maps", [False, True])
def test_layer_norm_normalizes_each_example(maps: bool) -> None:
    x = 5 + 3 * torch.randn(4, 6, *((7, 7) if maps else ()))
    y = norm("layer", 6, maps=maps)(x).flatten(1)
    torch.testing.assert_close(y.mean(dim=1), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(dim=1, correction=0), torch.ones(4), atol=1e-3, rtol=0)


def test_no_norm_is_the_identity_and_an_unknown_norm_is_refused() -> None:
    x = torch.randn(2, 3)
    assert norm(None, 3)(x) is x
    with pytest.raises(ValueError, match="Did you mean 'batch'"):
        norm("batchnorm", 3)
