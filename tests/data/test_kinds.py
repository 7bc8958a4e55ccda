"""A new kind of column and a new target are one file each: read, trained on, predicted and restored."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

import pellucid
from pellucid.config import Config, DataConfig
from pellucid.data import kinds, preview, schema, targets
from pellucid.data.dataset import Column
from pellucid.data.inspect import inspect_data
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources.arrays import arrays
from pellucid.data.sources.open_source import open_data
from pellucid.data.split import split
from pellucid.errors import BadDataError, UnknownNameError

FILE = re.compile(r"^```python title=\"(\w+\.py)\"\n(.*?)^```", re.DOTALL | re.MULTILINE)
GUIDES = Path(__file__).parents[2] / "docs" / "guides"


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds.REGISTRY, "_added", {})
    monkeypatch.setattr(targets.REGISTRY, "_added", {})


@pytest.fixture
def new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Put the file of a guide into a folder that the package also looks into."""

    def add(package, guide: str) -> None:
        text = (GUIDES / guide).read_text(encoding="utf-8")
        ((name, code),) = re.findall(
            r"```python title=\"(\w+\.py)\"\n(.*?)^```", text, re.DOTALL | re.MULTILINE
        )
        (tmp_path / name).write_text(code, encoding="utf-8")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        importlib.invalidate_caches()
        package.REGISTRY._found = None

    yield add
    for package in (kinds, targets):
        package.REGISTRY._found = None
    for name in ("pellucid.data.kinds.color", "pellucid.data.targets.log_numbers"):
        sys.modules.pop(name, None)


def paint(write) -> Path:
    """Colors, of which the warm ones have more red than blue."""
    colors = np.random.default_rng(0).integers(0, 256, (200, 3))
    lines = [f"#{r:02x}{g:02x}{b:02x},{'yes' if r > b else 'no'}" for r, g, b in colors.tolist()]
    return write("paint,warm\n" + "\n".join(lines) + "\n", "paint.csv")


def test_a_new_kind_is_one_file(new_file, write, tmp_path):
    path = paint(write)
    with pytest.raises(BadDataError, match="every value differs"):
        pellucid.csv(path)
    new_file(kinds, "add-a-column-kind.md")
    dataset = open_data(DataConfig(source=str(path)))
    assert (dataset.column("paint").kind, dataset.column("paint").reason) == (
        "color",
        "colors in hexadecimal",
    )

    run = pellucid.fit("mlp", str(path), epochs=20, lr=0.02, runs=tmp_path / "runs", progress=False)
    assert run.metrics["test/accuracy"] > 0.8
    again = pellucid.Run(run.path)
    assert again.predict({"paint": ["#ff0000", "#0000ff"]}).labels == ["yes", "no"]
    with pytest.raises(BadDataError, match="row 2, column 'paint': expected a color such as #ff8800"):
        again.predict({"paint": ["#ff0000", "red"]})

    state = json.loads((run.path / "preprocess.json").read_text())
    restored = Preprocess.from_state(state)
    assert restored.feature_names == ("paint red", "paint green", "paint blue")
    assert restored.inputs(pa.table({"paint": ["#ff0080", None]}))[0].tolist() == pytest.approx(
        [1, 0, 128 / 255]
    )

    facts = inspect_data(DataConfig(source=str(path)))
    assert facts.columns[0].kind == "color"
    assert preview.line(dataset.splits["train"], dataset.inputs, 0).startswith("paint=#")


def test_a_new_target_is_one_file(new_file, write, tmp_path):
    random = np.random.default_rng(0)
    x = random.uniform(0, 5, 300)
    path = write("x,price\n" + "".join(f"{a:.4f},{10**a:.4f}\n" for a in x), "prices.csv")
    asked = {"data.target": "price", "data.columns": {"price": "log_numbers"}}
    with pytest.raises(UnknownNameError, match="log_numbers"):
        open_data(Config().patch({"data.source": str(path), **asked}).data)
    new_file(targets, "add-a-target.md")

    run = pellucid.fit(
        "mlp",
        str(path),
        objective="regression",
        epochs=40,
        lr=0.02,
        runs=tmp_path / "runs",
        progress=False,
        settings=asked,
    )
    low, high = np.ravel(pellucid.Run(run.path).predict({"x": [1.0, 4.0]}).outputs)
    assert 10 / 2 < low < 10 * 2
    assert 1e4 / 2 < high < 1e4 * 2

    restored = Preprocess.from_state(json.loads((run.path / "preprocess.json").read_text()))
    assert restored.task == "regression"
    prices = restored.untarget(restored.targets(pa.table({"price": [3.0, 4000.0]})))
    assert prices.tolist() == pytest.approx([3.0, 4000.0], rel=1e-4)

    bad = write("x,price\n" + "1,2\n2,3\n3,-4\n" * 9, "negative.csv")
    with pytest.raises(
        BadDataError, match=r"line 4, column 'price': expected a number above 0, received '-4'"
    ):
        open_data(Config().patch({"data.source": str(bad), **asked}).data)


