"""Writes docs/your-own-data.md: `python docs/your_own_data.py [--minutes M]`, with PELLUCID_MIRROR set.

Every row of its table is a family of networks on small real data: one command trains, one uses the result.
The files are made from the mirror of data sets, as a user would have them.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

PAGE = Path(__file__).with_name("your-own-data.md")
HEAD = """# Your own data

One command trains, one command uses the result; nothing has to be configured. `pellucid inspect DATA`
lists what can be learned from data, the likeliest first, and says what each task would learn.

The table was printed by `python docs/your_own_data.py`: every command ran in an empty folder on small real
data, and `--minutes` is the time for everything, from reading to the report. The last columns compare the
network with the best method without one, on rows that neither has seen.

"""


@dataclass(frozen=True)
class Row:
    """One family on one kind of data.

    Attributes:
        have: what the user has, in words.
        make: writes it to a folder.
        train: the command, without its program and `--minutes`.
        use: the command that uses the last run.
    """

    have: str
    make: Callable[[Path], None]
    train: str
    use: str


# ---- data ------------------------------------------------------------------------------------------


def table(name: str, split: str = "train") -> dict[str, list]:
    """Return the columns of a table of the mirror, such as "uci/sms_spam plain_text"."""
    repository, _, folder = name.partition(" ")
    files = sorted((Path(os.environ["PELLUCID_MIRROR"]) / repository / folder).glob(f"{split}-*.parquet"))
    return pq.read_table(files[0]).to_pydict()


def write_images(cells: Iterable[dict], folder: Path) -> None:
    """Write cells {bytes, path} as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, cell in enumerate(cells):
        Image.open(io.BytesIO(cell["bytes"])).convert("L").save(folder / f"{number:04d}.png")


def faces(folder: Path) -> None:
    """400 photographs of faces, without names."""
    write_images(table("att/orl_faces default")["image"], folder / "faces")


def clothes(folder: Path) -> None:
    """2,000 small pictures of clothes, without classes."""
    write_images(table("zalando-datasets/fashion_mnist fashion_mnist")["image"][:2000], folder / "clothes")


def tiles(folder: Path) -> None:
    """Photographs of tiles as MVTec's: train/good, test/good and a folder for each defect."""
    for split in ("train", "test"):
        found = table("abin24/magnetic_tile_defects default", split)
        classes = names_of("abin24/magnetic_tile_defects default", split)
        for index, name in enumerate(classes):
            cells = [
                cell for cell, label in zip(found["image"], found["label"], strict=True) if label == index
            ]
            good = name.lower() in ("free", "good", "mt_free")
            if good or split == "test":
                write_images(
                    cells[: 150 if good else 20], folder / "tiles" / split / ("good" if good else name)
                )


def names_of(name: str, split: str) -> list[str]:
    """Return the class names that a table of the mirror declares."""
    repository, _, part = name.partition(" ")
    file = sorted((Path(os.environ["PELLUCID_MIRROR"]) / repository / part).glob(f"{split}-*.parquet"))[0]
    declared = json.loads(pq.read_schema(file).metadata[b"huggingface"])["info"]["features"]["label"]
    return declared["names"]


def play(folder: Path) -> None:
    """A text of 300,000 characters."""
    text = (Path(os.environ["PELLUCID_MIRROR"]) / "karpathy/tiny_shakespeare/input.txt").read_text("utf-8")
    (folder / "play.txt").write_text(text[:300_000], encoding="utf-8")


def notes(folder: Path) -> None:
    """The descriptions of all data sets of the mirror, a folder of Markdown."""
    (folder / "notes").mkdir()
    for number, file in enumerate(sorted(Path(os.environ["PELLUCID_MIRROR"]).glob("*/*/README.md"))):
        (folder / "notes" / f"{number:02d}.md").write_text(file.read_text(encoding="utf-8"), encoding="utf-8")


def messages(folder: Path) -> None:
    """2,000 short messages with their class, as JSON lines."""
    found = table("uci/sms_spam plain_text")
    names, rows = ("ham", "spam"), zip(found["sms"][:2000], found["label"][:2000], strict=True)
    lines = [json.dumps({"text": text, "label": names[label]}) for text, label in rows]
    (folder / "messages.jsonl").write_text("\n".join(lines), encoding="utf-8")


def captions(folder: Path) -> None:
    """4,000 captions in German and in English."""
    found = table("bentrevett/multi30k default")
    write_csv(folder / "captions.csv", ["de", "en"], zip(found["de"][:4000], found["en"][:4000], strict=True))


