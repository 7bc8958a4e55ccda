"""Files of images are predicted by a model of arrays; another scale of fractions is said."""

import json

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import pellucid
from pellucid.data.dataset import Column
from pellucid.data.encoder import FitOptions
from pellucid.data.kinds.tensor import TensorInputs
from pellucid.data.prediction_columns import Wanted
from pellucid.data.prediction_input import read
from pellucid.data.tensor_column import tensor
from pellucid.errors import ModelError
from pellucid.record import files

BYTES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
SCALES = {
    "bytes": BYTES,
    "fractions": BYTES.astype("f4") / 255,
    "with a sign": BYTES.astype("f4") / 127.5 - 1,
}


def fitted(values, pixels=True):
    table, column = pa.table({"x": tensor(values)}), Column("x", "tensor")
    inputs = TensorInputs.fit(column, table, FitOptions(pixels=pixels))[0]
    return inputs, Wanted((column,), inputs.shape, from_bytes=inputs.from_bytes)


@pytest.mark.parametrize("pixels", [True, False], ids=["in 0..1", "normalized"])
@pytest.mark.parametrize("scale", SCALES)
def test_a_file_is_read_as_the_array_that_it_shows(tmp_path, scale, pixels):
    inputs, wanted = fitted(SCALES[scale], pixels)
    Image.fromarray(BYTES[0]).save(tmp_path / "one.png")
    expected = inputs.apply(pa.table({"x": tensor(SCALES[scale][:1])}))
    for source in (tmp_path / "one.png", tmp_path, Image.open(tmp_path / "one.png")):
        np.testing.assert_allclose(inputs.apply(read(source, wanted).table), expected, atol=1e-5)


def test_another_size_is_padded_and_said(tmp_path):
    _, wanted = fitted(BYTES)
    Image.fromarray(np.zeros((20, 10), np.uint8)).save(tmp_path / "tall.png")
    rows = read(tmp_path / "tall.png", wanted)
    assert rows.table["x"].type.shape == [3, 8, 8]
    assert "padded" in rows.notes[0]


def test_arrays_that_are_no_pixels_take_no_images(tmp_path):
    _, wanted = fitted(BYTES.astype("f4") * 50, pixels=False)
    Image.fromarray(BYTES[0]).save(tmp_path / "one.png")
    with pytest.raises(ModelError, match="cannot be brought to the scale"):
        read(tmp_path / "one.png", wanted)


def test_fractions_without_a_sign_are_said_where_training_had_one():
    inputs, _ = fitted(SCALES["with a sign"])
    assert "2 * X - 1" in inputs.new_notes(pa.table({"x": tensor(SCALES["fractions"])}))[0]
    assert not inputs.new_notes(pa.table({"x": tensor(SCALES["with a sign"])}))


def test_json_has_no_numbers_that_are_none(tmp_path):
    files.write_json(tmp_path / "x.json", {"y": [1.0, float("nan")], "z": (float("inf"), np.float64("nan"))})
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"y": [1.0, None], "z": [None, None]}


@pytest.mark.parametrize("trained_on", ["folder", "arrays"])
def test_a_run_without_a_target_is_measured_on_a_folder_of_images(tmp_path, trained_on):
    for name in ("old", "new/a", "new/b"):
        (tmp_path / name).mkdir(parents=True)
        for row, pixels in enumerate(BYTES):
            Image.fromarray(pixels).save(tmp_path / name / f"{row}.png")
    data = str(tmp_path / "old") if trained_on == "folder" else pellucid.arrays(SCALES["fractions"])
    options = {"settings": {"model.size": "tiny"}, "epochs": 1, "progress": False, "runs": tmp_path / "runs"}
    run = pellucid.fit("autoencoder", data, objective="reconstruction", **options)
    found = run.evaluate(tmp_path / "new" / "a")
    assert found.metrics["mse"] == pytest.approx(run.evaluate(tmp_path / "new").metrics["mse"], rel=1e-4)
