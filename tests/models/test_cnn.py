"""Convolutional networks work on images of any size from 8 x 8."""

import pytest
import torch

from pellucid.models import CNN, cnn

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 224, 224), (4, 40, 72)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("size", ["tiny", "small", "base"])
def test_any_image_size_works(size: str, shape: tuple[int, int, int]) -> None:
    assert cnn(shape, 7, size=size).eval()(torch.zeros(1, *shape)).shape == (1, 7)


@pytest.mark.parametrize("size", ["tiny", "small", "base"])
def test_images_of_other_sizes_work(size: str) -> None:
    model = CNN(size=size, image_size=28).eval()
    assert model(torch.zeros(1, 1, 50, 33)).shape == (1, 10)


def test_a_large_first_stride_uses_every_pixel() -> None:
    model = cnn((1, 224, 224), 2).eval()
    x = torch.randn(1, 1, 224, 224, requires_grad=True)
    model(x).square().sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).float().mean() > 0.9


def test_fast_layout_and_precision_agree_with_the_plain_model() -> None:
    torch.manual_seed(0)
    model, x = CNN().eval(), torch.randn(16, 1, 28, 28)
    plain = model(x)
    fast = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(
        fast(x.contiguous(memory_format=torch.channels_last)), plain, rtol=1e-3, atol=1e-4
    )
    with torch.autocast("cpu", torch.bfloat16):
        half = fast(x)
    assert half.dtype == torch.bfloat16
    assert (half.float() - plain).abs().max() < 0.05 * plain.abs().max() + 0.02


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: CNN(image_size=7), "at least 8.*received.* 7"),
        (lambda: CNN(size="huge"), "no cnn size named 'huge'"),
        (lambda: cnn((784,), 10), r"\(C, H, W\)"),
        (lambda: CNN()(torch.zeros(2, 28, 28)), r"\(B, 1, H, W\)"),
        (lambda: CNN()(torch.zeros(2, 3, 28, 28)), r"received \(2, 3, 28, 28\)"),
        (lambda: CNN()(torch.zeros(2, 1, 4, 28)), "at least"),
    ],
)
def test_invalid_options_are_refused(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
