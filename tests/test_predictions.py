"""What comes out of `predict`: every prediction with the name of its input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import pellucid
from pellucid import Run
from pellucid.errors import BadDataError, DataNotFoundError, UsageError
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
    assert any("'result' is what this run predicts" in note for note in found.notes)
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
