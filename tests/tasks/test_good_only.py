"""Pictures without classes, or of one class, train without a config."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import pellucid
from pellucid.errors import BadDataError

OPTIONS = {"epochs": 1, "batch_size": 16, "progress": False}


@pytest.fixture
def pictures(tmp_path):
    def draw(path, seed):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 255, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(path)

    for index in range(30):
        draw(tmp_path / "flat" / f"{index}.png", index)
        draw(tmp_path / "one" / "good" / f"{index}.png", index)
        draw(tmp_path / "parts" / "train" / "good" / f"{index}.png", index)
        draw(tmp_path / "parts" / "test" / ("good" if index % 2 else "scratch") / f"{index}.png", index)
        draw(tmp_path / "parts" / "ground_truth" / "scratch" / f"{index}.png", index)
        draw(tmp_path / "years" / "2021" / str(index % 2) / "a" / f"{index}.png", index)
    return tmp_path


@pytest.mark.parametrize("name", ["flat", "one"])
def test_good_pictures_are_enough(pictures, name):
    run = pellucid.fit(None, str(pictures / name), task="anomaly", runs=pictures / "runs", **OPTIONS)
    assert "test/auroc" not in run.metrics
    assert 0 <= run.metrics["test/false_alarms"] <= 1
    row = run.predict(np.ones((1, 1, 8, 8), "f4")).rows()[0]["prediction"]
    assert row["verdict"] in ("normal", "anomaly")


def test_defects_in_test_are_measured(pictures):
    run = pellucid.fit(None, str(pictures / "parts"), task="anomaly", runs=pictures / "runs", **OPTIONS)
    assert 0 <= run.metrics["test/auroc"] <= 1


def test_an_autoencoder_needs_no_classes_and_no_settings(pictures):
    run = pellucid.fit("autoencoder", str(pictures / "flat"), runs=pictures / "runs", **OPTIONS)
    assert run.task == "reconstruction"


def test_a_folder_is_read_without_classes_if_asked(pictures):
    with pytest.raises(BadDataError, match="labelled=False"):
        pellucid.image_folder(pictures / "flat")
    assert pellucid.image_folder(pictures / "flat", labelled=False).target is None
    years = pellucid.image_folder(pictures / "years", labelled=False)
    assert (len(years.splits["train"]), years.target) == (30, None)
