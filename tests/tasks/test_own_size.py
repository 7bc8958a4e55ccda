"""Reconstructions at the size and in the colors of the pictures, in tiles without seams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import pellucid
from pellucid.data.image_fit import placed_back, resized
from pellucid.inference import load_trained
from pellucid.models.autoencoder import autoencoder
from pellucid.models.unet import unet
from pellucid.tasks.shared.own_size import takes_any_size
from pellucid.tasks.shared.tiles import in_tiles

FAST = {"objective.name": "reconstruction", "model.size": "tiny", "train.batch_size": 8}


@pytest.mark.parametrize("shape", [(1, 50, 70), (3, 16, 16), (1, 5, 90), (1, 17, 16)])
def test_tiles_of_what_changes_nothing_are_the_image(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(in_tiles(image, (16, 16), (4, 4), lambda tiles: tiles), image)


def test_tiles_are_blended_without_seams() -> None:
    def brighter_by_turns(tiles: Tensor) -> Tensor:
        return tiles + (torch.arange(len(tiles)) % 2).view(-1, 1, 1, 1)

    made = in_tiles(torch.zeros(1, 64, 64), (32, 32), (16, 16), brighter_by_turns)
    steps = torch.cat([made.diff(dim=1).flatten(), made.diff(dim=2).flatten()]).abs()
    assert made.max() > 0.9
    assert steps.max() < 0.1  # a seam would be 1


def test_tiles_of_a_convolutional_network_are_what_it_makes_of_the_whole() -> None:
    torch.manual_seed(0)
    model = unet((1, 32, 32), 0, size="tiny", norm=None).eval()
    image = torch.rand(1, 96, 120)
    with torch.no_grad():
        whole = model(image[None])[0]
        tiles = in_tiles(image, (64, 64), (48, 48), model)
    torch.testing.assert_close(tiles, whole, atol=0.02, rtol=0)


def test_which_networks_take_any_size() -> None:
    assert takes_any_size(unet((1, 16, 16), 0, size="tiny").eval(), (1, 16, 16))
    assert not takes_any_size(autoencoder((1, 16, 16), 0, size="tiny").eval(), (1, 16, 16))


@pytest.mark.parametrize("how", ["pad", "crop", "stretch"])
def test_what_was_resized_is_placed_back(how: Any) -> None:
    y, x = np.mgrid[:60, :120]
    picture = Image.fromarray((120 + 100 * np.sin(x / 15) * np.cos(y / 12)).astype(np.uint8))
    small = np.asarray(resized(picture, (48, 48), how), np.float32)
    back = placed_back(small, (120, 60), how)
    assert back.shape == (60, 120)
    inside = slice(35, 85) if how == "crop" else slice(4, 116)
    gaps = np.abs(back - np.asarray(picture, np.float32))[4:56, inside]
    assert gaps.mean() < 4


def pictures(folder: Path, size: tuple[int, int], count: int = 12, mode: str = "L") -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert(mode).save(
            folder / f"{number}.png"
        )
    return folder


def test_a_denoiser_keeps_size_and_color(tmp_path: Path) -> None:
    data = str(pictures(tmp_path / "gray", (24, 16)))
    run = pellucid.fit("unet", data, epochs=1, progress=False, settings=FAST, runs=tmp_path / "runs")
    new = pictures(tmp_path / "new", (75, 41), 2, "RGB")
    Image.new("L", (9, 5), 100).save(new / "small.png")
    made: Any = run.predict(str(new), folder=str(tmp_path / "out"))
    assert [image.shape for image in made.images] == [(3, 41, 75), (3, 41, 75), (1, 5, 9)]
    assert made.notes == ("each picture is reconstructed at its own size",)
    saved = [Image.open(path) for path in made.paths]
    assert [(image.size, image.mode) for image in saved] == [((75, 41), "RGB")] * 2 + [((9, 5), "L")]
    np.testing.assert_array_equal(np.asarray(saved[2]), np.rint(255 * made.images[2][0]))


@pytest.mark.parametrize(("side", "way"), [(None, "in tiles of 24 x 16"), (12, "at 12 x 8, as in training")])
def test_an_autoencoder_uses_tiles_unless_training_images_were_resized(
    tmp_path: Path, side: int | None, way: str
) -> None:
    data = str(pictures(tmp_path / "gray", (24, 16)))
    settings = {**FAST, "data.image_size": side}
    run = pellucid.fit(
        "autoencoder", data, epochs=1, progress=False, settings=settings, runs=tmp_path / "runs"
    )
    made: Any = run.predict(str(pictures(tmp_path / "new", (48, 40), 2)))
    assert made.images.shape == (2, 1, 40, 48)
    assert way in made.notes[0]
    assert made.latent.shape == (2, 32)


def test_psnr_is_that_of_an_independent_computation(tmp_path: Path) -> None:
    X = np.random.default_rng(0).integers(0, 256, (40, 8, 9, 3), dtype=np.uint8)
    data = pellucid.arrays(X[:30], validation=(X[:30], None), test=(X[30:], None))
    run = pellucid.fit("autoencoder", data, epochs=2, progress=False, settings=FAST, runs=tmp_path)
    made: Any = run.predict(X[30:])
    raw = X[30:].transpose(0, 3, 1, 2) / 255
    with torch.no_grad():
        outputs = load_trained(run).model.eval()(torch.from_numpy(raw).float()).double().numpy()
    errors = ((outputs - raw) ** 2).mean((1, 2, 3))
    assert run.metrics["test/psnr"] == pytest.approx(np.mean(10 * np.log10(1 / errors)), abs=5e-5)
    np.testing.assert_allclose(made.images, outputs.clip(0, 1), atol=1e-5)
