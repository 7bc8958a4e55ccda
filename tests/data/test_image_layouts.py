"""Images as people have them: deep pixels, channels last, test folders without labels, tables of labels."""

import os

import numpy as np
import pytest
from PIL import Image

import pellucid
from pellucid.config import DataConfig
from pellucid.data.encoder import FitOptions
from pellucid.data.inspect import inspect_data
from pellucid.data.kinds.image import ImageInputs
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources.folder import image_folder
from pellucid.data.sources.image_layout import class_of
from pellucid.data.sources.open_source import open_data
from pellucid.errors import BadDataError, ConfigError

RNG = np.random.default_rng(0)


def save(path, pixels=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 255, (12, 12, 3), dtype=np.uint8) if pixels is None else pixels
    Image.fromarray(pixels).save(path)
    return path


def opened(path, **settings):
    return open_data(DataConfig.model_validate({"source": str(path), **settings}))


# ---- more than 8 bits ----------------------------------------------------------------------------


def deep_folder(tmp_path, make, suffix="png"):
    for label, bright in (("dot", 150), ("none", 0)):
        for number in range(10):
            pixels = RNG.integers(20, 60, (12, 12)).astype(float)
            pixels[3:9, 3:9] += bright
            save(tmp_path / label / f"{number}.{suffix}", make(pixels))
    return image_folder(tmp_path)


DEEP = {
    "12 bits": (lambda p: p.astype(np.uint16), "png"),
    "a hot pixel": (
        lambda p: np.where(np.arange(144).reshape(12, 12) == 300, 65535, p).astype(np.uint16),
        "png",
    ),
    "32 bits": (lambda p: p.astype(np.int32) * 1000 - 50_000, "tif"),
    "floats": (lambda p: (p / 1000).astype(np.float32), "tif"),
    "floats with NaN": (lambda p: np.where(p == 30, np.nan, p).astype(np.float32), "tif"),
    "full range": (lambda p: (p * 300).astype(np.uint16), "tif"),
}


@pytest.mark.parametrize("case", DEEP)
def test_deep_pixels_use_the_range_of_the_training_images(tmp_path, case):
    dataset = deep_folder(tmp_path, *DEEP[case])
    table = dataset.splits["train"]
    inputs, notes = ImageInputs.fit(dataset.columns[0], table, FitOptions(None, True))
    pixels = inputs.pixels(table)
    assert pixels.min() == 0
    assert pixels.max() == 255
    assert pixels[:10, 0, 5, 5].min() > pixels[10:, 0, 5, 5].max() + 50  # the dot can be seen
    assert any("more than 8 bits" in note for note in notes)
    again = ImageInputs.from_state(inputs.state())
    assert np.array_equal(again.pixels(table), pixels)


def test_one_hot_pixel_does_not_darken_all_images(tmp_path):
    def make(pixels):
        pixels = np.kron(pixels, np.ones((8, 8)))
        pixels[0, 0] = 65535
        return pixels.astype(np.uint16)

    dataset = deep_folder(tmp_path, make)
    inputs, _ = ImageInputs.fit(dataset.columns[0], dataset.splits["train"], FitOptions(None, True))
    assert inputs.levels is not None
    assert inputs.levels[1] < 300


def test_deep_images_given_to_predict_are_scaled_as_in_training(tmp_path):
    dataset = deep_folder(tmp_path, lambda p: p.astype(np.uint16))
    preprocess = Preprocess.fit(dataset)
    file = tmp_path / "dot" / "0.png"
    expected = preprocess.inputs(preprocess.table_from(file))
    pixels = np.asarray(Image.open(file))
    for source in (Image.open(file), pixels, pixels.astype(np.float32)):
        assert preprocess.inputs(preprocess.table_from(source)).equal(expected)


def test_runs_of_before_keep_dividing_by_257(tmp_path):
    dataset = deep_folder(tmp_path, lambda p: (p * 257).astype(np.uint16))
    state = {"name": "image", "size": [12, 12], "mode": "L", "mean": [0.0], "std": [1.0]}
    old = ImageInputs.from_state(state)
    assert old.pixels(dataset.splits["train"]).max() < 255


