"""Stacked images: their content, determinism, and refused data."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from pellucid.config import Config, DataConfig
from pellucid.data.inspect import inspect_data
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources.open_source import open_data
from pellucid.errors import BadDataError, ConfigError, UsageError


def pixels(dataset, split):
    """The images of a split, (N, C, H, W) uint8."""
    return Preprocess.fit(dataset, normalize=False).pixels(dataset.splits[split]).numpy()


@pytest.fixture
def stacked(pets):
    return open_data(DataConfig(source=str(pets), stack=3), labelled=False)


def test_each_channel_is_an_image_of_the_same_split(pets, stacked):
    plain = open_data(DataConfig(source=str(pets)))
    for split, table in plain.splits.items():
        gray, color = pixels(plain, split), pixels(stacked, split)
        assert color.shape == (len(table), 3, 6, 8)
        known = {image.tobytes() for image in gray}
        channels = [channel.tobytes() for channel in color.reshape(-1, 6, 8)]
        assert set(channels) <= known
        assert len(set(channels)) > 1
    assert len({channel.tobytes() for channel in pixels(stacked, "train")[0]}) == 3


def test_the_same_seed_gives_the_same_rows(pets, stacked):
    again, other = (
        open_data(DataConfig(source=str(pets), stack=3, split_seed=seed), labelled=False) for seed in (0, 1)
    )
    assert again.fingerprint == stacked.fingerprint
    assert other.fingerprint["train"] != stacked.fingerprint["train"]


def test_rows_have_no_labels(stacked, pets):
    assert (stacked.target, stacked.task, stacked.classes) == (None, None, ())
    assert [column.kind for column in stacked.inputs] == ["image"]
    assert any("three random images" in note and "seed 0" in note for note in stacked.notes)
    with pytest.raises(UsageError, match="without labels"):
        open_data(DataConfig(source=str(pets), stack=3))


def test_images_are_resized_on_request(pets):
    dataset = open_data(DataConfig(source=str(pets), stack=3, image_size=4), labelled=False)
    assert Preprocess.fit(dataset).input_shape == (3, 4, 4)


def test_rows_spanning_several_blocks(mirror):
    config = {"source": "digits", "fraction": 0.05}
    plain, color = (
        pixels(open_data(DataConfig(**config, stack=stack), labelled=False), "train") for stack in (None, 3)
    )
    assert color.shape == (len(plain), 3, 28, 28)
    known = {image.tobytes() for image in plain}
    assert all(channel.tobytes() in known for channel in color.reshape(-1, 28, 28))
    drawn = len({channel.tobytes() for channel in color.reshape(-1, 28, 28)})
    assert drawn == pytest.approx((1 - np.exp(-3)) * len(plain), rel=0.02)


def test_only_gray_images_are_stacked(tmp_path, picture, titanic):
    for label in ("cat", "dog"):
        for index in range(6):
            picture(tmp_path / "color" / label / f"{index}.png", mode="RGB")
    with pytest.raises(BadDataError, match="have color"):
        open_data(DataConfig(source=str(tmp_path / "color"), stack=3), labelled=False)
    with pytest.raises(BadDataError, match=r"expected a column of gray images.*'Age' \(number\)"):
        open_data(DataConfig(source=str(titanic), stack=3), labelled=False)
    with pytest.raises(ConfigError, match=r"data\.stack"):
        Config.parse({"data": {"stack": 2}})


def test_suggested_config_needs_no_labels(pets):
    found = inspect_data(DataConfig(source=str(pets), stack=3))
    assert found.columns[0].note == "8 x 6; RGB"
    assert found.target is None
    config = Config.parse(yaml.safe_load(found.config))
    assert (config.objective.name, config.data.stack, config.data.normalize) == ("reconstruction", 3, False)