def test_a_kind_that_does_not_exist_is_named_with_the_nearest(write):
    config = DataConfig(source=str(write("a,y\n" + "1,u\n2,v\n" * 9)), columns={"a": "nmber"})
    with pytest.raises(UnknownNameError, match=r"no kind of column named 'nmber'\. Did you mean 'number'"):
        open_data(config)


def test_every_kind_in_a_file_is_registered():
    assert [kind.name for kind in kinds.all_kinds()] == [
        *("image", "number", "date", "boolean", "text", "category", "tensor", "tokens")
    ]
    assert [target.name for target in targets.all_targets()] == [
        *("step_classes", "step_numbers", "tags", "tokens", "labels", "classes", "numbers")
    ]


def test_a_registered_kind_is_tried_and_can_be_removed():
    number = kinds.find("number")
    seen = []
    kinds.register(kinds.Kind(**{**vars(number), "name": "first", "order": 1, "infer": seen.append}))
    try:
        assert schema.read_column("x", pa.chunked_array([[1.0, 2.0]])).kind == "number"
        assert len(seen) == 1
    finally:
        kinds.unregister("first")
    with pytest.raises(UnknownNameError):
        kinds.find("first")


@pytest.mark.parametrize(
    ("y", "name", "names"),
    [
        (np.arange(30) % 3, "classes", ["0", "1", "2"]),
        (np.tril(np.ones((3, 3)))[np.arange(30) % 3], "labels", [("0",), ("0", "1"), ("0", "1", "2")]),
        (np.arange(30) * 1.5, "numbers", [0.0, 1.5, 3.0]),
        (np.arange(60.0).reshape(30, 2), "numbers", [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]),
    ],
)
def test_every_target_is_inverted_and_restored(y, name, names):
    dataset = arrays(np.arange(90.0).reshape(30, 3), y)
    fitted = Preprocess.fit(dataset)
    restored = Preprocess.from_state(json.loads(json.dumps(fitted.state())))
    assert restored == fitted
    assert restored.target is not None
    assert restored.target.name == name
    encoded = fitted.targets(dataset.splits["train"])
    assert torch.equal(restored.targets(dataset.splits["train"]), encoded)
    inverted = restored.untarget(encoded[:3])
    found = inverted.tolist() if isinstance(inverted, torch.Tensor) else inverted
    assert found == (pytest.approx(np.array(names), abs=1e-4) if name == "numbers" else names)


def test_preprocess_of_version_1_is_read():
    numbers = {
        "version": 1,
        "task": "regression",
        "columns": [{"name": "x", "kind": "number", "categories": [], "reason": ""}],
        "target": {"name": "y", "kind": "number", "categories": [], "reason": "numbers with decimals"},
        "inputs": {"kind": "table", "encoders": [{"names": ["x"], "mean": 1.0, "std": 2.0, "median": 0.0}]},
        "mean": [5.0],
        "std": [10.0],
        "notes": [],
        "target_tokens": None,
    }
    fitted = Preprocess.from_state(numbers)
    assert fitted.inputs(pa.table({"x": [5.0]})).tolist() == [[2.0]]
    assert fitted.targets(pa.table({"y": [25.0]})).tolist() == [2.0]
    assert (fitted.task, fitted.num_outputs, fitted.classes) == ("regression", 1, ())


def test_splits_are_balanced_by_the_target():
    dataset = split(arrays(np.arange(200.0)[:, None], np.repeat([0, 1], [180, 20])))
    assert any("stratified by class" in note for note in dataset.notes)
    assert targets.find("classes").counts(
        Column("y", "category", ("0", "1")), dataset.splits["test"]["y"]
    ) == {
        "0": 18,
        "1": 2,
    }
