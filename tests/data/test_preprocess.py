"""Rows to tensors: fitted only on training rows, unchanged by a round trip through JSON, strict on input."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from PIL import Image

from pellucid.config import DataConfig
from pellucid.data import cache, images
from pellucid.data.dataset import Column, Dataset, Source
from pellucid.data.kinds import image as image_kind
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources.arrays import arrays
from pellucid.data.sources.folder import image_folder
from pellucid.data.sources.open_source import open_data
from pellucid.data.sources.tables import csv
from pellucid.data.split import split
from pellucid.errors import BadDataError, DataNotFoundError, ModelError


def again(fitted: Preprocess) -> Preprocess:
    """Save to JSON and load again."""
    return Preprocess.from_state(json.loads(json.dumps(fitted.state())))


@pytest.fixture
def passengers(titanic):
    return open_data(DataConfig(source=str(titanic)))


# ---- tables --------------------------------------------------------------------------------------


def test_a_table_is_encoded(passengers):
    fitted = Preprocess.fit(passengers)
    made = fitted.inputs(passengers.splits["train"])
    assert made.dtype == torch.float32
    assert tuple(made.shape) == (len(passengers.splits["train"]), *fitted.input_shape)
    assert fitted.input_shape == (len(fitted.feature_names),)
    assert fitted.num_outputs == 2
    assert bool(torch.isfinite(made).all())
    assert {"Age", "Age is missing", "Sex = female", "Sex = other", "Name: mrs", "Alone"} <= set(
        fitted.feature_names
    )
    assert any(note.startswith("Age: ") and "median" in note for note in fitted.notes)


def test_the_saved_state_is_complete(passengers):
    fitted = Preprocess.fit(passengers)
    restored = again(fitted)
    assert restored == fitted
    for table in passengers.splits.values():
        assert torch.equal(restored.inputs(table), fitted.inputs(table))
        assert torch.equal(restored.targets(table), fitted.targets(table))


def test_only_training_rows_are_fitted():
    train, test = np.array([[1.0], [3.0]] * 5), np.array([[100.0]] * 4)
    dataset = arrays(train, np.arange(10) % 2, test=(test, np.arange(4) % 2))
    fitted = Preprocess.fit(dataset)
    assert float(fitted.inputs(dataset.splits["test"])[0, 0]) == 98.0
    raw = Preprocess.fit(dataset, normalize=False)
    assert raw.inputs(dataset.splits["test"]).unique().tolist() == [100.0]


def test_encoders_equal_hand_computed_values():
    frame = pd.DataFrame(
        {
            "number": [1.0, None, 3.0, 8.0],
            "flag": [True, False, None, True],
            "word": ["a", "b", "a", None],
            "when": pd.to_datetime(["2020-01-01 06:00", "2020-01-01 18:00", "2020-01-02 00:00", None]),
            "text": ["red fish blue fish", "one fish two fish here", "red red red red dog", None],
            "y": [0, 1, 0, 1],
        }
    )
    frame = pd.concat([frame] * 10, ignore_index=True)
    frame["text"] += [f" in tank {index}" for index in range(40)]
    fitted = Preprocess.fit(arrays(frame, "y"))
    made = dict(
        zip(
            fitted.feature_names,
            fitted.inputs(arrays(frame, "y").splits["train"])[:4].T.tolist(),
            strict=True,
        )
    )
    filled = np.array([1, 3, 3, 8.0])
    assert made["number"] == pytest.approx((filled - filled.mean()) / filled.std(), abs=1e-6)
    assert made["number is missing"] == [0, 1, 0, 0]
    assert made["flag"] == [1, 0, 0.5, 1]
    assert made["word = a"] == [1, 0, 1, 0]
    assert made["word = other"] == [0, 0, 0, 1]
    assert len(set(made["when hour"][:3])) == 3
    assert "when year" not in made
    assert made["text: red"][3] == 0
    lengths = sum(np.square(values) for name, values in made.items() if name.startswith("text: "))
    assert lengths == pytest.approx([1, 1, 1, 0], abs=1e-6)


def test_unseen_values_are_other(passengers):
    fitted = Preprocess.fit(passengers)
    row = {column.name: None for column in fitted.columns} | {"Sex": "unknown", "Pclass": 3}
    made = dict(zip(fitted.feature_names, fitted.inputs(fitted.table_from(row))[0].tolist(), strict=True))
    assert made["Sex = other"] == 1
    assert made["Age is missing"] == 1


def test_regression_targets_are_inverted():
    y = np.random.default_rng(0).normal(50, 9, 200)
    dataset = split(arrays(np.arange(200.0)[:, None], y))
    fitted = again(Preprocess.fit(dataset))
    targets = fitted.targets(dataset.splits["train"])
    assert float(targets.mean()) == pytest.approx(0, abs=1e-5)
    assert float(targets.std(correction=0)) == pytest.approx(1, abs=1e-5)
    back = fitted.untarget(fitted.targets(dataset.splits["test"]))
    np.testing.assert_allclose(back, dataset.splits["test"]["y"].to_numpy(), rtol=1e-5)
    assert (fitted.num_outputs, fitted.classes) == (1, ())


def test_several_labels_are_encoded():
    dataset = arrays(
        np.random.default_rng(0).normal(size=(20, 2)), np.random.default_rng(0).integers(0, 2, (20, 3))
    )
    fitted = again(Preprocess.fit(dataset))
    assert fitted.num_outputs == 3
    assert fitted.targets(dataset.splits["train"]).dtype == torch.float32


def test_arrays_keep_their_shape():
    X = np.random.default_rng(0).normal(3, 2, (30, 2, 5, 4))
    dataset = arrays(X, np.arange(30) % 2)
    fitted = again(Preprocess.fit(dataset))
    made = fitted.inputs(dataset.splits["train"])
    assert tuple(made.shape) == (30, 2, 5, 4)
    assert made.mean((0, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert Preprocess.fit(arrays(X[:, 0], np.arange(30) % 2)).input_shape == (1, 5, 4)


# ---- images --------------------------------------------------------------------------------------


def pictures(*given: Image.Image) -> Dataset:
    """A dataset of images, each twice."""
    rows = []
    for image in [*given, *given]:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        rows.append({"bytes": buffer.getvalue(), "path": None})
    table = pa.table({"image": pa.array(rows), "label": pa.array([0, 1] * len(given))})
    columns = (Column("image", "image"), Column("label", "category", ("a", "b")))
    return Dataset("pictures", {"train": table}, columns, "label", "classification", Source("x", "arrays"))


def flat(mode: str, color, size=(6, 4)) -> Image.Image:
    return Image.new(mode, size, color)


def test_images_are_normalized(pets):
    dataset = image_folder(pets)
    fitted = again(Preprocess.fit(dataset))
    made = fitted.inputs(dataset.splits["train"])
    assert tuple(made.shape) == (20, 1, 6, 8)
    assert float(made.mean()) == pytest.approx(0, abs=1e-4)
    assert float(made.std(correction=0)) == pytest.approx(1, abs=1e-4)
    pixels = fitted.pixels(dataset.splits["train"])
    assert pixels.dtype == torch.uint8
    assert Preprocess.fit(dataset, image_size=16).input_shape == (1, 16, 16)


def test_mixed_sizes_and_modes_are_noted():
    dataset = pictures(flat("L", 90), flat("L", 90), flat("RGB", (200, 0, 0)), flat("L", 90, size=(9, 9)))
    fitted = Preprocess.fit(dataset)
    assert fitted.input_shape == (3, 4, 6)
    assert any("2 of 8 images are not 6 x 4 (9 x 9) and are resized" in note for note in fitted.notes)
    assert any("6 of 8 images are converted to color (6 L)" in note for note in fitted.notes)


@pytest.mark.parametrize(
    ("image", "mode", "value"),
    [
        (flat("1", 1), "L", 255),
        (flat("LA", (10, 0)), "L", 255),
        (flat("RGBA", (10, 20, 30, 0)), "RGB", 255),
        (flat("RGBA", (10, 20, 30, 255)), "RGB", 10),
        (Image.fromarray(np.full((4, 6), 65535, np.uint16)), "L", 255),
        (Image.fromarray(np.full((4, 6), 257 * 7, np.uint16)), "L", 7),
        (flat("RGB", (10, 20, 30)).quantize(), "RGB", 10),
    ],
)
def test_image_modes_are_converted(image, mode, value):
    fitted = Preprocess.fit(pictures(image), normalize=False)
    assert isinstance(fitted.encoded, image_kind.ImageInputs)
    assert fitted.encoded.mode == mode
    made = fitted.inputs(pictures(image).splits["train"])
    assert float(made[0, 0, 0, 0]) * 255 == pytest.approx(value, abs=1e-3)


def test_photographs_are_turned_upright(tmp_path):
    image = Image.new("L", (8, 4), 0)
    image.paste(255, (0, 0, 4, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    for label in "ab":
        (tmp_path / label).mkdir()
        image.save(tmp_path / label / "1.jpg", exif=exif, quality=95)
    dataset = image_folder(tmp_path)
    fitted = Preprocess.fit(dataset, normalize=False)
    assert fitted.input_shape == (1, 8, 4)
    assert fitted.inputs(dataset.splits["train"])[0, 0, :2].min() > 0.9


def test_broken_image_is_named():
    dataset = pictures(flat("L", 1), flat("L", 2))
    rows = dataset.splits["train"]["image"].to_pylist()
    rows[2]["bytes"] = rows[2]["bytes"][:40]
    broken = pa.table({"image": pa.array(rows), "label": dataset.splits["train"]["label"]})
    with pytest.raises(BadDataError, match="image in row 3: expected an image"):
        Preprocess.fit(dataset).inputs(broken)


def test_ignored_columns_are_noted():
    dataset = pictures(flat("L", 1), flat("L", 2))
    table = dataset.splits["train"].append_column("age", pa.array([1.0] * 4))
    wide = Dataset(
        "wide",
        {"train": table},
        (Column("age", "number"), *dataset.columns),
        "label",
        "classification",
        dataset.source,
    )
    fitted = Preprocess.fit(wide)
    assert fitted.notes[0] == "learns only from 'image'; left out: 'age'"
    assert [column.name for column in fitted.columns] == ["image"]


def test_decoded_images_are_cached(monkeypatch, tmp_path):
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr(image_kind, "KEPT_ROWS", 2)
    dataset = pictures(flat("L", 9), flat("L", 2))
    first = Preprocess.fit(dataset).inputs(dataset.splits["train"])
    assert len(list((tmp_path / "kept" / "arrays").glob("*.npy"))) == 1
    monkeypatch.setattr(images, "decode", lambda *_: pytest.fail("decoded again"))
    assert torch.equal(Preprocess.fit(dataset).inputs(dataset.splits["train"]), first)


def test_an_unusable_cache_is_not_an_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(image_kind, "KEPT_ROWS", 2)
    dataset = pictures(flat("L", 9))
    assert tuple(Preprocess.fit(dataset).inputs(dataset.splits["train"]).shape) == (2, 1, 4, 6)


def test_a_damaged_cache_is_rebuilt(monkeypatch, tmp_path):
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path))
    for _ in range(2):
        made = cache.array("key", (3,), lambda out: out.fill(7))
        assert made.tolist() == [7, 7, 7]
        (file,) = (tmp_path / "arrays").iterdir()
        file.write_bytes(file.read_bytes()[:90])


def test_flipped_bits_in_a_cache_are_noticed(monkeypatch, tmp_path):
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path))
    cache.array("key", (3,), lambda out: out.fill(7))
    (file,) = (tmp_path / "arrays").iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b"\x08")
    assert cache.array("key", (3,), lambda out: out.fill(7)).tolist() == [7, 7, 7]


def test_a_failed_fill_leaves_no_files(monkeypatch, tmp_path):
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path))

    def fail(out: np.ndarray) -> None:
        raise BadDataError("no")

    with pytest.raises(BadDataError):
        cache.array("key", (3,), fail)
    assert not list((tmp_path / "arrays").iterdir())


# ---- what is to be predicted ---------------------------------------------------------------------


def test_prediction_images_are_encoded(pets, tmp_path):
    dataset = image_folder(pets)
    fitted = Preprocess.fit(dataset)
    one = fitted.inputs(fitted.table_from(pets / "cat" / "cat0.png"))
    assert torch.equal(one[0], fitted.inputs(dataset.splits["train"])[0])
    assert len(fitted.table_from(pets)) == 20
    pixels = np.asarray(Image.open(pets / "cat" / "cat0.png"))
    for given in (
        pixels,
        pixels[None],
        pixels[None, None],
        torch.tensor(pixels),
        Image.fromarray(pixels),
        pixels / 255,
    ):
        assert torch.allclose(fitted.inputs(fitted.table_from(given)), one, atol=1e-5)
    np.save(tmp_path / "x.npy", pixels)
    assert torch.equal(fitted.inputs(fitted.table_from(tmp_path / "x.npy")), one)


def test_prediction_rows_are_encoded(passengers, titanic):
    fitted = Preprocess.fit(passengers)
    from_file = fitted.inputs(fitted.table_from(titanic))
    assert len(from_file) == 300
    frame = pd.read_csv(titanic)
    assert torch.allclose(fitted.inputs(fitted.table_from(frame)), from_file)
    assert torch.allclose(fitted.inputs(fitted.table_from(pl.from_pandas(frame))), from_file)
    assert torch.allclose(fitted.inputs(fitted.table_from(frame.iloc[0].to_dict())), from_file[:1])


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ("nowhere.png", DataNotFoundError, "nowhere.png"),
        (
            np.zeros((2, 9, 9, 9)),
            ModelError,
            r"Expected images of shape \('N', 1, 6, 8\), received \(2, 9, 9, 9\)",
        ),
        (np.full((6, 8), 7.5), ModelError, "between 0 and 1.*from 7.5 to 7.5"),
        (np.full((6, 8), np.nan), BadDataError, "NaN or infinite"),
        ({"other": 3}, ModelError, "no column 'image': expected 'image', received 'other'"),
    ],
)
def test_wrong_images_are_refused(pets, given, error, said):
    with pytest.raises(error, match=said):
        Preprocess.fit(image_folder(pets)).table_from(given)


def test_wrong_rows_are_refused(passengers, titanic, write, pets):
    fitted = Preprocess.fit(passengers)
    with pytest.raises(ModelError, match=r"few\.csv has no column 'Sex', 'Age'"):
        fitted.table_from(write("Pclass,Name,x\n1,a b c,2\n", "few.csv"))
    text = titanic.read_text().splitlines()
    header = text[0].split(",")
    cells = dict.fromkeys(header, "1") | {"Age": "old", "Boarded": "1912-04-01", "Alone": "yes"}
    with pytest.raises(
        BadDataError, match=r"bad\.csv line 2, column 'Age': expected a finite number, received 'old'"
    ):
        fitted.table_from(write(text[0] + "\n" + ",".join(cells.values()) + "\n", "bad.csv"))
    with pytest.raises(ModelError, match="not all numbers"):
        fitted.table_from(np.zeros((2, 9)))
    with pytest.raises(ModelError, match="holds images: expected the columns"):
        fitted.table_from(pets)
    with pytest.raises(ModelError, match="without 'Pclass'"):
        fitted.inputs(pa.table({"x": [1]}))
    wrong = passengers.splits["train"].set_column(
        0, "Pclass", pa.array(["x"] * len(passengers.splits["train"]))
    )
    with pytest.raises(ModelError, match="'Pclass': expected number, received string"):
        fitted.inputs(wrong)


def test_wrong_arrays_are_refused():
    fitted = Preprocess.fit(arrays(np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2))
    assert fitted.inputs(fitted.table_from([1.0, 2.0, 3.0])).shape == (1, 3)
    with pytest.raises(ModelError, match=r"shape \('N', 3\), received \(5, 4\)"):
        fitted.table_from(np.zeros((5, 4)))


def test_damaged_state_is_refused():
    fitted = Preprocess.fit(arrays(np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2))
    state = json.loads(json.dumps(fitted.state()))
    for damage in (
        {**state, "version": 99},
        {},
        {**state, "columns": 3},
        {**state, "inputs": {"kind": "image"}},
    ):
        with pytest.raises(ModelError, match=r"preprocess\.json"):
            Preprocess.from_state(damage)


def test_a_target_of_an_unknown_class_is_refused(write):
    dataset = csv(write("a,y\n" + "1,u\n2,v\n" * 9))
    fitted = Preprocess.fit(dataset)
    with pytest.raises(BadDataError, match=r"row 2: expected one of 2 classes \(u, v\), received 'w'"):
        fitted.targets(pa.table({"a": [1, 2], "y": ["u", "w"]}))
