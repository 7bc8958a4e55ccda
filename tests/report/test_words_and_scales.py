"""Number formatting, and scales that map values to positions and colors."""

from __future__ import annotations

import io
import re
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from pellucid.report import pictures, words
from pellucid.report.scales import Axis, viridis


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0412, "0.0412"),
        (1234.5, "1,234"),
        (-2.5, "−2.50"),
        (0, "0"),
        (3e-7, "3.00e−07"),
        (None, "–"),
        (float("nan"), "not a number"),
        (float("-inf"), "−infinity"),
    ],
)
def test_numbers_have_three_significant_digits(value, text):
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0042, "4 ms"), (4.25, "4.2 s"), (185, "3 min 05 s"), (3720, "1 h 02 min"), (None, "–")],
)
def test_durations_are_in_readable_units(value, text):
    assert words.seconds(value).replace("\u00a0", " ") == text


def test_a_percentage_has_two_decimals_from_2000_rows():
    assert words.measure("test/accuracy", 0.98934, 10_000) == "98.93\u00a0%"
    assert words.measure("test/accuracy", 0.98934, 360) == "98.9\u00a0%"
    assert words.measure("test/loss", 0.98934, 10_000) == "0.989"


def test_confidence_interval_covers_the_share_and_stays_within_0_and_1():
    low, high = words.interval(0.995, 10_000)
    assert (low, high) == (pytest.approx(0.99341, abs=1e-4), pytest.approx(0.99620, abs=1e-4))
    assert words.interval(1.0, 10)[1] == 1.0
    assert words.interval(0.0, 10)[0] == 0.0


def test_a_term_is_explained_only_at_its_first_use():
    term = words.Terms()
    assert words.GLOSSARY["loss"] in term("loss")
    assert term("loss") == "loss"


@pytest.mark.parametrize("values", [[0.9, 0.99], [3.0], [0.001, 2.3], [-5.0, 5.0], [1e6, 3e6], []])
@pytest.mark.parametrize("shares", [False, True])
def test_an_axis_contains_its_values_and_ticks(values, shares):
    values = [min(abs(value), 1.0) for value in values] if shares else values
    axis = Axis.fit(values, 300, 20, shares=shares)
    assert all(20 <= axis(value) <= 300 for value in values)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 7
    assert all(axis.low - 1e-9 <= value <= axis.high + 1e-9 for value, _ in ticks)
    assert len({text for _, text in ticks}) == len(ticks)


def test_magnitude_is_viridis():
    assert viridis(0) == (68, 1, 84)
    assert viridis(1) == (253, 231, 37)


def test_weights_are_orange_above_zero_and_blue_below():
    uri = pictures.weights(np.array([[1.0, -1.0, 0.0, 0.5]]), 1.0)
    data = b64decode(re.sub(r"^data:image/png;base64,", "", uri))
    pixels = np.asarray(Image.open(io.BytesIO(data)))[0]
    assert pixels[0].tolist() == [230, 159, 0, 255]
    assert pixels[1].tolist() == [0, 114, 178, 255]
    assert pixels[2, 3] == 0
    assert pixels[3].tolist() == [230, 159, 0, 128]


def test_an_album_keeps_its_budget_and_counts_unreadable_images():
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG")
    album = pictures.Album(budget=200)
    assert album.add(b"no image") is None
    assert album.add(None) is None
    assert album.add(buffer.getvalue())
    assert album.add(buffer.getvalue()) is None
    assert (album.left_out, album.unreadable) == (1, 1)