def test_images_of_8_bits_among_deep_ones_keep_their_values(tmp_path):
    for number in range(4):
        pixels = RNG.integers(0, 200, (12, 12))
        save(tmp_path / "a" / f"{number}.png", pixels.astype(np.uint8))
        save(tmp_path / "b" / f"{number}.tif", pixels.astype(np.int32))
    table = image_folder(tmp_path).splits["train"]
    pixels = ImageInputs.fit(image_folder(tmp_path).columns[0], table, FitOptions(None, True))[0].pixels(
        table
    )
    assert np.array_equal(pixels[:4], pixels[4:])


@pytest.mark.parametrize("normalize", [True, False])
def test_empty_images_are_warned_of(tmp_path, normalize):
    for label in "ab":
        for number in range(3):
            save(tmp_path / label / f"{number}.png", np.full((12, 12), 7, np.uint8))
    dataset = image_folder(tmp_path)
    notes = ImageInputs.fit(dataset.columns[0], dataset.splits["train"], FitOptions(None, normalize))[1]
    assert any("every training image is empty, all with the value 7" in note for note in notes)


# ---- channels last -------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_last_are_recognized(channels):
    X = RNG.integers(0, 255, (20, 9, 8, channels), dtype=np.uint8)
    last, first = (
        pellucid.arrays(X, np.arange(20) % 2),
        pellucid.arrays(np.moveaxis(X, -1, 1), np.arange(20) % 2),
    )
    one, two = Preprocess.fit(last), Preprocess.fit(first)
    assert one.input_shape == two.input_shape == (channels, 9, 8)
    expected = two.inputs(first.splits["train"])
    assert one.inputs(last.splits["train"]).equal(expected)
    assert any("channels last" in note for note in one.notes)
    again = Preprocess.from_state(one.state())
    for source in (X, np.moveaxis(X, -1, 1), X[0]):
        made = again.inputs(again.table_from(source))
        assert made.equal(expected[: len(made)])


@pytest.mark.parametrize("shape", [(3, 9, 8), (3, 9, 3), (12, 5, 6), (28, 28)])
def test_other_arrays_keep_their_order(shape):
    data = pellucid.arrays(RNG.normal(size=(20, *shape)), np.arange(20) % 2)
    assert Preprocess.fit(data).input_shape == (shape if len(shape) == 3 else (1, *shape))


# ---- folders -------------------------------------------------------------------------------------


def test_a_test_folder_without_classes_is_set_aside(tmp_path):
    for label in "ab":
        for number in range(20):
            save(tmp_path / "train" / label / f"{number}.png")
            save(tmp_path / "test" / f"{label}{number}.png")
    dataset = opened(tmp_path)
    assert sum(map(len, dataset.splits.values())) == 40
    assert any("test: the 40 images in test have no class" in note for note in dataset.notes)


@pytest.mark.parametrize("folder", ["unknown", "test"])
def test_a_test_folder_of_no_class_is_set_aside(tmp_path, folder):
    for label in "ab":
        for number in range(20):
            save(tmp_path / "train" / label / f"{number}.png")
    for number in range(5):
        save(tmp_path / "test" / folder / f"{number}.png")
    dataset = opened(tmp_path)
    assert sum(map(len, dataset.splits.values())) == 40
    assert any("no class of train" in note for note in dataset.notes)


def test_a_folder_in_a_folder_is_gone_into(tmp_path):
    for label in "ab":
        for number in range(20):
            save(tmp_path / "archive" / "data" / label / f"{number}.png")
    assert opened(tmp_path).classes == ("a", "b")


