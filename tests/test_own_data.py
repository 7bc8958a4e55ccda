"""A user's own data: `inspect`, then `train` with the unedited config, then `predict`."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_diabetes, load_digits


def pellucid(folder, *words):
    command = [sys.executable, "-m", "pellucid", *map(str, words)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def inspect_and_train(folder, data, *more):
    seen = pellucid(folder, "inspect", data, *more)
    assert "Wrote config.yaml" in seen
    return seen, json.loads(pellucid(folder, "train", "config.yaml", "--json"))


def passengers(count=600, seed=0):
    """A table like the Titanic's: numbers, categories, a flag, dates, text, and holes."""
    chance = np.random.default_rng(seed)
    sex, fare_class = chance.choice(["male", "female"], count), chance.choice([1, 2, 3], count)
    age = chance.uniform(1, 70, count).round(1)
    odds = 1.5 * (sex == "female") - 0.6 * (fare_class - 2) - 0.02 * (age - 30) - 0.7
    return pd.DataFrame(
        {
            "passenger_id": np.arange(count) + 1,
            "class": fare_class,
            "name": [
                f"Passenger {chance.choice(['Smith', 'Braund', 'Futrelle'])}, {number}"
                for number in range(count)
            ],
            "sex": sex,
            "age": np.where(chance.random(count) < 0.2, np.nan, age),
            "fare": chance.gamma(2, 15, count).round(2),
            "alone": chance.random(count) < 0.5,
            "boarded": pd.to_datetime("1912-04-10") + pd.to_timedelta(chance.integers(0, 3, count), "D"),
            "embarked": chance.choice(["S", "C", "Q", None], count, p=[0.7, 0.18, 0.1, 0.02]),
            "survived": (chance.random(count) < 1 / (1 + np.exp(-2 * odds))).astype(int),
        }
    )


def test_a_mixed_csv(tmp_path):
    frame = passengers()
    frame.to_csv(tmp_path / "passengers.csv", index=False)
    seen, result = inspect_and_train(tmp_path, "passengers.csv", "--target", "survived")
    for words in ("age", "missing", "sex", "boarded", "date", "survived"):
        assert words in seen
    assert result["metrics"]["test/accuracy"] > result["baselines"]["prior"]["test/accuracy"]
    frame.drop(columns="survived").head(5).to_csv(tmp_path / "new.csv", index=False)
    rows = json.loads(pellucid(tmp_path, "predict", result["run"], "new.csv", "--json"))["predictions"]
    assert len(rows) == 5
    assert {row["prediction"] for row in rows} <= {0, 1}


def test_a_parquet_with_numbers_to_predict(tmp_path):
    frame = load_diabetes(as_frame=True).frame
    frame.to_parquet(tmp_path / "diabetes.parquet")
    seen, result = inspect_and_train(tmp_path, "diabetes.parquet")
    assert "regression" in seen
    assert result["metrics"]["test/r2"] > 0.2
    assert 20 < result["metrics"]["test/mae"] < 70  # in the target's own units
    assert 20 < result["baselines"]["linear"]["test/mae"] < 70


@pytest.fixture(scope="module")
def digit_images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    pixels, labels = load_digits(return_X_y=True)
    for number, (row, label) in enumerate(zip(pixels[:500], labels[:500], strict=True)):
        place = folder / "digits" / f"number {label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((row.reshape(8, 8) * 15.9).astype(np.uint8)).resize((16, 16)).save(
            place / f"{number}.png"
        )
    return folder


def test_an_image_folder(digit_images):
    seen, result = inspect_and_train(digit_images, "digits")
    assert "16 x 16" in seen
    assert result["metrics"]["test/accuracy"] > 0.7
    one = next((digit_images / "digits" / "number 3").glob("*.png"))
    rows = json.loads(pellucid(digit_images, "predict", result["run"], one, "--json"))["predictions"]
    assert rows[0]["prediction"].startswith("number ")


def test_bad_images_are_refused_or_left_out_and_listed(digit_images):
    bad = digit_images / "digits" / "number 3" / "broken.png"
    bad.write_bytes(b"")
    try:
        command = [sys.executable, "-m", "pellucid", "train", "digits", "--epochs", "1"]
        refused = subprocess.run(command, cwd=digit_images, capture_output=True, text=True, check=False)
        assert refused.returncode == 3
        assert "broken.png" in refused.stderr
        result = json.loads(
            pellucid(digit_images, "train", "digits", "--epochs", "1", "--skip-bad", "--json")
        )
        facts = json.loads((digit_images / result["run"] / "run.json").read_text())
        assert len(facts["dataset"]["skipped"]) == 1
        assert "broken.png" in facts["dataset"]["skipped"][0]
    finally:
        bad.unlink()
