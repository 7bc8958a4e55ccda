"""Files next to the images: those of systems are not seen, all others are read or named."""

import os

import numpy as np
import pytest
from PIL import Image

import pellucid
from pellucid.config import DataConfig
from pellucid.data.inspect import describe, inspect_data
from pellucid.data.kinds.image import from_path
from pellucid.data.sources.folder import image_folder
from pellucid.data.sources.open_source import open_data
from pellucid.errors import BadDataError, ModelError, similar_file

RNG = np.random.default_rng(0)


def save(path, pixels=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 255, (12, 12, 3), dtype=np.uint8) if pixels is None else pixels
    Image.fromarray(pixels).save(path, **options)
    return path


def pets(folder, count=10):
    for label in ("cat", "dog"):
        for number in range(count):
            save(folder / label / f"{number}.png")
    return folder


def opened(path, **settings):
    return open_data(DataConfig.model_validate({"source": str(path), **settings}))


def number_of(dataset):
    return sum(map(len, dataset.splits.values()))


# ---- what is no image of the user -----------------------------------------------------------------


OTHERS = ("__MACOSX", ".ipynb_checkpoints", "@eaDir", "$RECYCLE.BIN", "lost+found")


@pytest.mark.parametrize("name", OTHERS)
def test_folders_of_systems_are_neither_classes_nor_predicted(tmp_path, name):
    pets(tmp_path)
    save(tmp_path / name / "a.png")
    save(tmp_path / "cat" / name / "0.png")
    (tmp_path / "dog" / "Thumbs.db").write_text("x")
    assert image_folder(tmp_path).classes == ("cat", "dog")
    assert len(from_path(tmp_path)) == 20


def test_runs_next_to_the_images_are_no_class(tmp_path):
    pets(tmp_path)
    save(tmp_path / "runs" / "one" / "sample.png")
    (tmp_path / "runs" / "one" / "run.json").write_text("{}")
    assert image_folder(tmp_path).classes == ("cat", "dog")
    assert len(from_path(tmp_path)) == 20


def test_links_to_folders_are_followed_and_not_in_circles(tmp_path):
    pets(tmp_path / "all")
    (tmp_path / "linked").mkdir()
    for label in ("cat", "dog"):
        os.symlink(tmp_path / "all" / label, tmp_path / "linked" / label)
    assert number_of(opened(tmp_path / "linked")) == len(from_path(tmp_path / "linked")) == 20
    for number in range(20):
        save(tmp_path / "flat" / f"{'ab'[number % 2]}.{number}.png")
    os.symlink(tmp_path / "flat", tmp_path / "flat" / "again")
    assert number_of(opened(tmp_path / "flat", class_from="name")) == 20


def test_a_link_to_an_image_that_is_gone_is_named(tmp_path):
    pets(tmp_path)
    link = tmp_path / "cat" / "gone.png"
    os.symlink(tmp_path / "elsewhere.png", link)
    with pytest.raises(BadDataError, match=r"gone.png: it cannot be read \(No such file"):
        opened(tmp_path)
    assert any("gone.png" in line for line in opened(tmp_path, skip_bad=True).skipped)
    assert "which does not exist" in similar_file(link)


def test_files_that_are_not_read_are_counted_by_ending(tmp_path):
    pets(tmp_path)
    Image.fromarray(np.zeros((12, 12, 3), np.uint8)).save(tmp_path / "cat" / "x.JPE", "JPEG")
    (tmp_path / "cat" / "y.heic").write_bytes(b"photo")
    dataset = opened(tmp_path)
    assert number_of(dataset) == 21
    assert any("1 files were ignored" in note and "1 .heic" in note for note in dataset.notes)


def test_files_of_several_images_are_said_to_be_read_in_part(tmp_path):
    pets(tmp_path)
    frames = [Image.fromarray(RNG.integers(0, 255, (12, 12, 3), dtype=np.uint8)) for _ in range(3)]
    frames[0].save(tmp_path / "cat" / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "dog" / "pages.tif", save_all=True, append_images=frames[1:])
    found = inspect_data(DataConfig(source=str(tmp_path), validation=0.05, test=0.05))
    assert any("with several images, of which the first is read" in line for line in describe(found))