def proteins(folder: Path) -> None:
    """128 proteins as letters, with the structure at each: C, E or H."""
    parts = [table("uci/protein_secondary_structure default", split) for split in ("train", "test")]
    rows = [pair for part in parts for pair in zip(part["input"], part["dssp3"], strict=True)]
    write_csv(folder / "proteins.csv", ["sequence", "structure"], rows)


def weeks(folder: Path) -> None:
    """Twelve weekly series of the M4 competition, with dates."""
    rows = []
    for number, values in enumerate(table("Mcompetitions/M4 weekly")["target"][:12], 1):
        dates = np.datetime64("2015-01-05") + 7 * np.arange(len(values[-300:]))
        rows += [(f"W{number}", date, value) for date, value in zip(dates, values[-300:], strict=True)]
    write_csv(folder / "weeks.csv", ["series", "week", "value"], rows)


def cells(folder: Path) -> None:
    """569 breast tumours, 30 measurements of each."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    frame = data.frame.assign(target=[data.target_names[index] for index in data.target])
    frame.to_csv(folder / "tumours.csv", index=False)


def write_csv(path: Path, header: list[str], rows: Iterable[Iterable]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


ROWS = (
    Row("a folder of pictures", clothes, "train clothes --task generate", "predict last 16"),
    Row("a folder of pictures", faces, "train faces --task compress", "predict last faces/0001.png"),
    Row("a folder of pictures", faces, "train faces --task denoise", "predict last faces/0001.png"),
    Row(
        "a folder of pictures",
        faces,
        "train faces --task embed",
        "neighbors last faces/0001.png --among faces",
    ),
    Row(
        "good parts, some with defects (MVTec)",
        tiles,
        "train tiles --task anomaly",
        "predict last tiles/test",
    ),
    Row("one text file", play, "train play.txt", 'predict last "To be"'),
    Row("one text file", play, "train play.txt --task masked", 'predict last "to [MASK] or not to be"'),
    Row("a folder of Markdown", notes, "train notes", 'predict last "# "'),
    Row(
        "JSON lines with a class", messages, "train messages.jsonl", 'predict last "Call now to win a prize"'
    ),
    Row("pairs of texts", captions, "train captions.csv", 'predict last "Ein Hund rennt am Strand."'),
    Row("a tag for every token", proteins, "train proteins.csv --task tag", 'predict last "MKVLAAGIVG"'),
    Row("several series", weeks, "train weeks.csv --task forecast", "predict last weeks.csv"),
    Row("a table", cells, "train tumours.csv", "predict last tumours.csv"),
)


# ---- running ---------------------------------------------------------------------------------------


def run(row: Row, minutes: float) -> list[str]:
    """Run both commands of a row in an empty folder; return its cells of the table."""
    with tempfile.TemporaryDirectory() as place:
        row.make(Path(place))
        seconds = call(f"{row.train} --minutes {minutes:g}", Path(place))
        call(row.use, Path(place))
        facts = json.loads(next(Path(place).glob("runs/*/run.json")).read_text())
    return [
        row.have,
        code(f"{row.train} --minutes {minutes:g}"),
        code(row.use),
        f"{seconds:.0f}",
        *score(facts),
    ]


def call(command: str, folder: Path) -> float:
    """Run a command; return the seconds it took.

    Raises:
        SystemExit: it fails.
    """
    start = time.perf_counter()
    words = [sys.executable, "-m", "pellucid", *shlex.split(command)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"pellucid {command} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    print(f"pellucid {command}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    return time.perf_counter() - start


def code(command: str) -> str:
    return f"`pellucid {command}`"


def score(facts: dict) -> list[str]:
    """Return the headline measure of a run, and that of the best baseline."""
    from pellucid.record import measures
    from pellucid.record.spec import TaskSpec

    spec, metrics = TaskSpec.from_dict(facts["spec"]), facts["metrics"]
    name = measures.headline(spec, metrics, None)[0]
    others = {
        measures.baseline(key, spec).label: values[name]
        for key, values in facts.get("baselines", {}).items()
        if name in values
    }
    if not others:
        return [f"{name} {measures.written(name, metrics[name], spec)}", ""]
    best = (min if measures.lower_is_better(name, spec) else max)(others, key=others.__getitem__)
    return [
        f"{name} {measures.written(name, metrics[name], spec)}",
        f"{measures.written(name, others[best], spec)} ({best})",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    minutes = parser.parse_args().minutes
    columns = ["you have", "train", "use", "seconds", "network", "without one"]
    lines = [columns, ["---"] * len(columns), *(run(row, minutes) for row in ROWS)]
    PAGE.write_text(HEAD + "".join(f"| {' | '.join(line)} |\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
