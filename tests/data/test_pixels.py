"""Images in any range and of any shape, brought to pixels in 0..1 of one size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pellucid
from pellucid.data.image_fit import common_size, resized
from pellucid.data.kinds.tensor import has_channels_last
from pellucid.data.pixel_range import unit_levels
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources.array_files import read_file
from pellucid.data.sources.arrays import arrays
from pellucid.data.sources.folder import read_folder
from pellucid.errors import BadDataError, ModelError

BYTES = np.random.default_rng(0).integers(0, 256, (40, 12, 10, 3), dtype=np.uint8)
PIXELS = (BYTES / np.float32(255)).transpose(0, 3, 1, 2)


def pixels_of(X: np.ndarray) -> tuple[np.ndarray, Preprocess]:
    data = arrays(X)
    fitted = Preprocess.fit(data, normalize=False, pixels=True)
    return fitted.inputs(data.splits["train"]).numpy(), fitted


@pytest.mark.parametrize(
    ("X", "said"),
    [
        (BYTES, "divided by 255"),
        (BYTES.transpose(0, 3, 1, 2), "divided by 255"),
        (BYTES.astype(np.float64), "divided by 255"),
        (PIXELS.transpose(0, 2, 3, 1), ""),
        (2 * PIXELS - 1, "(x + 1) / 2"),
    ],
    ids=["bytes", "channels first", "floats of bytes", "fractions", "with a sign"],
)
def test_the_same_images_in_any_usual_range_are_the_same_pixels(X: np.ndarray, said: str) -> None:
    made, fitted = pixels_of(X)
    np.testing.assert_allclose(made, PIXELS, atol=1e-6)
    assert any(said in note for note in fitted.notes) or not said
    again = Preprocess.from_state(fitted.state())
    np.testing.assert_allclose(again.inputs(again.table_from(X[:3])), PIXELS[:3], atol=1e-6)


@pytest.mark.parametrize("values", [(0, 4095), (100, 60000), (-1024, 3071), (-2.1, 2.6), (0, 0.06), (0, 16)])
def test_other_ranges_are_stretched_and_said(values: tuple[float, float]) -> None:
    low, high = values
    made, fitted = pixels_of(low + (high - low) * PIXELS)
    assert made.min() == 0
    assert made.max() == 1
    np.testing.assert_allclose(made, PIXELS, atol=0.01)
    assert "the range of the training images, become 0 to 1" in fitted.notes[-1]
    brighter = fitted.inputs(fitted.table_from(low + (high - low) * 1.5 * PIXELS[:2]))
    assert brighter.max() == 1  # cut off


def test_bytes_are_not_predicted_by_a_model_of_fractions() -> None:
    _, fitted = pixels_of(PIXELS)
    with pytest.raises(ModelError, match="as in training"):
        fitted.table_from(PIXELS[:1] * 255)


def test_a_hot_pixel_does_not_make_all_images_dark() -> None:
    deep = (1000 * PIXELS).astype(np.uint16)
    deep[0, 0, 0, 0] = 65535
    assert unit_levels(deep)[0][1] < 1010


@pytest.mark.parametrize(
    ("shape", "last"),
    [
        ((32, 32, 3), True),
        ((3, 32, 32), False),
        ((28, 28, 1), True),
        ((64, 64, 12), True),  # a satellite
        ((12, 64, 64), False),
        ((4, 32, 3), False),
        ((64, 8, 8), False),  # maps of features
    ],
)
def test_channels_are_found(shape: tuple[int, ...], last: bool) -> None:
    assert has_channels_last(shape) is last


def test_doubtful_channels_are_said() -> None:
    _, fitted = pixels_of(np.random.default_rng(0).random((5, 4, 32, 3)))
    assert "read as 4 channels of 32 x 3; if the channels are last, pass X.transpose" in fitted.notes[0]


def test_a_file_of_one_array_needs_no_target(tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", BYTES)
    np.savez(tmp_path / "X.npz", X=BYTES)
    for name in ("X.npy", "X.npz"):
        found = read_file(tmp_path / name)
        assert found.target is None
        assert len(found.splits["train"]) == 40


def test_flat_rows_are_refused_with_their_shape(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"objective.name": "reconstruction"}
    with pytest.raises(BadDataError) as raised:
        pellucid.fit("autoencoder", arrays(np.random.default_rng(0).random((20, 784))), settings=settings)
    assert "X.reshape(-1, 28, 28)" in str(raised.value.remedy)


# ---- size ------------------------------------------------------------------------------------------


def test_the_size_has_the_shape_of_most_images() -> None:
    assert common_size({(200, 150): 9, (150, 200): 1}, 64, "pad") == (64, 48)
    assert common_size({(200, 150): 9, (400, 300): 1}, None, "crop") == (200, 150)
    assert common_size({(200, 150): 4, (150, 200): 3, (90, 90): 3}, 64, "pad") == (64, 64)
    assert common_size({(200, 150): 9}, 64, "stretch") == (64, 64)
    assert common_size({(200, 3): 1}, 32, "pad") == (32, 1)


def disc(width: int, height: int) -> Image.Image:
    """A white disc in the middle."""
    y, x = np.mgrid[:height, :width]
    radius = min(width, height) / 3
    inside = (x - (width - 1) / 2) ** 2 + (y - (height - 1) / 2) ** 2 < radius**2
    return Image.fromarray(np.where(inside, 255, 40).astype(np.uint8))


@pytest.mark.parametrize("how", ["pad", "crop"])
def test_a_disc_stays_a_disc(how: Any) -> None:
    made = np.asarray(resized(disc(200, 100), (40, 40), how)) > 150
    wide, high = made.any(0).sum(), made.any(1).sum()
    assert abs(int(wide) - int(high)) <= 1
    stretched = np.asarray(resized(disc(200, 100), (40, 40), "stretch")) > 150
    assert stretched.any(1).sum() > 1.7 * stretched.any(0).sum()


def test_padding_continues_the_border_in_color() -> None:
    picture = Image.new("RGB", (20, 10), (10, 200, 30))
    made = np.asarray(resized(picture, (16, 16), "pad"))
    assert made.shape == (16, 16, 3)
    assert (made == (10, 200, 30)).all()


def test_images_of_other_shapes_are_said_and_predicted_in_the_same_way(tmp_path: Path) -> None:
    for number in range(9):
        disc(60, 45).rotate(number).save(tmp_path / f"{number}.png")
    disc(45, 60).save(tmp_path / "tall.png")
    data = read_folder(tmp_path, labelled=False)
    fitted = Preprocess.fit(data, image_size=32, normalize=False, image_fit="pad")
    assert fitted.input_shape == (1, 24, 32)
    (note,) = fitted.notes
    assert "10 of 10 images are not 32 x 24 (60 x 45, 45 x 60) and are resized to it" in note
    assert "1 of another shape are padded" in note
    again = Preprocess.from_state(fitted.state())
    tall = again.inputs(again.table_from(str(tmp_path / "tall.png")))[0, 0] > 0.6
    assert abs(int(tall.any(0).sum()) - int(tall.any(1).sum())) <= 1
