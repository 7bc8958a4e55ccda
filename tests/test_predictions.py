"""What comes out of `predict`: every prediction with the name of its input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from PIL import Image
from scipy import sparse

import pellucid
from pellucid import Run
from pellucid.errors import BadDataError, DataNotFoundError, ModelError, PellucidError, UsageError
from tests.cli.conftest import CommandLine

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images in nested folders, and a table with an id and an empty column."""
    folder = tmp_path_factory.mktemp("given")
    for kind, light in (("dark", 0), ("light", 128)):
        (folder / "images" / kind).mkdir(parents=True)
        for number in range(12):
            pixels = RNG.integers(light, light + 100, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / kind / f"p{number * 7}.png")
    frame = pd.DataFrame({"patient_id": [f"A{row}" for row in range(60)], "age": RNG.normal(size=60)})
    frame["group"] = np.where(frame.index % 3, "x", "y")
    frame["result"] = np.where(frame.age > 0, "high", "low")
    frame.to_csv(folder / "rows.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def pictures(folder: Path) -> Run:
    settings = {"data.image_size": 8}
    return pellucid.fit(
        "mlp", str(folder / "images"), epochs=1, runs=folder / "runs", progress=False, settings=settings
    )


@pytest.fixture(scope="module")
def rows(folder: Path) -> Run:
    return pellucid.fit("mlp", str(folder / "rows.csv"), epochs=1, runs=folder / "runs", progress=False)


def test_images_of_a_folder_carry_their_names(pictures: Run, folder: Path, tmp_path: Path) -> None:
    found = pictures.predict(folder / "images", out=tmp_path / "found.csv")
    assert [row["file"] for row in found.rows()][:2] == ["dark/p0.png", "dark/p7.png"]
    assert pd.read_csv(tmp_path / "found.csv")["file"].tolist() == [row["file"] for row in found.rows()]
    one, other = folder / "images/dark/p0.png", folder / "images/light/p7.png"
    assert [row["file"] for row in pictures.predict([one, str(other)]).rows()] == [str(one), str(other)]
    assert pictures.predict(Image.open(one)).rows()[0]["file"] == str(one)


def test_rows_carry_their_numbers_and_ids(rows: Run, folder: Path) -> None:
    found = rows.predict(folder / "rows.csv")
    assert {key: found.rows()[2][key] for key in ("row", "patient_id")} == {"row": 3, "patient_id": "A2"}
    assert any("'result', which this run predicts" in note for note in found.notes)
    frame = pd.read_csv(folder / "rows.csv")[["group", "age"]].sample(5, random_state=0)
    assert [row["index"] for row in rows.predict(frame).rows()] == frame.index.tolist()
    assert len(rows.predict([folder / "rows.csv", folder / "rows.csv"])) == 120


def test_what_cannot_be_read_is_left_out_and_the_others_keep_their_numbers(
    pictures: Run, rows: Run, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "new.csv").write_text("patient_id,age,group\na,1,x\nb,old,x\nc,2,y,3\nd,3,y\n")
    with pytest.raises(BadDataError):
        rows.predict(tmp_path / "new.csv")
    found = rows.predict(tmp_path / "new.csv", skip_bad=True)
    assert [(row["row"], row["patient_id"]) for row in found.rows()] == [(1, "a"), (4, "d")]
    assert len(found.left_out) == 2
    (tmp_path / "more").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "more" / "a.png")
    (tmp_path / "more" / "b.png").write_text("no image")
    (tmp_path / "more" / "readme.txt").write_text("about")
    with pytest.raises(BadDataError, match=r"b\.png"):
        pictures.predict(tmp_path / "more")
    found = pictures.predict(tmp_path / "more", skip_bad=True)
    assert [row["file"] for row in found.rows()] == ["a.png"]
    assert found.left_out[0]["file"] == "b.png"
    assert any("1 other file" in note for note in found.notes)


