"""Image folders: classes and splits by subfolder, and errors that name the broken file."""

from __future__ import annotations

import shutil

import pytest

from pellucid.config import DataConfig
from pellucid.data import images
from pellucid.data.sources import folder
from pellucid.data.sources.folder import image_folder
from pellucid.data.sources.open_source import open_data
from pellucid.errors import BadDataError, DataNotFoundError, UnknownNameError


def test_classes_are_the_subfolders(pets):
    dataset = image_folder(pets)
    assert dataset.classes == ("cat", "dog")
    assert dataset.task == "classification"
    table = dataset.splits["train"]
    assert table["label"].to_pylist() == [0] * 10 + [1] * 10
    assert table["image"][0].as_py()["bytes"] is None
    assert open_data(DataConfig(source=str(pets))).splits.keys() == {"train", "validation", "test"}


def test_files_are_in_natural_order_and_others_are_skipped(tmp_path, picture):
    for label in ("class10", "class2", "class1"):
        picture(tmp_path / label / "img10.png")
        picture(tmp_path / label / "img9.jpg")
    (tmp_path / "class1" / ".DS_Store").write_text("x")
    (tmp_path / "class1" / "notes.txt").write_text("x")
    dataset = image_folder(tmp_path)
    assert dataset.classes == ("class1", "class2", "class10")
    assert dataset.splits["train"]["image"][0].as_py()["path"].endswith("img9.jpg")
    assert dataset.notes == (
        "1 files were ignored, since they do not end like an image that can be read (1 .txt)",
    )


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_split_folders(tmp_path, picture, name):
    for split, count in (("train", 4), (name, 2), ("test", 3)):
        for label in "ab":
            for index in range(count):
                picture(tmp_path / split / label / f"{index}.png")
    dataset = image_folder(tmp_path)
    assert {name: len(table) for name, table in dataset.splits.items()} == {
        "train": 8,
        "validation": 4,
        "test": 6,
    }
    assert open_data(DataConfig(source=str(tmp_path))).fingerprint == dataset.fingerprint


def test_fingerprint_depends_on_the_content(pets, tmp_path, picture):
    before = image_folder(pets).fingerprint
    moved = shutil.copytree(pets, tmp_path / "elsewhere")
    assert image_folder(moved).fingerprint == before
    picture(moved / "cat" / "cat3.png", value=90)
    assert image_folder(moved).fingerprint != before


def test_unchanged_files_are_not_decoded_again(pets, monkeypatch):
    image_folder(pets)
    checked = []
    monkeypatch.setattr(folder.images, "check_file", lambda path: checked.append(path) or ("", None))
    image_folder(pets)
    assert not checked


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "it is empty"), (b"hello there", "it is not an image"), (None, "cannot be decoded")],
)
def test_broken_images_are_named_or_skipped(pets, data, said):
    path = pets / "dog" / "dog3.png"
    path.write_bytes(path.read_bytes()[:70] if data is None else data)
    with pytest.raises(BadDataError, match=rf"(?s)dog3\.png: .*{said}.*data.skip_bad"):
        image_folder(pets)
    dataset = open_data(DataConfig(source=str(pets), skip_bad=True))
    assert sum(map(len, dataset.splits.values())) == 19
    assert len(dataset.skipped) == 1
    assert "dog3.png" in dataset.skipped[0]


def test_truncated_photograph_is_named(pets, picture):
    path = picture(pets / "dog" / "photo.jpg", size=(64, 64), mode="RGB")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BadDataError, match=r"photo\.jpg: .*truncated"):
        image_folder(pets)


def test_empty_class_folder_is_refused(pets):
    (pets / "bird").mkdir()
    with pytest.raises(BadDataError, match="class folder bird holds no images"):
        image_folder(pets)
    assert folder.read_folder(pets, skip_bad=True).classes == ("cat", "dog")


def test_single_class_is_refused(pets):
    shutil.rmtree(pets / "dog")
    with pytest.raises(BadDataError, match="single class, 'cat'"):
        image_folder(pets)


def test_classes_only_in_test_are_refused(tmp_path, picture):
    for split, labels in (("train", "ab"), ("test", "abc")):
        for label in labels:
            picture(tmp_path / split / label / "1.png")
    with pytest.raises(BadDataError, match="class 'c' occurs in test and not in train"):
        image_folder(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(BadDataError, match="holds no images"):
        image_folder(tmp_path)
    with pytest.raises(DataNotFoundError, match="nowhere"):
        image_folder(tmp_path / "nowhere")


def test_nested_folders_and_loose_images_are_refused(pets, picture):
    picture(pets / "cat" / "black" / "1.png")
    with pytest.raises(BadDataError, match=r"black is a folder inside the class folder 'cat'"):
        image_folder(pets)
    shutil.rmtree(pets / "cat" / "black")
    picture(pets / "loose.png")
    with pytest.raises(BadDataError, match=r"loose\.png .*not in a class folder"):
        image_folder(pets)


def test_options_are_checked(pets):
    with pytest.raises(UnknownNameError, match="lable"):
        open_data(DataConfig(source=str(pets), target="lable"))


def test_natural_order():
    assert sorted(["b", "a10", "a9", "10", "9", "A1"], key=images.natural) == [
        "9",
        "10",
        "A1",
        "a9",
        "a10",
        "b",
    ]
