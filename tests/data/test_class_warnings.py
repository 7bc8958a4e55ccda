"""Classes and copies that make a comparison unfair are warned of, by inspect and by training alike."""

import shutil

import numpy as np
import pytest
from PIL import Image

from pellucid.config import DataConfig
from pellucid.data.inspect import inspect_data, warnings_of
from pellucid.data.sources.open_source import open_data

RNG = np.random.default_rng(0)


def save(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
    return path


def seen(source, **settings):
    config = DataConfig.model_validate({"source": str(source), **settings})
    said = [warned.seen for warned in warnings_of(open_data(config))]
    assert said == [warned.seen for warned in inspect_data(config).warnings]
    return " | ".join(said)


def test_images_in_two_splits_are_counted(tmp_path):
    for label in "ab":
        for number in range(10):
            path = save(tmp_path / "train" / label / f"{number}.png")
            if number < 3:
                (tmp_path / "test" / label).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, tmp_path / "test" / label / f"copy{number}.png")
        save(tmp_path / "test" / label / "new.png")
        save(tmp_path / "val" / label / "new.png")
    assert "6 rows of test are also in train" in seen(tmp_path)


def test_classes_that_a_split_lacks_are_named(tmp_path):
    for split, labels in (("train", "abc"), ("val", "ab"), ("test", "abc")):
        for label in labels:
            for number in range(5):
                save(tmp_path / split / label / f"{number}.png")
    said = seen(tmp_path)
    assert "validation has no rows of 1 of 3 classes, 'c'" in said
    assert "test has no rows" not in said


@pytest.mark.parametrize("names", [("cat", "Cat"), ("big dog", "big  dog")])
def test_classes_that_differ_only_in_case_or_spaces_are_named(tmp_path, names):
    rows = [f"{RNG.normal():.4f},{label}" for label in (*names, "horse") for _ in range(20)]
    (tmp_path / "a.csv").write_text("\n".join(["x,label", *rows]) + "\n")
    said = seen(tmp_path / "a.csv")
    assert "differ only in case or spaces" in said
    assert all(repr(name) in said for name in names)
    assert "'horse'" not in said


def test_one_image_with_two_classes_is_a_contradiction(tmp_path):
    for number in range(20):
        save(tmp_path / f"{number}.png")
    rows = [f"{number}.png,{'ab'[number % 2]}" for number in range(20)] + ["0.png,b", "1.png,b"]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label", *rows]) + "\n")
    assert "2 rows contradict each other: the same image" in seen(tmp_path / "labels.csv")
