"""The reports on the site: small training runs on data that needs no network, made when the site is built.

`python docs/tools/gallery.py` makes them alone. What was trained is kept in build/gallery and trained again
only when the package or this file has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import pydoc_data.topics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from sklearn.datasets import load_digits

import pellucid
from pellucid import record
from pellucid.data.dataset import Dataset

ROOT = Path(__file__).parents[2]
HOURS = 24 * 120


@dataclass(frozen=True)
class Exhibit:
    """One report of the gallery.

    Attributes:
        title: what was trained.
        text: one or two sentences on the data and on what to look for in the report.
        model: the name of the model.
        data: makes the dataset, or writes a file into the folder and names it.
        settings: those that differ from the defaults.
    """

    title: str
    text: str
    model: str
    data: Callable[[Path], Dataset | str]
    settings: dict[str, object]


# ---- the data ----------------------------------------------------------------------------------


def digits(folder: Path) -> Dataset:
    """Scikit-learn's 1,797 handwritten digits of 8 x 8 pixels."""
    found = load_digits()
    dataset = pellucid.arrays((found.images / 16).astype(np.float32), found.target.astype(str))
    return replace(dataset, name="digits", source=replace(dataset.source, name="digits"))


def prose(folder: Path) -> str:
    """The reference of Python's own `help()`, about 60,000 characters of it."""
    text = "\n\n".join(pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics))
    (folder / "python-help.txt").write_text(text[:60_000], encoding="utf-8")
    return "python-help.txt"


def tide(folder: Path) -> Dataset | str:
    """The height of the tide at San Francisco by its four largest constituents, and some weather."""
    hour = np.arange(HOURS)
    constituents = {"M2": (0.577, 28.984), "K1": (0.369, 15.041), "O1": (0.230, 13.943), "S2": (0.137, 30.0)}
    height = sum(size * np.cos(np.deg2rad(speed * hour)) for size, speed in constituents.values())
    weather = np.convolve(np.random.default_rng(0).normal(0, 0.02, HOURS + 11), np.ones(12), "valid")
    time = np.datetime64("2025-01-01T00:00:00") + hour.astype("timedelta64[h]")
    table = pa.table({"time": time.astype("datetime64[s]"), "height": height + weather})
    pa.parquet.write_table(table, folder / "tide.parquet")
    return "tide.parquet"


# ---- the reports -------------------------------------------------------------------------------

EXHIBITS = {
    "classification": Exhibit(
        "Handwritten digits, a small convolutional network",
        "1,797 scans of 8 x 8 pixels. The report compares the network with guessing and with a linear model, "
        "and shows the mistakes.",
        "cnn",
        digits,
        {"name": "digits", "train.epochs": 6, "optimizer.lr": 4e-3, "schedule.name": "one_cycle"},
    ),
    "language-model": Exhibit(
        "A language model, letter by letter",
        "A small GPT reads Python's own help texts. The report marks how likely the model found each letter "
        "and shows texts that it wrote.",
        "gpt",
        prose,
        {
            "name": "python-help",
            "objective.name": "language_model",
            "model.size": "tiny",
            "data.text.tokenizer": "characters",
            "data.text.max_seq_len": 64,
            "data.text.lowercase": False,
            "train.epochs": 5,
            "train.batch_size": 16,
            "optimizer.lr": 3e-3,
        },
    ),
    "gan": Exhibit(
        "Digits from noise, a GAN",
        "A generator and a discriminator trained against each other for a few seconds: the report shows the "
        "images epoch by epoch, and whether either network was winning.",
        "dcgan",
        digits,
        {
            "name": "digits-gan",
            "objective.name": "adversarial",
            "data.normalize": False,
            "model.size": "tiny",
            "model.options": {"conditional": True},
            "optimizer.name": "adam",
            "optimizer.lr": 1e-3,
            "optimizer.options": {"betas": [0.5, 0.999]},
            "train.epochs": 12,
            "train.ema": 0.99,
            "train.restore_best": False,
        },
    ),
    "forecasting": Exhibit(
        "The next two days of a tide",
        "Hourly heights, computed from the four largest tidal constituents of San Francisco, with weather. "
        "The report shows forecasts with their intervals, compared with repeating the last day.",
        "nlinear",
        tide,
        {
            "name": "tide",
            "objective.name": "forecasting",
            "data.series.window": 96,
            "data.series.horizon": 48,
            "train.epochs": 5,
        },
    ),
    "anomaly": Exhibit(
        "Anything that is not a zero",
        "An autoencoder is trained on zeros only; what it reconstructs badly is reported as an anomaly.",
        "autoencoder",
        digits,
        {
            "name": "zeros",
            "objective.name": "anomaly",
            "objective.options": {"normal": "0"},
            "data.normalize": False,
            "model.size": "tiny",
            "model.options": {"latent_dim": 8},
            "train.epochs": 30,
            "optimizer.lr": 3e-3,
        },
    ),
}
"""Reports by the name of their page."""


def pages(root: Path, names: tuple[str, ...] = tuple(EXHIBITS)) -> dict[str, str]:
    """Return the overview and the reports by their path on the site; train what is not there yet.

    Args:
        root: of the repository.
        names: the reports to make.
    """
    folder = root / "build" / "gallery" / _key(root)
    found = {name: report(name, folder / name) for name in names}
    return {"gallery/index.md": overview(names)} | {f"gallery/{n}.html": page for n, page in found.items()}


def report(name: str, folder: Path) -> str:
    """Train one exhibit, unless that was done before, and return its report."""
    if not (folder / "report.html").is_file():
        exhibit = EXHIBITS[name]
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.chdir(folder):
            settings = {"train.execution": "eager", **exhibit.settings}
            run = pellucid.fit(exhibit.model, exhibit.data(folder), progress=False, settings=settings)
            record.files.write(folder / "report.html", run.report().read_text(encoding="utf-8"))
    return (folder / "report.html").read_text(encoding="utf-8")


def overview(names: tuple[str, ...]) -> str:
    """Return the page that shows all reports."""
    head = (
        "# Reports\n\nEvery training run ends with a report: one self-contained page. These are made from "
        "small runs of a few seconds each, trained when this site was built, so their scores are modest.\n"
    )
    cards = (
        f"## {EXHIBITS[name].title}\n\n{EXHIBITS[name].text}\n\n"
        f'<div class="report"><iframe src="{name}.html" title="{EXHIBITS[name].title}" loading="lazy">'
        f"</iframe></div>\n\n"
        f'<a href="{name}.html">Open the report</a>\n'
        for name in names
    )
    return "\n".join([head, *cards])


def _key(root: Path) -> str:
    """A hash of everything that a report depends on."""
    sources = [*sorted((root / "pellucid").rglob("*")), Path(__file__)]
    digest = hashlib.sha256()
    for path in sources:
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    pages(ROOT)
