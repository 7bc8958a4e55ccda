"""The limit of anomaly scores: by value, by rate of false alarms, by examples; and heat maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score, roc_curve

import pellucid
from pellucid.errors import BadDataError, UsageError
from pellucid.tasks.anomaly.reconstruction_score import (
    best_threshold,
    error_map,
    reconstruction_score,
    threshold,
)

SETTINGS = {
    "objective.name": "anomaly",
    "objective.options.normal": "good",
    "model.size": "tiny",
    "train.batch_size": 8,
}


def part(rng: np.random.Generator, *, scratched: bool) -> Image.Image:
    """A disc with some noise; a bright scratch at the top left is an anomaly."""
    y, x = np.mgrid[:20, :30]
    image = np.where((y - 10) ** 2 + (x - 15) ** 2 < 50, 150, 60) + rng.normal(0, 3, (20, 30))
    if scratched:
        image[2:6, 3:9] = 255
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("parts"), np.random.default_rng(0)
    for name, count in (("good", 60), ("scratch", 20)):
        (root / "data" / name).mkdir(parents=True)
        for number in range(count):
            part(rng, scratched=name != "good").save(root / "data" / name / f"p{number}.png")
    return root


@pytest.fixture(scope="module")
def run(folder: Path) -> pellucid.Run:
    data = str(folder / "data")
    return pellucid.fit(
        "autoencoder", data, epochs=15, progress=False, settings=SETTINGS, runs=folder / "runs"
    )


def verdicts(run: pellucid.Run, source: Path, **options: Any) -> tuple[list[bool], list[float], float]:
    rows = [row["prediction"] for row in run.predict(str(source), **options).rows()]
    return [row["verdict"] == "anomaly" for row in rows], [row["score"] for row in rows], rows[0]["limit"]


def test_the_limit_is_set_by_value(run: pellucid.Run, folder: Path) -> None:
    _, scores, _ = verdicts(run, folder / "data" / "good")
    middle = sorted(scores)[len(scores) // 2]
    found, _, limit = verdicts(run, folder / "data" / "good", limit=middle)
    assert limit == middle
    assert found == [score > middle for score in scores]


def test_the_limit_is_set_by_the_rate_of_false_alarms(run: pellucid.Run, folder: Path) -> None:
    limits = [verdicts(run, folder / "data" / "good", false_alarm_rate=rate)[2] for rate in (0.01, 0.3, 0.6)]
    assert limits == sorted(limits, reverse=True)
    assert limits[0] > limits[2]
    for wrong in (0, 1, 5):
        with pytest.raises(UsageError, match="above 0 and below 1"):
            run.predict(str(folder / "data" / "good"), false_alarm_rate=wrong)
    with pytest.raises(UsageError, match="one way"):
        run.predict(str(folder / "data" / "good"), false_alarm_rate=0.1, limit=1)


def test_the_limit_is_set_by_examples(run: pellucid.Run, folder: Path) -> None:
    good, _, limit = verdicts(run, folder / "data" / "good", examples=str(folder / "data"))
    bad, _, same = verdicts(run, folder / "data" / "scratch", examples=str(folder / "data"))
    assert limit == same
    assert sum(good) <= 1
    assert sum(bad) >= 19
    with pytest.raises(BadDataError, match="normal examples in good/"):
        run.predict(str(folder / "data" / "good"), examples=str(folder / "data" / "good"))


def test_the_limit_is_set_for_training(folder: Path) -> None:
    for options in ({"limit": 0.25}, {"examples": str(folder / "data")}, {"false_alarm_rate": 0.5}):
        settings = {**SETTINGS, **{f"objective.options.{name}": value for name, value in options.items()}}
        run = pellucid.fit(
            "autoencoder",
            str(folder / "data"),
            epochs=1,
            progress=False,
            settings=settings,
            runs=folder / "more",
        )
        limit = verdicts(run, folder / "data" / "good")[2]
        assert limit > 0
        assert limit == 0.25 or "limit" not in options


def test_auroc_is_that_of_scikit_learn(run: pellucid.Run, folder: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(run.path / "evaluation" / "test.parquet").to_pydict()
    strange = [target != 0 for target in table["target"]]  # good is the first class
    assert run.metrics["test/auroc"] == pytest.approx(roc_auc_score(strange, table["score"]), abs=5e-5)


def test_the_best_limit_is_that_of_the_roc_curve() -> None:
    generator = torch.Generator().manual_seed(0)
    normal, strange = torch.randn(50, generator=generator), 1.5 + torch.randn(30, generator=generator)
    limit, found, alarms = best_threshold(normal, strange)
    rates = roc_curve([0] * 50 + [1] * 30, torch.cat([normal, strange]))
    assert found - alarms == pytest.approx((rates[1] - rates[0]).max())
    assert found == (strange > limit).double().mean()


def test_rates_of_false_alarms_count_as_in_conformal_prediction() -> None:
    scores = torch.arange(1, 101).float()
    assert [threshold(scores, rate) for rate in (0.05, 0.1, 0.5, 0.99)] == [96, 91, 51, 2]


def test_heat_maps_show_where(run: pellucid.Run, folder: Path) -> None:
    made: Any = run.predict(str(folder / "data" / "scratch"), folder=str(folder / "maps"))
    assert made.maps.shape == (20, 20, 30)
    inside = made.maps[:, 2:6, 3:9].mean()
    assert inside > 5 * made.maps.mean()
    picture = np.asarray(Image.open(made.paths[0])).astype(int)
    assert picture.shape == (20, 30, 3)
    red = picture[..., 0] - picture[..., 2]
    assert red[3:5, 4:8].mean() > 100 > red[12:].mean() + 50
    assert made.rows()[0]["heat_map"] == str(made.paths[0])


def test_an_error_map_has_the_mean_that_the_score_is_made_of() -> None:
    images, restored = torch.rand(2, 3, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    flat = torch.zeros_like(images)
    ratio = error_map(images, restored).mean((1, 2)) / reconstruction_score(images, restored)
    other = error_map(images, flat).mean((1, 2)) / reconstruction_score(images, flat)
    torch.testing.assert_close(ratio, other)


def test_ten_good_parts_and_one_scratched_one_are_enough(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name, count in (("good", 10), ("scratch", 1)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(count):
            part(rng, scratched=name != "good").save(tmp_path / "data" / name / f"{number}.png")
    settings = {name: value for name, value in SETTINGS.items() if "normal" not in name}
    data, runs = str(tmp_path / "data"), tmp_path / "runs"
    run = pellucid.fit("autoencoder", data, epochs=2, progress=False, settings=settings, runs=runs)
    assert 0 <= run.metrics["test/auroc"] <= 1
    assert run.facts["dataset"]["splits"]["train"]["rows"] >= 7


def test_only_good_parts_are_enough(tmp_path: Path, folder: Path) -> None:
    settings = {name: value for name, value in SETTINGS.items() if "normal" not in name}
    X = np.stack([np.asarray(Image.open(path)) for path in sorted((folder / "data" / "good").iterdir())])
    run = pellucid.fit(
        "autoencoder", pellucid.arrays(X), epochs=2, progress=False, settings=settings, runs=tmp_path
    )
    assert 0 <= run.metrics["test/false_alarms"] <= 1
    rows = run.predict(X[:3], false_alarm_rate=0.2).rows()
    assert {row["prediction"]["verdict"] for row in rows} <= {"normal", "anomaly"}
