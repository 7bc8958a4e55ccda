"""Writes docs/run-folder.md and docs/run.schema.json from the code: `python docs/tools/run_folder.py`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pellucid.record import database, folder_schema
from pellucid.record.run import ARTIFACTS, SCHEMA

PAGE = Path(__file__).parents[1] / "run-folder.md"
SCHEMA_FILE = PAGE.with_name("run.schema.json")

HEADER = f"""# The run folder

Every training run is a folder, `runs/<id>/`, in open formats: JSON, YAML, SQLite, Parquet, safetensors.
Everything that shows a run reads this folder and nothing else. This page describes version {SCHEMA} of
run.json and version {database.VERSION} of run.sqlite. `python docs/tools/run_folder.py` writes it from the
code.

## Reading and writing

- **One process writes, any number read.** A reader takes no lock, creates no file and needs no permission to
  write, so the folder may be on a read-only disk. A report can go elsewhere:
  `pellucid report RUN --out page.html`.
- **Files are replaced atomically.** They are written under another name, flushed and renamed. A reader sees
  the old content or the new one. The database is in WAL mode, in which readers see whole transactions.
- **A run that says `running` may have been killed.** `.writer` names the machine, process id and start time
  of the process that writes; `Run.status` is `killed` if that process is gone.
- **Versions.** A newer Pellucid reads every older version as if it were the newest, without changing it.
  Resuming a run migrates it. An older Pellucid refuses a newer version and says so.
- **Earlier steps.** `run.checkpoints.before(step)` is the newest sound checkpoint at or before a step;
  `pellucid.record.checkpoints.read_state` reads it. Neither changes the history of the run. Resuming a run
  deletes what came after its checkpoint.

In Python:

```python
from pellucid.record import Run

run = Run("runs/20261127-104500-digits")
run.facts["dataset"]["splits"]  # run.json
run.store.series("val/loss")  # [(step, value), ...]
run.store.query("SELECT rule, seen FROM findings")
run.store.artifacts("samples")  # files by step
```
"""


def render() -> str:
    """Return the page."""
    parts = [
        HEADER,
        "## Files\n",
        *table(("file", "content"), ((f"`{name}`", text) for name, text in folder_schema.FILES.items())),
        "",
        "Every kind of artifact has one file format: "
        + ", ".join(f"{kind} (`.{ending}`)" for kind, ending in ARTIFACTS.items())
        + ".",
        "",
        "## run.json\n",
        *table(("entry", "type", "content"), entries(folder_schema.FACTS)),
        "",
        "The same as a JSON schema: [run.schema.json](run.schema.json).",
        "",
        "## run.sqlite\n",
        "`PRAGMA user_version` is its version. `traces` is a view of `spans`, for queries from version 1.",
    ]
    for name, columns in database.TABLES.items():
        parts += [
            "",
            f"### {name}",
            "",
            *table(("column", "content"), ((f"`{c}`", t) for c, t in columns.items())),
        ]
    return "\n".join(parts) + "\n"


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    lines = [list(columns), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def entries(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Every entry with its type and meaning, those of nested objects by their dotted name."""
    for name, entry in facts["properties"].items():
        kind = entry.get("type") or (
            "constant" if "const" in entry else "one of " + ", ".join(entry.get("enum", []))
        )
        words = " or ".join(kind) if isinstance(kind, list) else kind
        yield f"`{prefix}{name}`", words, entry.get("description", "")
        if "properties" in entry:
            yield from entries(entry, f"{prefix}{name}.")


def render_schema() -> str:
    """Return the JSON schema of run.json as text."""
    return json.dumps(folder_schema.FACTS, indent=1) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    SCHEMA_FILE.write_text(render_schema(), encoding="utf-8")