def test_unseen_categories_and_missing_columns_are_noted(rows: Run) -> None:
    found = rows.predict({"age": [None, None], "group": ["z", "w"]})
    assert any("'group': all values were not in the training rows" in note for note in found.notes)
    assert any("'age' has no value" in note for note in found.notes)


def test_saved_pictures_are_named_after_their_sources(folder: Path, tmp_path: Path) -> None:
    settings = {
        "objective.name": "reconstruction",
        "data.normalize": False,
        "data.image_size": 8,
        "model.size": "tiny",
    }
    data = str(folder / "images")
    run = pellucid.fit("autoencoder", data, epochs=1, runs=tmp_path, progress=False, settings=settings)
    found = run.predict(data, folder=str(tmp_path / "made"))
    assert found.rows()[1]["prediction"] == str(tmp_path / "made" / "dark" / "p7.png")
    assert all(path.is_file() for path in found.paths)
    with pytest.raises(UsageError, match="overwritten"):
        run.predict(data, folder=data)
    assert "paths" not in run.predict(data).rows()[0]
    done = CommandLine(tmp_path)("predict", run.path, data)
    assert f"predictions/{run.id}" in done.out, done.err
    assert (tmp_path / "predictions" / run.id / "light" / "p0.png").is_file()


def test_the_command_line_takes_several_inputs_patterns_and_standard_input(
    pictures: Run, rows: Run, folder: Path, tmp_path: Path
) -> None:
    command = CommandLine(folder)
    two = command("predict", pictures.path, "images/dark/p0.png", "images/light")
    assert [line.split()[0] for line in two.out.splitlines()][:2] == [
        "images/dark/p0.png",
        "images/light/p0.png",
    ]
    pattern = command("predict", pictures.path, "images/*/p7.png", "--json").json
    assert [row["file"] for row in pattern["predictions"]] == ["images/dark/p7.png", "images/light/p7.png"]
    refused = command("predict", pictures.path, "https://example.org/a.png")
    assert refused.code == 3
    assert "is an address" in refused.err
    (tmp_path / "none").mkdir()
    assert "holds no images" in command("predict", pictures.path, tmp_path / "none").err


def test_predictions_have_what_the_task_answers(rows: Run) -> None:
    found = rows.predict({"age": 1.0, "group": "x"})
    assert found.labels[0] in ("high", "low")
    assert len(found) == 1
    assert "labels" in dir(found)
    with pytest.raises(AttributeError, match="have no 'lables'"):
        _ = found.lables
    with pytest.raises(DataNotFoundError):
        rows.predict(Path("nothing.csv"))


# ---- labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (np.array([0, 1] * 20), [0, 1]),
        (np.array([3.0, 7.0] * 20), [3.0, 7.0]),
        (np.array([True, False] * 20), [False, True]),
        (np.array(["b", "a"] * 20), ["a", "b"]),
        (pd.Series([5, 6] * 20, dtype="category"), [5, 6]),
    ],
)
def test_labels_have_the_type_of_y(y: np.ndarray, expected: list[object], tmp_path: Path) -> None:
    X = RNG.normal(size=(40, 2)).astype("float32")
    run = pellucid.fit("mlp", pellucid.arrays(X, y), epochs=1, runs=tmp_path, progress=False)
    for found in (run.predict(X), Run(run.path).predict(X)):
        assert [type(label) for label in found.classes] == [type(label) for label in expected]
        assert list(found.classes) == expected
        assert set(found.labels) <= set(expected)
        assert found.rows()[0]["prediction"] in expected


