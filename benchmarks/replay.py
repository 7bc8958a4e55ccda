"""Replay: 20 random steps of a run of each family, computed again and compared with their recorded losses.

    .venv/bin/python benchmarks/replay.py [FAMILY ...] [--steps 20] [--json FILE]

Every run is small (a few hundred rows and updates, several epochs, with dropout and augmentation where the
family has them) and is opened anew from its folder for each step, so that nothing of training is left in
memory. A step counts as exact where the loss of every phase equals the recorded one to the bit. "On the way"
are the updates between a checkpoint and these steps; their losses are compared, too.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import pellucid
from pellucid import runner
from pellucid.config import Config

# ---- data, as files ------------------------------------------------------------------------------


def pictures(folder: Path, count: int = 240) -> str:
    """Digits of 16 x 16 pixels, in a folder for each class."""
    images, classes = load_digits(return_X_y=True)
    for number in range(count):
        place = folder / "digits" / str(classes[number])
        place.mkdir(parents=True, exist_ok=True)
        pixels = (images[number].reshape(8, 8) * 15.9).astype(np.uint8)
        Image.fromarray(pixels.repeat(2, 0).repeat(2, 1)).save(place / f"{number:04d}.png")
    return str(folder / "digits")


def _sentence(draw: random.Random, words: list[str]) -> str:
    return " ".join(draw.choice(words) for _ in range(draw.randint(4, 9)))


COLD = ["snow", "ice", "frost", "wind", "the", "a", "winter", "coat"]
WARM = ["sun", "sand", "heat", "wave", "the", "a", "summer", "shade"]


def texts(folder: Path) -> str:
    """Sentences of two kinds."""
    draw = random.Random(0)
    rows = [
        (_sentence(draw, kind), name) for _ in range(120) for name, kind in (("cold", COLD), ("warm", WARM))
    ]
    return _write(folder / "texts.csv", ["text", "label"], rows)


def stream(folder: Path) -> str:
    """A text of sentences."""
    draw = random.Random(1)
    path = folder / "story.txt"
    path.write_text("\n".join(_sentence(draw, COLD + WARM) for _ in range(600)), encoding="utf-8")
    return str(path)


def pairs(folder: Path) -> str:
    """Sentences and the same in capitals, backwards."""
    draw = random.Random(2)
    rows = [
        (text, " ".join(reversed(text.upper().split())))
        for text in (_sentence(draw, COLD) for _ in range(200))
    ]
    return _write(folder / "pairs.csv", ["source", "target"], rows)


def table(folder: Path) -> str:
    """Numbers and a category, with a rule and noise."""
    draw = random.Random(3)
    rows: list[tuple[Any, ...]] = []
    for _ in range(400):
        size, price, kind = draw.gauss(0, 1), draw.gauss(0, 1), draw.choice("abc")
        label = "yes" if size * price + (kind == "a") + draw.gauss(0, 0.3) > 0.3 else "no"
        rows.append((round(size, 4), round(price, 4), kind, label))
    return _write(folder / "table.csv", ["size", "price", "kind", "label"], rows)


def series(folder: Path) -> str:
    """A wave by the hour, with noise."""
    draw = random.Random(4)
    start = np.datetime64("2024-01-01T00")
    rows = [(str(start + hour), round(math.sin(hour / 4) + draw.gauss(0, 0.2), 4)) for hour in range(500)]
    return _write(folder / "series.csv", ["time", "value"], rows)


def _write(path: Path, names: list[str], rows: list[Any]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])
    return str(path)


# ---- families ------------------------------------------------------------------------------------

IMAGES = {"shift": 0.1, "rotate": 10}
FAMILIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "mlp": (pictures, {"model.options": {"hidden": [32], "dropout": 0.2}, "data.augment": IMAGES}),
    "mlp, compiled": (
        table,
        {
            "model.name": "mlp",
            "model.options": {"hidden": [32], "dropout": 0.2},
            "train.execution": "compiled",
        },
    ),
    "cnn": (pictures, {"data.augment": {**IMAGES, "erase": 0.3}}),
    "cnn, channels_last": (pictures, {"data.augment": IMAGES, "train.execution": "channels_last"}),
    "lstm": (texts, {"model.options": {"dropout": 0.3}}),
    "gpt": (
        stream,
        {"model.options": {"dropout": 0.1}, "objective.name": "language_model", "data.text.max_seq_len": 32},
    ),
    "gpt, bf16": (
        stream,
        {
            "model.options": {"dropout": 0.1},
            "objective.name": "language_model",
            "data.text.max_seq_len": 32,
            "train.execution": "bf16",
        },
    ),
    "encoder": (texts, {"model.name": "transformer", "model.options": {"dropout": 0.1}}),
    "vit": (pictures, {"model.options": {"patch_size": 4, "dropout": 0.1}, "data.augment": IMAGES}),
    "autoencoder": (pictures, {"objective.name": "reconstruction"}),
    "vae": (pictures, {"objective.name": "elbo"}),
    "gan": (pictures, {"model.name": "dcgan", "objective.name": "adversarial", "data.normalize": False}),
    "seq2seq": (
        pairs,
        {
            "data.target": "target",
            "data.columns": {"source": "text", "target": "text"},
            "objective.name": "seq2seq",
            "model.options": {"dropout": 0.1},
        },
    ),
    "table (tabm)": (table, {"model.name": "tabm", "model.options": {"dropout": 0.1}}),
    "forecast": (
        series,
        {
            "model.name": "patch_transformer",
            "objective.name": "forecasting",
            "data.series.window": 24,
            "data.series.horizon": 12,
            "model.options": {"dropout": 0.1},
        },
    ),
}
COMMON = {"train.execution": "eager", "train.epochs": 4, "train.batch_size": 16}


def config_of(family: str, folder: Path) -> Config:
    """Write the data of a family to a folder, and return its config."""
    make, settings = FAMILIES[family]
    name = family.partition(",")[0]
    values = {"data.source": make(folder), "model.name": name, **COMMON, **settings}
    return Config.parse({"name": name.partition(" ")[0]}).patch(values)


def measure(family: str, steps: int, folder: Path) -> dict[str, Any]:
    """Train a run of a family, replay random steps of it, and return what was found."""
    run = runner.train(config_of(family, folder), runs=folder / "runs")
    last = max(max(by_step) for by_step in run.store.step_losses(1, 10**9).values())
    chosen = random.Random(family).sample(range(1, last + 1), steps)
    start = time.perf_counter()
    found = [pellucid.Run(run.path).replay(step) for step in chosen]
    return {
        "family": family,
        "updates": last,
        "execution": found[0].execution,
        "steps": steps,
        "exact": sum(made.exact is True for made in found),
        "before": sum(made.before for made in found),
        "before_exact": sum(made.before_exact for made in found),
        "seconds": (time.perf_counter() - start) / steps,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    print("| family | updates | execution | steps exact | on the way exact | s a replay |")
    print("|---|---|---|---|---|---|", flush=True)
    results = []
    for family in chosen.families:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(family, chosen.steps, Path(folder))
        results.append(found)
        print(
            f"| {family} | {found['updates']} | {found['execution']} | {found['exact']} of {found['steps']} "
            f"| {found['before_exact']:,} of {found['before']:,} | {found['seconds']:.2f} |",
            flush=True,
        )
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
