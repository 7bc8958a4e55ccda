"""Real run folders to report on: small models of scikit-learn's digits and diabetes, written as a run is."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.numpy import save_file
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support
from sklearn.neural_network import MLPClassifier

from pellucid import report
from pellucid.config import Config
from pellucid.record import Run, files

VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """A parsed page: its elements as (tag, attributes), its text, and what is not closed."""

    def __init__(self, html: str):
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        self.text = " ".join(" ".join(self.words).replace("\u00a0", " ").split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def values(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(attribute)) is not None]


def png(digit: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray((digit.reshape(8, 8) * 15).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_examples(folder: Path, columns: dict[str, np.ndarray], images: list, texts: list) -> None:
    extra = {"image": pa.array(images, pa.binary()), "text": pa.array(texts, pa.string())}
    pq.write_table(pa.table({**columns, **extra}), folder / "test-examples.parquet")


def write_classification(
    run: Run, probs: np.ndarray, targets: np.ndarray, inputs: np.ndarray
) -> dict[str, float]:
    """Write the evaluation of the test split and return its metrics."""
    classes = [str(i) for i in range(10)]
    confidence, predicted = probs.max(1), probs.argmax(1)
    losses = -np.log(np.maximum(probs[np.arange(len(targets)), targets], 1e-9))
    metrics = {"accuracy": float((predicted == targets).mean()), "loss": float(losses.mean())}
    scores = zip(*precision_recall_fscore_support(targets, predicted, zero_division=0), strict=True)
    folder = run.path / "evaluation"
    folder.mkdir()
    files.write_json(
        folder / "test.json",
        {
            "split": "test",
            "rows": len(targets),
            "metrics": metrics,
            "classes": classes,
            "confusion": confusion_matrix(targets, predicted).tolist(),
            "per_class": [
                {"name": str(i), "precision": p, "recall": r, "f1": f, "support": int(s)}
                for i, (p, r, f, s) in enumerate(scores)
            ],
            "calibration": calibration(confidence, predicted == targets),
        },
    )
    columns = {
        "row": np.arange(len(targets)),
        "target": targets,
        "prediction": predicted,
        "confidence": confidence,
        "loss": losses,
    }
    kept = np.flatnonzero((predicted != targets) | (np.arange(len(targets)) % 7 == 0))
    write_examples(
        folder, {k: v[kept] for k, v in columns.items()}, [png(inputs[i]) for i in kept], [None] * len(kept)
    )
    return {f"test/{key}": value for key, value in metrics.items()}


def calibration(confidence: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    edges = np.linspace(0, 1, 11)
    which = np.clip(np.digitize(confidence, edges[1:-1]), 0, 9)
    bins, ece = [], 0.0
    for i in range(10):
        inside = which == i
        count = int(inside.sum())
        mean = float(confidence[inside].mean()) if count else None
        accuracy = float(right[inside].mean()) if count else None
        bins.append(
            {"low": edges[i], "high": edges[i + 1], "confidence": mean, "accuracy": accuracy, "count": count}
        )
        ece += abs((mean or 0) - (accuracy or 0)) * count / len(right)
    return {"ece": ece, "bins": bins}


def dataset_facts(
    task: str, target: str, shape: list[int], inputs: list[dict], rows: tuple[int, int, int]
) -> dict:
    names = zip(("train", "validation", "test"), rows, strict=True)
    return {
        "name": "digits",
        "task": task,
        "target": target,
        "classes": [str(i) for i in range(10)] if task == "classification" else [],
        "input_shape": shape,
        "inputs": inputs,
        "splits": {name: {"rows": count, "fingerprint": f"{count:032x}"} for name, count in names},
        "source": {
            "name": "digits",
            "kind": "bundled",
            "licence": "BSD-3-Clause",
            "note": "The bundled digits stand in for MNIST.",
            "looked": ["hub: could not be reached", "bundled: found"],
        },
        "skipped": [],
        "notes": ["values divided by 16"],
    }


@pytest.fixture(scope="session")
def _digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLP on the digits, trained for 8 epochs."""
    inputs, targets = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(targets))
    train, val, test = order[:1200], order[1200:1400], order[1400:]
    run = Run.create(tmp_path_factory.mktemp("runs"), "digits", Config.parse({"name": "digits"}).to_yaml())
    model = MLPClassifier([32], batch_size=32, random_state=0)
    with run.writing(), run.timed("training"):
        for epoch in range(1, 9):
            model.partial_fit(inputs[train], targets[train], classes=range(10))
            values: dict[str, float] = {"epoch": epoch, "epoch_seconds": 0.1}
            for name, rows in (("train", train), ("val", val)):
                probs = model.predict_proba(inputs[rows])
                values[f"{name}/loss"] = float(log_loss(targets[rows], probs, labels=range(10)))
                values[f"{name}/accuracy"] = model.score(inputs[rows], targets[rows])
            run.store.metrics(epoch * 38, values)
            for step in range(epoch * 38 - 37, epoch * 38, 10):
                run.store.metrics(step, {"step/loss": values["train/loss"] * 1.1, "step/lr": 1e-3})
        run.store.event(304, "warning", "One row was odd.")
        metrics = write_classification(run, model.predict_proba(inputs[test]), targets[test], inputs[test])
        linear = LogisticRegression(max_iter=200).fit(inputs[train] / 16, targets[train])
        weights = {"layers.0.weight": np.ascontiguousarray(model.coefs_[0].T, dtype=np.float32)}
        run.checkpoints.save(304, {"model.safetensors": lambda path: save_file(weights, path)}, {})
        run.checkpoints.point("best", 304)
    run.choose("device", "cpu", "no accelerator was found")
    image = [{"name": "image", "kind": "image"}]
    run.update(
        status="finished",
        seed=3,
        summary="A small network on small digits.",
        dataset=dataset_facts("classification", "digit", [1, 8, 8], image, (1200, 200, len(test))),
        model={
            "name": "mlp",
            "size": "tiny",
            "options": {"hidden": [32]},
            "parameters": 2410,
            "layers": [{"name": "layers.0", "type": "Linear", "parameters": 2080}],
        },
        baselines={
            "prior": {"test/accuracy": 0.1, "val/accuracy": 0.1, "val/loss": 2.303},
            "linear": {"test/accuracy": linear.score(inputs[test] / 16, targets[test])},
        },
        metrics={**metrics, "val/loss": 0.2},
        best={"step": 304, "epoch": 8, "metric": "val/loss", "value": 0.2, "mode": "min"},
        seconds={"training": 1.5, "total": 2.5},
        target={"metric": "test/accuracy", "value": 0.8, "on": None},
        target_met=metrics["test/accuracy"] >= 0.8,
        published={"metric": "test/accuracy", "value": 0.983, "source": "Alpaydin and Kaynak, 1998"},
        stop_reason="all 8 epochs are done",
    )
    return run.path