def test_one_amount_is_one_number_a_row_and_several_keep_their_names(tmp_path: Path) -> None:
    X = RNG.normal(size=(60, 3)).astype("float32")
    options = {"epochs": 1, "runs": tmp_path, "progress": False}
    one = pellucid.fit("mlp", pellucid.arrays(X, X[:, 0]), **options).predict(X[:2])
    assert one.outputs.shape == (2,)
    assert isinstance(one.labels[0], float)
    Y = pd.DataFrame({"width": X[:, 0], "height": X[:, 1]})
    for data in (pellucid.arrays(X, Y), pellucid.arrays(pd.DataFrame(X, columns=list("abc")), Y)):
        several = pellucid.fit("mlp", data, **options).predict(X[:2])
        assert several.outputs.shape == (2, 2)
        assert list(several.rows()[0]["prediction"]) == ["width", "height"]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Run:
    X = RNG.normal(size=(300, 3)).astype("float32")
    frame = pd.DataFrame(X, columns=list("xyz"))
    for name, column in zip("abc", X.T, strict=True):
        frame[name] = (column > 0).astype(int)
    folder = tmp_path_factory.mktemp("labelled")
    frame.to_csv(folder / "labels.csv", index=False)
    settings = {"data.target": "a,b,c"}
    return pellucid.fit(
        "mlp", str(folder / "labels.csv"), epochs=30, lr=0.02, runs=folder, progress=False, settings=settings
    )


