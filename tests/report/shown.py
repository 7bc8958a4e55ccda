"""Run folders for the report: every kind of block, on real digits, and a finished run of any task."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from pellucid.config import Config
from pellucid.record import Run, files

INPUTS, TARGETS = load_digits(return_X_y=True)


def grid(images: np.ndarray, columns: int, side: int = 8) -> bytes:
    """PNG bytes of images (N, 64) in rows and columns, two transparent pixels apart."""
    rows = -(-len(images) // columns)
    canvas = np.zeros((rows * (side + 2) - 2, columns * (side + 2) - 2, 2), np.uint8)
    for i, image in enumerate(images):
        top, left = (i // columns) * (side + 2), (i % columns) * (side + 2)
        pixels = np.kron(image.reshape(8, 8) * 15.9, np.ones((side // 8, side // 8))).clip(0, 255)
        canvas[top : top + side, left : left + side] = np.stack([pixels, np.full_like(pixels, 255)], 2)
    buffer = io.BytesIO()
    Image.fromarray(canvas, "LA").save(buffer, "PNG")
    return buffer.getvalue()


def spoiled(images: np.ndarray, share: float) -> np.ndarray:
    """Images, the given share of each replaced by noise."""
    noise = np.random.default_rng(0).uniform(0, 16, images.shape)
    return (1 - share) * images + share * noise


def picture(run: Run, name: str, data: bytes) -> str:
    files.write(run.path / "samples" / name, data)
    return f"samples/{name}"


def every_block(run: Run) -> list[dict[str, Any]]:
    """One block of each kind, with its pictures in the run folder."""
    frames = [
        {
            "label": f"epoch {i}" if i else "untrained",
            "file": picture(run, f"epoch-{i:03d}.png", grid(spoiled(INPUTS[:40], 1 - i / 8), 20)),
        }
        for i in range(9)
    ]
    plane = PCA(2, random_state=0).fit_transform(INPUTS)[:900].round(3)
    hours = list(range(1, 49))
    truth = [float(10 + 3 * np.sin(h / 4) + h / 20) for h in hours]
    forecast = [float(10 + 2.6 * np.sin(h / 4 - 0.1) + h / 22) for h in hours]
    words = ["not", "a", "bad", "film", ",", "its", "ending", "is", "a", "quiet", "wonder", "."]
    weights = [-0.4, 0.0, -0.9, 0.05, 0, 0, 0.1, 0, 0, 0.2, 1.1, 0]
    sentence = ["the", "agreement", "on", "the", "zone", "was", "signed", "."]
    german = ["das", "Abkommen", "über", "die", "Zone", "wurde", "unterzeichnet", "."]
    centers = np.abs(np.arange(8)[:, None] - np.arange(8)[None])
    attention = np.exp(-(centers**2))
    return [
        {
            "kind": "picture",
            "title": "New images",
            "caption": "Forty draws from the prior, decoded.",
            "file": picture(run, "test-samples.png", grid(INPUTS[:40], 20)),
        },
        {
            "kind": "snapshots",
            "title": "Images while it learns",
            "caption": "The same forty draws of noise, turned into images after every epoch.",
            "frames": frames,
        },
        {
            "kind": "texts",
            "title": "Texts it wrote",
            "caption": "Each begins with the words given and goes on at temperature 0.8.",
            "rows": [
                {
                    "label": "prompt: ROMEO:",
                    "text": "ROMEO:\nO, she doth teach the torches to burn bright!\nIt seems she hangs.",
                    "note": "1.21 nats a token",
                },
                {
                    "label": "prompt: The",
                    "text": "The king is in his " + "very " * 30 + "grave.",
                    "note": "",
                },
                {"text": "a-word-that-has-no-end" * 12, "note": "no label"},
            ],
        },
        {
            "kind": "tokens",
            "title": "Why it decided so",
            "caption": "How much each word moves the logit of the answer: for it, or against it.",
            "rows": [
                {
                    "tokens": words,
                    "weights": weights,
                    "label": "says positive",
                    "note": "97.2 % sure",
                },
                {
                    "tokens": ["▁The", "▁end", "ing", "▁is", "▁dull", "\n", "▁I", "▁left", "."],
                    "weights": [0.1, 0.3, 0.2, 0, -1.3, 0, 0, -0.5, 0],
                    "label": "says positive, is negative",
                    "note": "61 % sure, row 40",
                },
            ],
        },
        {
            "kind": "heatmap",
            "title": "Attention of the last layer",
            "caption": "Each row is a word that was written; brighter is more attention to the word above.",
            "rows": german,
            "columns": sentence,
            "values": (attention / attention.sum(1, keepdims=True)).round(4).tolist(),
        },
        {
            "kind": "heatmap",
            "title": "Attention over forty tokens",
            "caption": "Attention of one head.",
            "rows": [f"token {i}" for i in range(40)],
            "columns": [f"token {i}" for i in range(40)],
            "values": [[round(1 / (1 + abs(i - j)), 4) for j in range(40)] for i in range(40)],
        },
        {
            "kind": "scatter",
            "title": "The latent space",
            "caption": "Every point is an image of the held-out split, one color a class.",
            "x_label": "z1",
            "y_label": "z2",
            "groups": [
                {"name": str(digit), "points": plane[TARGETS[:900] == digit].tolist()} for digit in range(10)
            ],
        },
        {
            "kind": "lines",
            "title": "Oil temperature: a typical window",
            "caption": "48 hours, forecast from the 96 before; the band holds 90 % of the errors.",
            "x_label": "hours from the last known row",
            "y_label": "°C",
            "series": [
                {"name": "known", "x": list(range(-23, 1)), "y": [float(10 + np.sin(h)) for h in range(24)]},
                {"name": "truth", "x": hours, "y": truth},
                {
                    "name": "forecast",
                    "x": hours,
                    "y": forecast,
                    "low": [value - 1 - h / 30 for h, value in zip(hours, forecast, strict=True)],
                    "high": [value + 1 + h / 30 for h, value in zip(hours, forecast, strict=True)],
                },
            ],
        },
        {
            "kind": "table",
            "title": "Channel by channel",
            "caption": "Mean squared error of each channel.",
            "columns": ["channel", "forecast", "last value", "what it is"],
            "rows": [["HUFL", 0.312, 0.801, "high useful load"], ["OT", 0.0551, 0.0987, "oil temperature"]],
        },
    ]


def write_evaluation(run: Run, blocks: list[Any], split: str = "test", **summary: Any) -> None:
    facts = {"split": split, "rows": 400, "metrics": {}, **summary, "blocks": blocks}
    files.write_json(run.path / "evaluation" / f"{split}.json", facts)


def task_run(
    root: Path,
    task: str,
    metrics: dict[str, float],
    baselines: dict[str, dict[str, float]],
    epochs: list[dict[str, float]],
    *,
    kind: str = "image",
    settings: dict[str, Any] | None = None,
    **facts: Any,
) -> Run:
    """A finished run of a task, with the given numbers."""
    config = Config.parse({"name": task, "objective": {"name": task}}).patch(settings or {})
    run = Run.create(root, task, config.to_yaml())
    with run.writing():
        for epoch, values in enumerate(epochs, start=1):
            run.store.metrics(epoch * 100, {"epoch": epoch, "epoch_seconds": 1.0, **values})
    sizes = {"train": 4000, "test": 400}
    splits = {name: {"rows": rows, "fingerprint": "0" * 32} for name, rows in sizes.items()}
    run.update(
        status="finished",
        task=task,
        seed=0,
        dataset={
            "name": "data",
            "task": None,
            "target": None,
            "classes": [],
            "input_shape": [1, 8, 8],
            "inputs": [{"name": kind, "kind": kind}],
            "splits": splits,
            "source": {"name": "data", "kind": "mirror"},
        },
        model={"name": task, "size": "small", "options": {}, "parameters": 123_456, "layers": []},
        metrics=metrics,
        baselines=baselines,
        seconds={"training": 12.0, "total": 15.0},
        stop_reason=f"all {len(epochs)} epochs are done",
        **facts,
    )
    return run