@pytest.mark.parametrize("beside", ["images", "train/deep", "."])
@pytest.mark.parametrize("cell", ["{}", "{}.png", "images/{}.png"])
@pytest.mark.parametrize("name", ["a{}", "{}"])
def test_a_table_of_labels_names_images_with_or_without_folder_and_ending(tmp_path, beside, cell, name):
    names = [name.format(number) for number in range(20)]
    for each in names:
        save(tmp_path / beside / f"{each}.png")
    lines = [f"{cell.format(each)},{'xy'[number % 2]}" for number, each in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,label", *lines]))
    for source in (tmp_path / "labels.csv", tmp_path):
        dataset = opened(source)
        assert [(column.name, column.kind) for column in dataset.inputs] == [("id", "image")]
        assert dataset.classes == ("x", "y")


def test_a_missing_image_of_a_table_is_named_by_line(tmp_path):
    for number in range(30):
        save(tmp_path / "images" / f"a{number}.png")
    lines = [f"a{number},{'xy'[number % 2]}" for number in range(31)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,label", *lines]))
    with pytest.raises(BadDataError, match=r"line 32.*'a30'"):
        opened(tmp_path / "labels.csv")
    assert sum(map(len, opened(tmp_path / "labels.csv", skip_bad=True).splits.values())) == 30


def test_a_table_of_numbers_near_images_stays_one(tmp_path):
    for number in range(30):
        save(tmp_path / "plots" / f"p{number}.png")
    rows = [f"{n},{n % 7},{'xy'[n % 2]}" for n in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["id,b,label", *rows]))
    assert [column.kind for column in opened(tmp_path / "a.csv").inputs] == ["number"]


# ---- classes in names ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "label"),
    [
        *(("cat.12.jpg", "cat"), ("dog_3.png", "dog"), ("rose (4).png", "rose"), ("cat1.png", "cat")),
        *(("017_tulip.png", "tulip"), ("7_31.png", "7"), ("black_cat-09.png", "black_cat")),
        *(("n01440764_10026.JPEG", "n01440764"), ("img001-00012.png", "img001"), ("a.png", "a")),
    ],
)
def test_the_class_of_a_name_is_what_is_left_without_its_number(name, label):
    assert class_of(name) == label


def test_classes_in_names_are_offered_and_read(tmp_path):
    for label in ("cat", "dog"):
        for number in range(20):
            save(tmp_path / f"{label}.{number}.png")
    with pytest.raises(BadDataError, match=r"'data\.class_from': 'name'} \(cat 20, dog 20\)"):
        opened(tmp_path)
    assert any(
        "data.class_from=name" in note for note in inspect_data(DataConfig(source=str(tmp_path))).notes
    )
    for setting in ("name", "^([a-z]+)"):
        assert opened(tmp_path, class_from=setting).classes == ("cat", "dog")
    with pytest.raises(ConfigError, match="received 0 groups"):
        opened(tmp_path, class_from="[a-z]+")
    with pytest.raises(ConfigError, match="no regular expression"):
        opened(tmp_path, class_from="([a-z]+")
    with pytest.raises(BadDataError, match="has no class in its name"):
        opened(tmp_path, class_from="_([A-Z]+)_")


def test_classes_in_names_go_with_split_folders(tmp_path):
    for split in ("train", "val", "test"):
        for label in ("cat", "dog"):
            for number in range(4):
                save(tmp_path / split / f"{label}_{number}.png")
    dataset = opened(tmp_path, class_from="name")
    assert {split: len(table) for split, table in dataset.splits.items()} == {
        "train": 8,
        "validation": 8,
        "test": 8,
    }


# ---- names ---------------------------------------------------------------------------------------


def test_names_that_are_not_utf_8_are_read(tmp_path):
    for label in (b"caf\xe9", b"b"):
        folder = os.path.join(os.fsencode(tmp_path), label)
        os.mkdir(folder)
        for number in range(10):
            save(tmp_path / "spare.png").rename(os.fsdecode(os.path.join(folder, b"\xe9%d.png" % number)))
        with open(os.path.join(folder, b"x.\xe9"), "w"):
            pass
    dataset = opened(tmp_path)
    assert dataset.classes == ("b", "café")
    assert Preprocess.fit(dataset).pixels(dataset.splits["train"]).shape[1:] == (3, 12, 12)
    " ".join(dataset.notes).encode()
    assert len(dataset.fingerprint) == 3