def test_sets_of_labels_are_those_above_a_threshold(labelled: Run, tmp_path: Path) -> None:
    rows = {"x": [3.0, -3.0, 3.0], "y": [3.0, -3.0, -3.0], "z": [3.0, -3.0, -3.0]}
    found = labelled.predict(rows)
    assert found.labels == [("a", "b", "c"), (), ("a",)]
    assert found.indicators.tolist() == [[1, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert set(found.rows()[1]["probs"]) == {"a", "b", "c"}
    assert labelled.predict(rows, threshold=0.0).labels[1] == ("a", "b", "c")
    assert labelled.predict(rows, threshold={"b": 0}).labels[2] == ("a", "b")
    with pytest.raises(UsageError, match="from 0 to 1"):
        labelled.predict(rows, threshold=50)
    with pytest.raises(UsageError, match="no class named 'd'"):
        labelled.predict(rows, threshold={"d": 0.5})
    pd.DataFrame(rows).to_csv(tmp_path / "new.csv", index=False)
    lines = CommandLine(tmp_path)("predict", labelled.path, "new.csv").out.splitlines()
    assert lines[0].split() == ["1", "a", lines[0].split()[2], "%,", *lines[0].split()[4:]]
    assert "none" in lines[1]
    done = CommandLine(tmp_path)("predict", labelled.path, "new.csv", "--set", "threshold.b=0", "--json")
    assert done.json["predictions"][2]["prediction"] == ["a", "b"]


def test_columns_of_0_and_1_without_names_are_labelled_by_their_places(tmp_path: Path) -> None:
    X = RNG.normal(size=(40, 2)).astype("float32")
    run = pellucid.fit("mlp", pellucid.arrays(X, X > 0), epochs=1, runs=tmp_path, progress=False)
    assert Run(run.path).predict(X, threshold=0).labels[0] == (0, 1)


def test_all_probabilities_are_given_on_request_and_in_files(tmp_path: Path) -> None:
    X, y = RNG.normal(size=(150, 2)).astype("float32"), np.arange(150) % 30
    data = pellucid.arrays(X, y, task="classification")
    run = pellucid.fit("mlp", data, epochs=1, runs=tmp_path, progress=False)
    found = run.predict(X[:2], out=tmp_path / "found.parquet")
    assert found.probs.shape == (2, 30)
    assert len(found.rows()[0]["probs"]) == 3
    assert "the 3 largest of 30 probabilities" in found.notes[0]
    assert len(run.predict(X[:2], probabilities="all").rows()[0]["probs"]) == 30
    table = pd.read_parquet(tmp_path / "found.parquet")
    assert [name for name in table if name.startswith("probs.")] == [f"probs.{label}" for label in range(30)]
    assert table["row"].tolist() == [1, 2]


def test_a_threshold_moves_the_choice_between_two_classes(rows: Run) -> None:
    given = {"age": [0.1, -0.1], "group": ["x", "y"]}
    assert rows.predict(given, threshold=0.0).labels == ["low", "low"]
    assert rows.predict(given, threshold={"high": 0.0}).labels == ["high", "high"]


# ---- what people hold ----------------------------------------------------------------------------


def test_rows_are_taken_in_whatever_form_they_are_held(rows: Run, folder: Path) -> None:
    frame = pd.read_csv(folder / "rows.csv").head(4)[["age", "group"]]
    expected = rows.predict(frame).probs
    more = frame[["group", "age"]].assign(note="more")
    records = frame.to_dict("records")
    typed = frame.to_records(index=False)
    given = [more, records, frame.to_dict("list"), pa.Table.from_pandas(frame), pl.from_pandas(frame)]
    given += [pl.from_pandas(frame).lazy(), (row for row in records), frame.to_numpy().tolist()]
    given += [frame.to_numpy(), pa.RecordBatch.from_pandas(frame), typed, frame.to_dict("series")]
    given += [[row for _, row in frame.iterrows()]]
    for held in given:
        assert np.allclose(rows.predict(held).probs, expected), type(held)
    assert np.allclose(rows.predict(records[0]).probs, expected[:1])
    assert np.allclose(rows.predict(frame.iloc[0]).probs, expected[:1])
    with pytest.raises(ModelError, match=r"'age' \(number\)"):
        rows.predict(frame.drop(columns="age"))
    with pytest.raises(BadDataError, match="no rows"):
        rows.predict([])


def test_numbers_are_taken_in_whatever_form_they_are_held(tmp_path: Path) -> None:
    X = RNG.normal(size=(40, 3)).astype("float32")
    run = pellucid.fit("mlp", pellucid.arrays(X, X[:, 0]), epochs=1, runs=tmp_path, progress=False)
    expected = run.predict(X[:2]).outputs
    half = torch.tensor(X[:2]).to(torch.bfloat16)
    for held in (X[:2].tolist(), tuple(map(tuple, X[:2].tolist())), torch.tensor(X[:2]), list(X[:2])):
        assert np.allclose(run.predict(held).outputs, expected)
    for held in (sparse.csr_matrix(X[:2]), sparse.coo_array(X[:2]), iter(X[:2]), np.matrix(X[:2])):
        assert np.allclose(run.predict(held).outputs, expected)
    assert np.allclose(run.predict(half).outputs, expected, atol=0.05)
    assert run.predict(X[0]).outputs.shape == (1,)
    with pytest.raises(ModelError, match=r"\('N', 3\)"):
        run.predict(X[:, :2])


def test_images_are_taken_in_whatever_form_they_are_held(pictures: Run, folder: Path) -> None:
    files = sorted((folder / "images" / "dark").glob("*.png"))[:2]
    expected = pictures.predict(files).probs
    opened = [Image.open(file) for file in files]
    arrays = [np.asarray(image) for image in opened]
    for held in (opened, arrays, np.stack(arrays), torch.tensor(np.stack(arrays)), [str(f) for f in files]):
        assert np.allclose(pictures.predict(held).probs, expected, atol=1e-5)
    for held in (
        (Image.open(file) for file in files),
        [file.read_bytes() for file in files],
        np.array(files),
    ):
        assert np.allclose(pictures.predict(held).probs, expected, atol=1e-5)
    assert pictures.predict([arrays[0], np.zeros((20, 30), np.uint8)]).probs.shape == (2, 2)
    with pytest.raises(ModelError, match="8, 8"):
        pictures.predict(np.zeros((2, 3, 8, 8, 8)))


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, lambda frame: pa.table(dict(frame))])
def test_a_data_frame_that_has_the_target_is_evaluated(folder: Path, tmp_path: Path, kind) -> None:
    frame = pd.read_csv(folder / "rows.csv")[["group", "age", "result"]]
    run = pellucid.fit("mlp", frame, target="result", epochs=2, runs=tmp_path, progress=False)
    X, y = frame[["group", "age"]], frame["result"]
    assert run.evaluate(kind(frame)).metrics == run.evaluate((X, y)).metrics
    with pytest.raises(PellucidError, match="result"):
        run.evaluate(kind(X))
