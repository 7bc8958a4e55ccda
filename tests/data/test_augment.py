"""Augmentations on real digits: exact where they can be, in range where they are random."""

from __future__ import annotations

import pytest
import torch
from scipy import ndimage
from sklearn.datasets import load_digits
from torch import Tensor

from pellucid.config import Augment
from pellucid.data.augment import Augmenter, affine, crop, cutmix, erase, flip, mixup
from pellucid.errors import ConfigError, ModelError

EVERYTHING = Augment(shift=0.1, rotate=15, scale=0.1, flip=True, crop=2, erase=0.5, mixup=0.4, cutmix=1.0)


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Digits (64, 1, 16, 16) with a background of -1, as after normalization."""
    digits = torch.tensor(load_digits().images[:64]).float() / 8 - 1
    return torch.nn.functional.pad(digits, [4] * 4, value=-1.0)[:, None]


@pytest.fixture(scope="module")
def classes() -> Tensor:
    return torch.tensor(load_digits().target[:64])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_augmentation_depends_only_on_its_generator(images: Tensor, classes: Tensor) -> None:
    augmenter, before = Augmenter(EVERYTHING, 10), torch.get_rng_state()
    first, second, other = (augmenter(images, classes, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_continued_generator_gives_other_batches(images: Tensor, classes: Tensor) -> None:
    augmenter, generator = Augmenter(EVERYTHING, 10), seeded()
    assert not torch.equal(augmenter(images, classes, generator)[0], augmenter(images, classes, generator)[0])


def test_without_options_nothing_changes(images: Tensor, classes: Tensor) -> None:
    augmenter = Augmenter(Augment())
    inputs, targets = augmenter(images, classes, seeded())
    assert inputs is images
    assert targets is classes
    assert not augmenter
    assert Augmenter(EVERYTHING, 10)


def test_inputs_are_not_changed_in_place_and_no_gradient_is_kept(images: Tensor, classes: Tensor) -> None:
    before, inputs = images.clone(), images.clone().requires_grad_()
    augmented, _ = Augmenter(EVERYTHING, 10)(inputs, classes, seeded())
    assert torch.equal(inputs, before)
    assert not augmented.requires_grad


def test_zero_movement_is_the_identity(images: Tensor) -> None:
    torch.testing.assert_close(affine(images, seeded(), 0, 0, 0), images, atol=1e-4, rtol=0)


def test_shift_moves_at_most_its_share_and_keeps_the_digit(images: Tensor) -> None:
    moved = affine(images, seeded(), 0.125, 0, 0)  # 2 of 16 pixels; the digits have 4 around them
    torch.testing.assert_close(
        (moved + 1).sum(dim=(1, 2, 3)), (images + 1).sum(dim=(1, 2, 3)), rtol=1e-3, atol=0.1
    )
    offsets = centers(moved) - centers(images)
    assert offsets.abs().max() <= 2.01
    assert offsets.min() < -1.5
    assert offsets.max() > 1.5


def centers(images: Tensor) -> Tensor:
    """Centers of mass above the background, in pixels: (B, 2)."""
    mass = (images + 1)[:, 0]
    positions = torch.arange(images.shape[-1]).float()
    across = (mass.sum(dim=1) * positions).sum(dim=1) / mass.sum(dim=(1, 2))
    down = (mass.sum(dim=2) * positions).sum(dim=1) / mass.sum(dim=(1, 2))
    return torch.stack([across, down], dim=1)


def test_rotation_equals_scipy(monkeypatch: pytest.MonkeyPatch, images: Tensor) -> None:
    monkeypatch.setattr("pellucid.data.augment._uniform", lambda *args, **kwargs: torch.ones(4, 64, 1, 1))
    turned = affine(images, seeded(), 0, 30, 0)[0, 0]
    expected = ndimage.rotate(images[0, 0].numpy(), -30, reshape=False, order=1, cval=-1.0)
    opposite = ndimage.rotate(images[0, 0].numpy(), 30, reshape=False, order=1, cval=-1.0)
    differences = [(turned - torch.from_numpy(other)).abs().mean() for other in (expected, opposite)]
    assert min(differences) < 0.01


def test_rotation_does_not_shear_an_oblong_image() -> None:
    image = torch.zeros(32, 1, 20, 60)
    image[:, :, 8:12, 28:32] = 1  # a square of 4 x 4 in the middle
    turned = affine(image, seeded(), 0, 180, 0)
    assert turned.sum(dim=(1, 2, 3)) == pytest.approx(torch.full((32,), 16.0), rel=0.05)


def test_zoom_stays_in_its_range(images: Tensor) -> None:
    zoomed = affine(images, seeded(), 0, 0, 0.2)
    ratio = ((zoomed + 1).sum(dim=(1, 2, 3)) / (images + 1).sum(dim=(1, 2, 3))).sqrt()
    assert ratio.min() > 0.78
    assert ratio.min() < 0.85
    assert ratio.max() < 1.22
    assert ratio.max() > 1.15


@pytest.mark.parametrize("change", ["shift", "rotate", "scale", "crop"])
def test_pixels_from_outside_are_background(change: str, images: Tensor, classes: Tensor) -> None:
    value = {"shift": 0.4, "rotate": 90, "scale": 0.5, "crop": 6}[change]
    augmented, _ = Augmenter(Augment(**{change: value}))(images, classes, seeded())
    assert augmented.min().item() == pytest.approx(-1, abs=1e-5)
    assert augmented.max() <= images.max() + 1e-5


def test_flip_mirrors_half_of_the_images_exactly(images: Tensor) -> None:
    flipped = flip(images, seeded())
    same = (flipped == images).flatten(1).all(dim=1)
    mirrored = (flipped == images.flip(-1)).flatten(1).all(dim=1)
    assert (same | mirrored).all()
    assert 16 <= (mirrored & ~same).sum() <= 48


def test_crop_cuts_a_window_of_the_padded_image(images: Tensor) -> None:
    cut = crop(images, seeded(), 2)
    padded = torch.nn.functional.pad(images, [2] * 4, value=-1.0)
    windows = [padded[:, :, y : y + 16, x : x + 16] for y in range(5) for x in range(5)]
    hits = torch.stack([torch.isclose(cut, window).flatten(1).all(dim=1) for window in windows])
    assert hits.any(dim=0).all()
    assert hits.any(dim=1).sum() > 12  # many of the 25 positions are drawn


def test_erase_blanks_a_rectangle_in_a_share_of_the_images() -> None:
    noise = torch.randn(400, 3, 20, 20, generator=seeded(1))
    changed = (erase(noise, seeded(), 0.5) != noise).all(dim=1)  # (B, H, W)
    erased = changed.flatten(1).any(dim=1)
    assert 160 < erased.sum() < 240
    for mask in changed[erased][:50]:
        rows, columns = mask.any(dim=1), mask.any(dim=0)
        assert torch.equal(mask, rows[:, None] & columns[None, :])
    assert changed[erased].float().mean(dim=(1, 2)).min() > 0.005
    assert changed[erased].float().mean(dim=(1, 2)).max() < 0.4


@pytest.mark.parametrize("config", [Augment(mixup=0.4), Augment(cutmix=1.0), Augment(mixup=0.4, cutmix=1.0)])
def test_mixed_targets_are_probabilities(config: Augment, images: Tensor, classes: Tensor) -> None:
    for seed in range(5):
        _, targets = Augmenter(config, 10)(images, classes, seeded(seed))
        assert targets.shape == (64, 10)
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(64))
        assert targets.min() >= 0
        assert (targets.gather(1, classes[:, None]) > 0).float().mean() > 0.8
        assert ((targets > 0.01).sum(dim=1) == 2).sum() > 10


def test_mixup_mixes_inputs_as_it_mixes_targets() -> None:
    inputs = torch.arange(32.0)[:, None] * torch.ones(32, 5)  # an input that says which row it is
    mixed, targets = mixup(inputs, torch.eye(32), seeded(), 1.0)
    torch.testing.assert_close(mixed[:, 0], targets @ torch.arange(32.0), rtol=1e-4, atol=1e-4)


def test_cutmix_mixes_targets_by_area() -> None:
    images = torch.arange(32.0)[:, None, None, None] * torch.ones(32, 1, 12, 12)
    mixed, targets = cutmix(images, torch.eye(32), seeded(), 1.0)
    for row in range(32):
        own = (mixed[row] == row).float().mean()
        assert targets[row, row].item() == pytest.approx(own.item(), abs=1e-6)
    _, even = cutmix(images, torch.eye(32), seeded(), 1000.0)  # half of the area, less what the border cuts
    assert even.diagonal().min() > 0.4
    assert even.diagonal().median() < 0.75


def test_small_beta_mixes_little_and_number_targets_are_mixed_as_they_are() -> None:
    inputs, numbers = torch.randn(64, 3, generator=seeded(1)), torch.arange(64.0)
    _, targets = Augmenter(Augment(mixup=1e-3))(inputs, numbers, seeded())
    assert targets.shape == (64,)
    assert targets.isfinite().all()
    assert (targets == targets.round()).float().mean() > 0.9  # one of the two, unmixed


def test_bfloat16_and_color_images_keep_their_form() -> None:
    images = torch.rand(8, 3, 32, 24).bfloat16()
    augmented, _ = Augmenter(EVERYTHING, 10)(images, torch.arange(8), seeded())
    assert augmented.shape == images.shape
    assert augmented.dtype == torch.bfloat16


def test_invalid_options_are_refused(classes: Tensor) -> None:
    with pytest.raises(ModelError, match=r"data.augment.shift expects images .* received inputs \(64, 5\)"):
        Augmenter(Augment(shift=0.1))(torch.zeros(64, 5), classes, seeded())
    with pytest.raises(ConfigError, match="number of classes"):
        Augmenter(Augment(mixup=0.1))(torch.zeros(64, 5), classes, seeded())
