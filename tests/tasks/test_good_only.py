"""Pictures without classes, or of one class, train without a config."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import pellucid
from pellucid.config import Config
from pellucid.data.inspect import warnings_of
from pellucid.errors import BadDataError
from pellucid.models.autoencoder import Autoencoder
from pellucid.runner.model_size import size_notes
from pellucid.tasks.anomaly.normal_name import named_normal

OPTIONS = {"epochs": 1, "batch_size": 16, "progress": False, "settings": {"train.execution": "eager"}}


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
    assert any("no images of anomalies" in note for note in run.facts["notes"])
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


def test_folders_of_masks_and_strays_are_no_classes(pictures):
    for index in range(30):
        for name in ("normal_dir", "abnormal_dir", "mask_dir"):
            path = pictures / "layout" / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((pictures / "flat" / f"{index}.png").read_bytes())
    (pictures / "layout" / "overview.png").write_bytes((pictures / "flat" / "0.png").read_bytes())
    found = pellucid.image_folder(pictures / "layout", labelled=False)
    assert found.classes == ("abnormal_dir", "normal_dir")
    assert any("mask_dir" in note for note in found.notes)
    assert any("overview" in note for note in found.notes)
    assert named_normal(found.classes) == "normal_dir"


def test_one_class_is_not_uneven(pictures):
    found = warnings_of(pellucid.image_folder(pictures / "parts", labelled=False))
    assert not any("uneven" in warned.seen for warned in found)


def test_few_pictures_train_a_vae(pictures):
    for path in sorted((pictures / "flat").iterdir())[3:]:
        path.unlink()
    run = pellucid.fit(None, str(pictures / "flat"), task="vae", runs=pictures / "runs", **OPTIONS)
    assert run.metrics["test/elbo"] < 0


def test_linear_layers_on_large_images_are_said():
    def said(side, kind):
        model = Autoencoder((1, side, side), kind=kind, size="tiny")
        prepared = SimpleNamespace(preprocess=SimpleNamespace(input_shape=(1, side, side)))
        return size_notes(model, Config.parse({"model": {"name": "autoencoder"}}, "test"), prepared)

    assert "16,900 values" in said(130, "dense")[0]
    assert said(130, "conv") == said(64, "dense") == ()


def test_new_pictures_are_measured_with_the_limit_of_the_run(pictures):
    run = pellucid.fit(None, str(pictures / "parts"), task="anomaly", runs=pictures / "runs", **OPTIONS)
    new = run.evaluate(pictures / "parts")
    assert {name: new.metrics[name] for name in ("detected", "false_alarms")} == pytest.approx(
        {name: run.metrics[f"test/{name}"] for name in ("detected", "false_alarms")}
    )