# ---- tables of labels ----------------------------------------------------------------------------


def table(folder, lines, name="train.csv"):
    (folder / name).write_text("\n".join(["id,label", *lines]) + "\n")
    return folder / name


def test_a_name_in_several_folders_is_in_the_one_that_holds_all(tmp_path):
    for number in range(20):
        save(tmp_path / "train" / f"{number}.png")
    for number in range(6):
        save(tmp_path / "test" / f"{number}.png")
    dataset = opened(table(tmp_path, [f"{number},{'ab'[number % 2]}" for number in range(20)]))
    paths = [row["path"] for part in dataset.splits.values() for row in part["id"].to_pylist()]
    assert len(paths) == 20
    assert all("/train/" in path for path in paths)
    assert any("6 images below" in note and "in no row" in note for note in dataset.notes)


def test_a_name_of_two_images_is_an_error_with_both(tmp_path):
    for number in range(20):
        save(tmp_path / "images" / f"p{number}.png")
    save(tmp_path / "images" / "p3.jpg")
    path = table(tmp_path, [f"p{number},{'ab'[number % 2]}" for number in range(20)])
    for source in (path, tmp_path):
        with pytest.raises(BadDataError, match=r"line 5, .*2 images have this name, .*p3.jpg and .*p3.png"):
            opened(source)


def test_a_missing_image_does_not_turn_names_into_words(tmp_path):
    for number in range(20):
        save(tmp_path / "images" / f"p{number}.png")
    path = table(tmp_path, [f"p{number},{'ab'[number % 2]}" for number in range(2, 22)])
    with pytest.raises(BadDataError, match=r"line 20, column 'id': expected an image, received 'p20'"):
        opened(path)
    assert opened(path, skip_bad=True).inputs[0].kind == "image"


# ---- new images ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    pets(folder / "pets")
    settings = {"train.execution": "eager", "train.epochs": 1}
    return pellucid.fit("cnn", folder / "pets", settings=settings, runs=folder / "runs", progress=False)


def test_images_of_one_class_can_be_measured(trained, tmp_path):
    for number in range(3):
        save(tmp_path / "new" / "dog" / f"{number}.png")
    outcome = trained.evaluate(tmp_path / "new")
    expected = np.mean([label == "dog" for label in trained.predict(tmp_path / "new").labels])
    assert outcome.metrics["accuracy"] == pytest.approx(expected)


SCALES = {"fractions": lambda x: x / 255, "normalized": lambda x: x / 127.5 - 1}


@pytest.mark.parametrize("scale", SCALES)
def test_arrays_on_another_scale_than_in_training_are_refused(tmp_path, scale):
    X = RNG.integers(0, 255, (40, 12, 12, 3), dtype=np.uint8)
    y = np.array(["a", "b"] * 20)
    other = SCALES[scale](X.astype(np.float32))
    settings = {"train.execution": "eager", "train.epochs": 1}
    run = pellucid.fit(
        "mlp", pellucid.arrays(X, y), settings=settings, runs=tmp_path / "runs", progress=False
    )
    for measure in (lambda: run.predict(other), lambda: run.evaluate((other, y))):
        with pytest.raises(ModelError, match=r"expected values from 0 to 254, as in training; received"):
            measure()
    assert run.predict(np.zeros((2, 12, 12, 3))).labels  # dark, and on the same scale
    data = pellucid.arrays(X, y, test=(other, y))
    with pytest.raises(ModelError, match=r"test: x: expected values"):
        pellucid.fit("mlp", data, settings=settings, runs=tmp_path / "runs", progress=False)
    np.savez(tmp_path / "new.npz", X=X, y=y)
    assert run.predict(tmp_path / "new.npz").labels == run.predict(X).labels
    np.savez(tmp_path / "odd.npz", left=X, right=X)
    with pytest.raises(BadDataError, match="'left', 'right': expected one to predict"):
        run.predict(tmp_path / "odd.npz")
