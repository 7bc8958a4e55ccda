"""Pictures as users hold them: arrays (N, H, W), broken files, notes among them, new kinds of defects."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import pellucid
from pellucid import inference, vectors
from pellucid.config import DataConfig
from pellucid.data.inspect import describe, inspect_data
from pellucid.errors import BadDataError, ModelError, UnknownNameError
from pellucid.tasks.anomaly.limit import choose_limit

OPTIONS = {"epochs": 1, "batch_size": 16, "progress": False}


def inspected(path, **options):
    return inspect_data(DataConfig.model_validate({"source": str(path), **options}))


def draw(path, seed=0, side=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """MVTec's layout, and a run that learned from it."""
    top = tmp_path_factory.mktemp("pictures")
    for index in range(30):
        draw(top / "parts" / "train" / "good" / f"{index}.png", index)
        draw(top / "parts" / "test" / ("good" if index % 2 else "scratch") / f"{index}.png", 100 + index)
        draw(top / "new" / ("good" if index % 2 else "dent") / f"{index}.png", 200 + index)
        draw(top / "bad" / "dent" / f"{index}.png", 300 + index)
        draw(top / "flat" / f"{index}.png", 400 + index)
    run = pellucid.fit(None, str(top / "parts"), task="anomaly", runs=top / "runs", **OPTIONS)
    return top, run


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64, bool])
def test_an_array_of_gray_pictures_offers_what_pictures_do(tmp_path, dtype):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 2, (20, 12, 10)).astype(dtype))
    names = [offer.name for offer in inspected(tmp_path / "x.npy").offers]
    assert {"generate", "compress", "denoise", "embed", "anomaly"} <= set(names)


def test_gray_pictures_with_classes_can_be_generated_too(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (40, 12, 12), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x_train=images, y_train=np.arange(40) % 2)
    found = inspected(tmp_path / "x.npz")
    assert found.chosen == "classify"
    assert "generate" in [offer.name for offer in found.offers]


def test_a_long_series_is_no_picture(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(20, 100, 3)))
    with pytest.raises(BadDataError, match="no task"):
        inspected(tmp_path / "x.npy")


def test_the_broken_picture_is_the_reason_not_the_missing_classes(tmp_path):
    for index in range(10):
        draw(tmp_path / f"{index}.png", index)
    (tmp_path / "7.png").write_bytes(b"garbage")
    with pytest.raises(BadDataError, match=r"7\.png") as error:
        inspected(tmp_path)
    assert "class folder" not in str(error.value)


def test_a_note_among_pictures_is_no_table_of_their_names(tmp_path):
    for index in range(10):
        draw(tmp_path / f"{index}.png", index)
    (tmp_path / "README.txt").write_text("my pictures")
    assert not any("README" in note for note in inspected(tmp_path).notes)


def test_defects_are_not_called_a_classification(parts):
    second = describe(inspected(parts[0] / "parts"))[1]
    assert second.startswith("nothing to predict; anomaly learns what 'good' looks like")


def test_unknown_kinds_of_defects_are_measured(parts):
    top, run = parts
    outcome = inference.evaluate(run, top / "new")
    assert outcome.predictions is not None
    assert len(outcome.predictions) == 30
    assert 0 <= outcome.metrics["auroc"] <= 1
    table = next(block for block in outcome.blocks if block["title"] == "Scores by class")
    assert "dent" in str(table)


def test_only_defects_or_only_good_ones_are_measured_as_far_as_possible(parts):
    top, run = parts
    bad = inference.evaluate(run, top / "bad").metrics
    assert "detected" in bad
    assert not {"auroc", "false_alarms"} & set(bad)
    (top / "good").mkdir()
    for index in range(5):
        draw(top / "good" / "good" / f"{index}.png", 500 + index)
    assert "false_alarms" in inference.evaluate(run, top / "good").metrics


def test_new_pictures_without_classes_say_what_is_missing(parts):
    with pytest.raises(BadDataError, match="which images are normal"):
        inference.evaluate(parts[1], parts[0] / "flat")


def test_too_few_normal_images_for_a_rate_are_said():
    import torch

    options = {"limit": None, "examples": None, "score": None}
    few = choose_limit(torch.arange(25.0), false_alarm_rate=0.01, **options)
    assert few.value == 24
    assert "too few" in few.reason
    assert "99" in few.reason
    assert "25 held-out" in choose_limit(torch.arange(25.0), false_alarm_rate=0.1, **options).reason


def test_pictures_named_by_absolute_paths_are_saved_in_the_folder_itself(parts, tmp_path):
    top, run = parts
    found = run.predict(str(top / "flat" / "3.png"), folder=str(tmp_path / "maps"))
    assert [path.relative_to(tmp_path / "maps").as_posix() for path in found.paths] == ["3.png"]
    two = [str(top / "flat" / "3.png"), str(top / "new" / "good" / "3.png")]
    found = run.predict(two, folder=str(tmp_path / "two"))
    names = [path.relative_to(tmp_path / "two").as_posix() for path in found.paths]
    assert names == ["flat/3.png", "new/good/3.png"]


def test_neighbors_among_own_rows_are_files(parts):
    top, run = parts
    found = vectors.neighbors(run, str(top / "flat" / "1.png"), "train", k=2)
    assert all(near["file"].endswith(".png") for near in found.neighbors[0])


def test_vectors_of_embed_are_latent_vectors(parts, tmp_path):
    top, _ = parts
    options = {"epochs": 1, "progress": False, "runs": tmp_path}
    run = pellucid.fit(None, str(top / "flat"), task="compress", **options)
    vectors.embed(run, str(top / "flat")).save(tmp_path / "v.parquet")
    assert len(run.generate(2, latents=str(tmp_path / "v.parquet")).images) == 2
    pa.parquet.write_table(pa.table({"x": [1]}), tmp_path / "w.parquet")
    with pytest.raises(BadDataError, match="received x"):
        run.generate(2, latents=str(tmp_path / "w.parquet"))


def test_a_gan_says_that_it_has_no_vectors(parts, tmp_path):
    top, _ = parts
    settings = {"model.size": "tiny"}
    run = pellucid.fit(
        None, str(top / "flat"), task="generate", epochs=1, progress=False, runs=tmp_path, settings=settings
    )
    with pytest.raises(ModelError, match="no vectors of images"):
        vectors.embed(run, str(top / "flat"))
    with pytest.raises(UnknownNameError, match="seed") as error:
        run.predict(2, sed=3)
    assert "class, folder, from, grid, latents, seed, to, walk" in str(error.value)