@pytest.fixture(scope="session")
def _diabetes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ridge regression on the diabetes data: no curves, no images, a confidence that is not a number."""
    data = load_diabetes()
    inputs, targets = data.data, data.target
    model = Ridge(0.1).fit(inputs[:300], targets[:300])
    run = Run.create(
        tmp_path_factory.mktemp("runs"), "diabetes", Config.parse({"name": "diabetes"}).to_yaml()
    )
    true, predicted = targets[300:], model.predict(inputs[300:])
    folder = run.path / "evaluation"
    folder.mkdir()
    metrics = {"mae": float(np.abs(true - predicted).mean())}
    scatter = np.stack([true, predicted], 1).tolist()
    files.write_json(
        folder / "test.json", {"split": "test", "rows": len(true), "metrics": metrics, "scatter": scatter}
    )
    worst = np.argsort(-np.abs(true - predicted))[:24]
    columns = {"row": worst, "target": true[worst], "prediction": predicted[worst]}
    columns |= {"confidence": np.full(24, np.nan), "loss": np.square(true - predicted)[worst]}
    write_examples(folder, columns, [None] * 24, [f"bmi {inputs[300 + i, 2]:.3f}" for i in worst])
    weights = {"weight": model.coef_[None].astype(np.float32)}
    run.checkpoints.save(1, {"model.safetensors": lambda path: save_file(weights, path)}, {})
    run.checkpoints.point("best", 1)
    columns_in = [{"name": name, "kind": "number"} for name in data.feature_names]
    run.update(
        status="finished",
        dataset=dataset_facts("regression", "progression", [10], columns_in, (300, 0, len(true))),
        model={
            "name": "linear",
            "parameters": 11,
            "layers": [{"name": "", "type": "Linear", "parameters": 11}],
        },
        metrics={f"test/{key}": value for key, value in metrics.items()},
        baselines={"prior": {"test/mae": float(np.abs(true - targets[:300].mean()).mean())}},
    )
    return run.path


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Run]:
    """Copy a run folder, so that a test may change it."""

    def copy(path: Path) -> Run:
        return Run(shutil.copytree(path, tmp_path / path.name))

    return copy


@pytest.fixture
def digits(_digits: Path, copied: Callable[[Path], Run]) -> Run:
    return copied(_digits)


@pytest.fixture
def diabetes(_diabetes: Path, copied: Callable[[Path], Run]) -> Run:
    return copied(_diabetes)


@pytest.fixture
def page_of() -> Callable[[Run], Page]:
    """Write the report of a run and read it."""
    return lambda run: Page(report.write(run.path).read_text(encoding="utf-8"))


@pytest.fixture
def replace_examples() -> Callable[[Run, dict[str, np.ndarray], list], None]:
    """Replace the examples of a run's evaluation by others with images."""

    def replace(run: Run, columns: dict[str, np.ndarray], images: list) -> None:
        write_examples(run.path / "evaluation", columns, images, [None] * len(images))

    return replace
