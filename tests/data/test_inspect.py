"""Inspection: its counts, its warnings, and a config that trains."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from pellucid.config import Config, DataConfig
from pellucid.data import inspect as inspection
from pellucid.data.inspect import describe, inspect_data, inspect_dataset, suggest_config
from pellucid.data.sources.arrays import arrays
from pellucid.data.sources.open_source import open_data
from pellucid.data.split import split


def seen(found) -> str:
    return "\n".join(warned.seen for warned in found.warnings)


def test_inspecting_a_table(titanic):
    found = inspect_data(DataConfig(source=str(titanic)))
    assert found.rows == {"train": 240, "validation": 30, "test": 30}
    facts = {column.name: column for column in found.columns}
    assert facts["Pclass"].range == ("1", "3")
    assert facts["Pclass"].distinct == 3
    assert facts["Age"].missing > 20
    assert {name for name, _ in facts["Embarked"].common} == {"S", "C", "Q"}
    assert sum(found.classes["train"].values()) == 240
    assert "Cabin" in seen(found)
    json.dumps(found.to_dict())
    assert any("Survived" in line for line in describe(found))


def test_suggested_config_trains_on_the_same_data(titanic):
    data = DataConfig(source=str(titanic), split_seed=3)
    found = inspect_data(data)
    config = Config.parse(yaml.safe_load(found.config))
    assert config.data == data
    assert config.model.name == "mlp"
    assert config.objective.name == "classification"
    assert open_data(config.data).fingerprint == open_data(data).fingerprint


def test_inspecting_images(pets):
    found = inspect_data(DataConfig(source=str(pets)))
    assert found.columns[0].note == "8 x 6; L"
    config = suggest_config(open_data(DataConfig(source=str(pets))))
    assert config.model.name == "cnn"
    assert config.train.early_stopping is not None


def test_suggested_config_resizes_large_images(tmp_path, picture):
    for label in "ab":
        for index in range(5):
            picture(tmp_path / label / f"{index}.png", size=(200, 100), mode="RGB")
    assert suggest_config(open_data(DataConfig(source=str(tmp_path)))).data.image_size == 64


def test_leaks_and_duplicates_are_found():
    X = np.random.default_rng(0).normal(size=(100, 3))
    y = np.arange(100) % 2
    dataset = split(arrays(np.vstack([X, X[:7]]), np.append(y, y[:7]), test=(X[:10], y[:10])))
    found = inspect_dataset(dataset)
    assert found.leaks["test"] >= 8
    assert found.leaks["validation"] == 0
    assert "also in train" in seen(found)
    assert found.copies["train"] + found.copies["validation"] == 7


@pytest.mark.parametrize("kind", ["copy", "scaled", "text"])
def test_a_column_that_reveals_the_target_is_found(kind, write):
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 200)
    told = {
        "copy": y,
        "scaled": y * 3.5 + random.normal(size=200) * 1e-3,
        "text": np.array(["no", "maybe"])[y],
    }[kind]
    rows = "".join(f"{random.normal():.3f},{a},{b}\n" for a, b in zip(told, y, strict=True))
    found = inspect_data(DataConfig(source=str(write("noise,told,y\n" + rows))))
    assert "'told' predicts the target by itself" in seen(found)
    assert "'noise'" not in seen(found)


def test_a_copy_of_a_numeric_target_is_found():
    y = np.random.default_rng(0).normal(size=300)
    X = np.stack([np.random.default_rng(1).normal(size=300), 2 * y + 1], axis=1)
    found = inspect_dataset(split(arrays(X, y, names=["fair", "told"])))
    assert "'told' predicts the target by itself" in seen(found)
    assert "'fair'" not in seen(found)


def test_imbalanced_classes_are_found():
    y = np.array([0] * 190 + [1] * 10)
    found = inspect_dataset(split(arrays(np.random.default_rng(0).normal(size=(200, 2)), y)))
    assert "Classes are uneven: '0' has 152 of 160" in seen(found)


def test_balanced_data_has_no_warnings():
    X = np.random.default_rng(0).normal(size=(2000, 4))
    found = inspect_dataset(
        split(arrays(X, (X[:, 0] + np.random.default_rng(1).normal(size=2000) > 0).astype(int)))
    )
    assert found.warnings == ()


def test_large_tables_are_sampled(monkeypatch):
    monkeypatch.setattr(inspection, "SAMPLE", 100)
    X = np.random.default_rng(0).normal(size=(1000, 2))
    found = inspect_dataset(split(arrays(X, np.arange(1000) % 2)))
    assert found.sampled == 100
    assert found.rows["train"] == 800
