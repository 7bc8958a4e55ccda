"""A run as the start of another on new data: its tokens, statistics, columns and classes are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from pellucid import runner
from pellucid.config import Config
from pellucid.data.sources.arrays import arrays
from pellucid.errors import ModelError
from pellucid.record import Run

NOTHING_LEARNED = {"optimizer.lr": 1e-12, "train.max_steps": 1}


def config(source: Any, task: str, model: dict[str, Any], **more: Any) -> Config:
    made = Config.parse(
        {
            "name": "begins",
            "data": {"source": str(source)},
            "objective": {"name": task},
            "model": model,
            "train": {"epochs": 2, "batch_size": 16, "execution": "eager", "device": "cpu"},
        }
    )
    return made.patch({"optimizer.lr": 0.01, **more})


def begin(first: Run, settings: Config, runs: Path, dataset: Any = None) -> Run:
    changes = {"name": "goes-on", "model.weights": first.id, **NOTHING_LEARNED}
    return runner.train(settings.patch(changes), runs=runs, dataset=dataset)


def state(run: Run) -> dict[str, Any]:
    return json.loads((run.path / "preprocess.json").read_text())


def weights(run: Run) -> dict[str, torch.Tensor]:
    folder = run.checkpoints.pointed("last")
    assert folder is not None
    return load_file(folder / "model.safetensors")


def table(path: Path, names: str = "abc", classes: str = "xy", shift: float = 0.0) -> Path:
    draw = np.random.default_rng(len(names) + len(classes))
    lines = [",".join([*names, "kind"])]
    for row in range(90):
        numbers = [f"{value + shift:.4f}" for value in draw.normal(size=len(names)) + row % len(classes)]
        lines.append(",".join([*numbers, classes[row % len(classes)]]))
    path.write_text("\n".join(lines))
    return path


MLP = {"name": "mlp", "options": {"hidden": [8]}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("begun")


@pytest.fixture(scope="module")
def first(folder: Path) -> Run:
    """A classifier of tables with the classes x, y and z."""
    source = table(folder / "first.csv", classes="xyz")
    return runner.train(config(source, "classification", MLP), runs=folder / "runs")


def test_a_language_model_keeps_its_own_letters(tmp_path: Path) -> None:
    model = {"name": "gpt", "options": {"embed_dim": 16, "num_layers": 1, "num_heads": 2, "dropout": 0.0}}
    text = {"data.text.tokenizer": "characters", "data.text.max_seq_len": 12, "data.text.lowercase": False}
    text |= {"train.max_steps": 10}
    (tmp_path / "a.txt").write_text("the cat sat on the mat. " * 8)
    (tmp_path / "b.txt").write_text("An emu, at a zoo, saw the cat on the mat. " * 5)
    one = config(tmp_path / "a.txt", "language_model", model, **text)
    begun = runner.train(one, runs=tmp_path)
    same = begin(begun, config(tmp_path / "a.txt", "language_model", model, **text), tmp_path)
    other = begin(begun, config(tmp_path / "b.txt", "language_model", model, **text), tmp_path)
    assert state(other)["inputs"]["tokenizer"] == state(begun)["inputs"]["tokenizer"]
    assert same.metrics["val/loss"] == pytest.approx(begun.metrics["val/loss"], abs=1e-3)
    assert any("unknown" in note for note in other.facts["dataset"]["notes"])


def test_pictures_keep_the_size_and_the_statistics_of_the_run(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for name, size, light, kinds in (("a", 8, 60, ("cat", "dog", "owl")), ("b", 12, 200, ("owl", "cat"))):
        for kind in kinds:
            (tmp_path / name / kind).mkdir(parents=True)
            for number in range(12):
                pixels = draw.integers(0, 50, (size, size), np.uint8) + light
                Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name / kind / f"{number}.png")
    model = {"name": "mlp", "options": {"hidden": [8]}}
    begun = runner.train(config(tmp_path / "a", "classification", model), runs=tmp_path / "runs")
    run = begin(begun, config(tmp_path / "b", "classification", model), tmp_path / "runs")
    assert state(run)["inputs"] == state(begun)["inputs"]
    assert run.facts["dataset"]["classes"] == ["cat", "dog", "owl"]
    assert any("not in the new data: dog" in note for note in run.facts["dataset"]["notes"])
    counted = json.loads((run.path / "evaluation" / "test.json").read_text())
    assert counted["rows"] == run.facts["dataset"]["splits"]["test"]["rows"]


def test_a_table_keeps_its_scales_and_its_classes_in_their_order(first: Run, folder: Path) -> None:
    source = table(folder / "shifted.csv", classes="zy", shift=100.0)
    run = begin(first, config(source, "classification", MLP), folder / "runs")
    assert state(run)["inputs"] == state(first)["inputs"]
    assert run.facts["dataset"]["classes"] == ["x", "y", "z"]
    before, after = weights(first), weights(run)
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_new_classes_come_last_and_the_known_ones_keep_their_rows(first: Run, folder: Path) -> None:
    run = begin(
        first, config(table(folder / "more.csv", classes="azy"), "classification", MLP), folder / "runs"
    )
    assert run.facts["dataset"]["classes"] == ["x", "y", "z", "a"]
    assert any("come first; new: a." in note for note in run.facts["dataset"]["notes"])
    before, after = weights(first), weights(run)
    heads = [name for name in before if before[name].shape != after[name].shape]
    assert heads
    assert all(torch.allclose(after[name][:3], before[name], atol=1e-6) for name in heads)


def test_other_classes_get_a_new_last_layer(first: Run, folder: Path) -> None:
    run = begin(
        first, config(table(folder / "others.csv", classes="pqr"), "classification", MLP), folder / "runs"
    )
    assert run.facts["dataset"]["classes"] == ["p", "q", "r"]
    before, after = weights(first), weights(run)
    moved = {name for name in before if not torch.allclose(before[name], after[name], atol=1e-6)}
    assert {name.rpartition(".")[0] for name in moved} == {list(before)[-1].rpartition(".")[0]}


def test_classes_that_are_whole_numbers_are_matched_by_name(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)

    def numbers(*classes: int) -> Any:
        y = np.array(classes)[np.arange(60) % len(classes)]
        return arrays(draw.normal(size=(60, 3)) + y[:, None], y)

    begun = runner.train(config("arrays", "classification", MLP), runs=tmp_path, dataset=numbers(3, 5, 7))
    run = begin(begun, config("arrays", "classification", MLP), tmp_path, numbers(7, 3))
    assert run.facts["dataset"]["classes"] == ["3", "5", "7"]
    assert run.metrics["test/loss"] == pytest.approx(begun.metrics["test/loss"], abs=0.5)
    again = runner.train(
        config("arrays", "classification", MLP).patch(
            {"name": "goes-on", "model.weights": begun.id, **NOTHING_LEARNED}
        ),
        runs=tmp_path,
        dataset=numbers(7, 3),
    )
    assert again.facts["dataset"]["classes"] == ["3", "5", "7"]


@pytest.mark.parametrize(
    ("names", "said"),
    [("ab", "without 'c'"), ("abcd", "new: 'd'.*data.inputs"), ("abe", "without 'c'; new: 'e'")],
)
def test_other_columns_are_refused_by_name(first: Run, folder: Path, names: str, said: str) -> None:
    source = table(folder / f"{names}.csv", names=names, classes="xyz")
    before = len(list((folder / "runs").iterdir()))
    with pytest.raises(ModelError, match=f"(?s){said}"):
        begin(first, config(source, "classification", MLP), folder / "runs")
    assert len(list((folder / "runs").iterdir())) == before


def test_a_column_of_another_kind_is_refused(first: Run, folder: Path) -> None:
    text = (folder / "first.csv").read_text().splitlines()
    rows = [
        ",".join([*line.split(",")[:2], "red" if n % 2 else "blue", line[-1]]) for n, line in enumerate(text)
    ]
    (folder / "kinds.csv").write_text("\n".join(["a,b,c,kind", *rows[1:]]))
    with pytest.raises(ModelError, match="'c' was number, is category"):
        begin(first, config(folder / "kinds.csv", "classification", MLP), folder / "runs")


def test_a_column_keeps_its_kind_where_few_of_its_numbers_look_like_categories(
    first: Run, folder: Path
) -> None:
    text = (folder / "first.csv").read_text().splitlines()
    rows = [",".join([*line.split(",")[:2], str(n % 2), line[-1]]) for n, line in enumerate(text[1:])]
    (folder / "few.csv").write_text("\n".join(["a,b,c,kind", *rows]))
    run = begin(first, config(folder / "few.csv", "classification", MLP), folder / "runs")
    assert state(run)["inputs"] == state(first)["inputs"]


def test_an_amount_keeps_its_scale(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    X = draw.normal(size=(80, 3))
    one, two = arrays(X, 3 * X[:, 0] + 0.5), arrays(X, 300 * X[:, 0] + 50.5)
    begun = runner.train(config("arrays", "regression", MLP), runs=tmp_path, dataset=one)
    run = begin(begun, config("arrays", "regression", MLP), tmp_path, two)
    assert state(run)["target"] == state(begun)["target"]


def test_a_series_keeps_the_scales_of_its_channels_and_refuses_others(tmp_path: Path) -> None:
    def written(name: str, columns: str, scale: float) -> Path:
        rows = [
            f"{row}," + ",".join(f"{scale * np.sin(row / 5 + n):.4f}" for n in range(2)) for row in range(200)
        ]
        (tmp_path / name).write_text("\n".join([f"t,{columns}", *rows]))
        return tmp_path / name

    cut = {"data.series.window": 12, "data.series.horizon": 4, "data.series.time": "t"}
    model = {"name": "nlinear"}
    begun = runner.train(
        config(written("a.csv", "p,q", 1.0), "forecasting", model, **cut), runs=tmp_path / "r"
    )
    run = begin(begun, config(written("b.csv", "p,q", 9.0), "forecasting", model, **cut), tmp_path / "r")
    assert state(run)["inputs"]["std"] == state(begun)["inputs"]["std"]
    with pytest.raises(ModelError, match="channels: 'p', 'q', now 'p', 'x'"):
        begin(begun, config(written("c.csv", "p,x", 1.0), "forecasting", model, **cut), tmp_path / "r")
    longer = config(tmp_path / "b.csv", "forecasting", model, **cut).patch({"data.series.window": 20})
    with pytest.raises(ModelError, match=r"series.window: 12, now 20"):
        begin(begun, longer, tmp_path / "r")


def test_pairs_of_texts_keep_both_vocabularies(tmp_path: Path) -> None:
    def pairs(name: str, words: str) -> Path:
        lines = [f"{a} {b},{b} {a}" for a in words.split() for b in words.split()]
        (tmp_path / name).write_text("\n".join(["de,en", *lines]))
        return tmp_path / name

    settings = {"data.target": "en", "data.columns": {"de": "text", "en": "text"}, "data.text.max_seq_len": 8}
    model = {"name": "seq2seq", "options": {"embed_dim": 16, "num_layers": 1, "num_heads": 2}}
    one = config(pairs("a.csv", "red green blue gold pink"), "seq2seq", model, **settings)
    two = config(pairs("b.csv", "tin red iron gold zinc"), "seq2seq", model, **settings)
    begun = runner.train(one.patch(NOTHING_LEARNED), runs=tmp_path / "runs")
    run = begin(begun, two, tmp_path / "runs")
    assert state(run)["inputs"]["tokenizer"] == state(begun)["inputs"]["tokenizer"]
    assert state(run)["target"]["tokens"] == state(begun)["target"]["tokens"]
