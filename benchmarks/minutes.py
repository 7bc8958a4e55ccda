"""How much of the time that was asked for `pellucid train DATA --task TASK --minutes M` uses.

    PELLUCID_MIRROR=... .venv/bin/python benchmarks/minutes.py --minutes 0.5 1

Makes small files of every kind from the mirror of data sets, trains on each with the command line, one
command after the other, and measures the whole command from outside. Prints a table in Markdown: used / asked
for each kind and time. `--busy N` lets N processes compete for the cores meanwhile, `--only NAME` chooses
kinds, `--save FILE` keeps the results of finished commands, so that a measurement can be continued.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

FEWEST, MOST = 0.7, 1.1
"""Required: used / asked."""
MIRROR = Path(os.environ.get("PELLUCID_MIRROR", "."))
BUSY = [sys.executable, "-c", "while True: pass"]


def read(name: str) -> list[dict[str, Any]]:
    """Read a Parquet file of the mirror."""
    return pq.read_table(MIRROR / f"{name}-00000-of-00001.parquet").to_pylist()


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


# ---- data ------------------------------------------------------------------------------------------


def iris(folder: Path) -> Path:
    from sklearn.datasets import load_iris

    found: Any = load_iris()
    names = [name.removesuffix(" (cm)").replace(" ", "_") for name in found.feature_names]
    rows = [
        {**dict(zip(names, map(float, row), strict=True)), "species": str(found.target_names[label])}
        for row, label in zip(found.data, found.target, strict=True)
    ]
    write_rows(folder / "iris.csv", rows)
    return folder / "iris.csv"


def transformer_load(folder: Path) -> Path:
    rows = read("zhouhaoyi/ETDataset/h1/train")[:5000]
    write_rows(folder / "load.csv", [{k: v for k, v in row.items() if k != "date"} for row in rows])
    return folder / "load.csv"


def faces(folder: Path) -> Path:
    made = folder / "faces"
    made.mkdir()
    for number, row in enumerate(read("att/orl_faces/default/train")):
        (made / f"{number:03}.png").write_bytes(row["image"]["bytes"])
    return made


def tiles(folder: Path) -> Path:
    made = folder / "tiles"
    for split in ("train", "test"):
        for number, row in enumerate(read(f"abin24/magnetic_tile_defects/default/{split}")):
            name = "good" if not row["defect_area"] else "defect"
            if split == "test" or name == "good":
                path = made / split / name / f"{number:04}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(row["image"]["bytes"])
    return made


def shakespeare(folder: Path) -> Path:
    return MIRROR / "karpathy" / "tiny_shakespeare" / "input.txt"


def markdown(folder: Path) -> Path:
    made = folder / "notes"
    made.mkdir()
    root = Path(__file__).parents[1]
    for number, path in enumerate(sorted([*root.glob("*.md"), *root.glob("docs/**/*.md")])):
        (made / f"{number:02}-{path.name}").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    return made


def messages(folder: Path) -> Path:
    names = ("ham", "spam")
    lines = [
        json.dumps({"text": row["sms"], "label": names[row["label"]]})
        for row in read("uci/sms_spam/plain_text/train")
    ]
    (folder / "messages.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder / "messages.jsonl"


def pairs(folder: Path) -> Path:
    write_rows(folder / "pairs.csv", read("bentrevett/multi30k/default/train")[:4000])
    return folder / "pairs.csv"


def proteins(folder: Path) -> Path:
    write_rows(folder / "proteins.csv", read("uci/protein_secondary_structure/default/train"))
    return folder / "proteins.csv"


def weekly(folder: Path) -> Path:
    first = datetime.date(2000, 1, 3)
    rows = [
        {"series": row["id"], "week": first + datetime.timedelta(weeks=week), "value": value}
        for row in read("Mcompetitions/M4/weekly/train")[:12]
        for week, value in enumerate(row["target"][-400:])
    ]
    write_rows(folder / "weekly.csv", rows)
    return folder / "weekly.csv"


CASES: dict[str, tuple[str, Callable[[Path], Path], list[str]]] = {
    "iris": ("a table of 150 rows: classify", iris, ["--task", "classify", "--target", "species"]),
    "load": ("a table of 5,000 rows: regress", transformer_load, ["--task", "regress", "--target", "OT"]),
    "generate": ("400 faces: generate", faces, ["--task", "generate"]),
    "compress": ("400 faces: compress", faces, ["--task", "compress"]),
    "denoise": ("400 faces: denoise", faces, ["--task", "denoise"]),
    "embed": ("400 faces: embed", faces, ["--task", "embed"]),
    "anomaly": ("1,344 tiles in MVTec's layout: anomaly", tiles, ["--task", "anomaly"]),
    "write": ("a text file of 1.1 MB: language-model", shakespeare, ["--task", "language-model"]),
    "masked": ("a text file of 1.1 MB: masked", shakespeare, ["--task", "masked"]),
    "markdown": ("a folder of Markdown: language-model", markdown, ["--task", "language-model"]),
    "messages": ("5,574 JSON lines: classify", messages, ["--task", "classify", "--target", "label"]),
    "pairs": ("4,000 pairs of sentences: seq2seq", pairs, ["--task", "seq2seq"]),
    "tags": ("111 proteins: tag", proteins, ["--task", "tag"]),
    "forecast": ("12 weekly series: forecast", weekly, ["--task", "forecast"]),
}

# ---- measuring -------------------------------------------------------------------------------------


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep a number of processes busy."""
    processes = [subprocess.Popen(BUSY) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def used(case: str, minutes: float) -> dict[str, Any]:
    """Train on new files with empty caches; return used / asked, and what was chosen."""
    _, make, options = CASES[case]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = make(folder)
        command = [sys.executable, "-m", "pellucid", "train", str(data), *options, "--minutes", str(minutes)]
        environment = {**os.environ, "PELLUCID_CACHE": f"{name}/cache", "COLUMNS": "200"}
        began = time.perf_counter()
        done = subprocess.run(
            [*command, "--runs", f"{name}/runs"], env=environment, capture_output=True, text=True
        )
        seconds = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{case}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        run = json.loads(next((folder / "runs").glob("*/run.json")).read_text(encoding="utf-8"))
    chosen = {choice["what"]: f"{choice['value']}: {choice['reason']}" for choice in run["choices"]}
    return {"ratio": round(seconds / 60 / minutes, 3), "updates": chosen.get("updates"), **run["budget"]}


def table(found: dict[str, dict[str, Any]], minutes: list[float]) -> str:
    """Return the measurements as Markdown."""
    lines = [
        "| data and task | " + " | ".join(f"used / asked, {m:g} min" for m in minutes) + " | |",
        "|---" * (len(minutes) + 2) + "|",
    ]
    for case, (what, _, _) in CASES.items():
        ratios = [found.get(f"{case} {m:g}", {}).get("ratio") for m in minutes]
        if any(ratios):
            met = all(ratio is not None and FEWEST <= ratio <= MOST for ratio in ratios)
            shown = " | ".join("" if ratio is None else f"{ratio:.2f}" for ratio in ratios)
            lines.append(f"| {what} | {shown} | {'met' if met else 'not met'} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[0.5, 1])
    parser.add_argument("--only", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--busy", type=int, default=0, help="number of busy processes meanwhile")
    parser.add_argument("--save", type=Path, help="JSON file of finished measurements, read and written")
    options = parser.parse_args()
    found = json.loads(options.save.read_text()) if options.save and options.save.exists() else {}
    with busy(options.busy):
        for minutes in options.minutes:
            for case in options.only:
                key = f"{case} {minutes:g}"
                if key not in found:
                    found[key] = used(case, minutes)
                    print(key, json.dumps(found[key]), file=sys.stderr, flush=True)
                if options.save:
                    options.save.write_text(json.dumps(found, indent=1))
    print(table(found, options.minutes))


if __name__ == "__main__":
    main()
