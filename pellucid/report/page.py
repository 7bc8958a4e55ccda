"""The page: gathers what each section shows and renders the template around it.

Sections stand on files of their own in the run folder: one that is missing or damaged leaves its section
out, or is said to be missing, and the rest of the page is as it would be.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from pellucid.record import Run, files
from pellucid.record.run import CONFIG, REPORT
from pellucid.report import mistakes, plots, scales, scores, words
from pellucid.report.blocks import blocks
from pellucid.report.learning import learning
from pellucid.report.mistakes import Evaluation
from pellucid.report.pictures import Album
from pellucid.report.result import result, things
from pellucid.report.weights import first_layer

HERE = Path(__file__).parent
SECTIONS = (
    ("blocks", "Results"),
    ("learning", "How it learned"),
    ("mistakes", "Mistakes"),
    ("errors", "Errors"),
    ("classes", "Classes"),
    ("calibration", "Confidence"),
    ("weights", "First layer"),
    ("time", "Time"),
    ("choices", "Choices"),
    ("data", "Data"),
    ("model", "Model"),
    ("repeat", "Repeat it"),
)


@dataclass(frozen=True)
class Span:
    """How long one kind of work took in all; `share` of the longest, 0..1."""

    name: str
    seconds: str
    times: int
    share: float


def write(run_path: str | Path, to: str | Path | None = None) -> Path:
    """Write the report of a run, atomically, and return its path.

    Args:
        run_path: the run folder.
        to: the file to write; None: `report.html` in the run folder.

    Raises:
        RunError: it is not a run folder, or its database cannot be read.
        StorageError: the page cannot be written.
    """
    run = Run(run_path)
    path = Path(to) if to is not None else run.path / REPORT
    files.write(path, render(run))
    return path


def render(run: Run) -> str:
    """Return the page of a run as HTML."""
    script = (HERE / "script.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    view = _view(run)
    page = (
        _templates()
        .get_template("template.html")
        .render(
            **view,
            words=words,
            term=words.Terms(),
            style=Markup(_style(view)),
            script=Markup(script),
            script_digest=digest,
            sections=[(name, getattr(view[name], "title", title)) for name, title in SECTIONS if view[name]],
        )
    )
    return page.lstrip()


@functools.cache
def _templates() -> jinja2.Environment:
    """The templates, compiled once a process."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.ChainableUndefined,  # facts may lack any entry, at any depth
    )


def _style(view: dict[str, Any]) -> str:
    """The style sheet; with the rules of scales and groups where there are blocks to color."""
    sheet = (HERE / "style.css").read_text(encoding="utf-8")
    return "\n".join([sheet, scales.palette(), plots.PICKS]) if view["blocks"] else sheet


def _view(run: Run) -> dict[str, Any]:
    """What the template shows, section by section; a section that is None or empty is left out."""
    facts = run.facts
    found = mistakes.evaluation(run)
    shown = blocks(run, found)
    return {
        "run": run,
        "facts": facts,
        "things": things(facts),
        "result": result(run),
        "strip": _strip(run),
        "blocks": shown,
        "learning": learning(run, shown.by_epoch),
        "task": run.task,
        "spec": run.spec,
        "evaluated": found,
        **_evaluated(run, found),
        "weights": first_layer(run),
        "time": _spans(run),
        "choices": facts.get("choices"),
        "data": facts.get("dataset"),
        "model": facts.get("model"),
        "measures": _measures(run),
        "repeat": _repeat(run),
        "environment": _environment(facts),
        "events": run.store.events(),
        "notes": facts.get("notes") or [],
        "config": _config(run),
    }


def _evaluated(run: Run, found: Evaluation | None) -> dict[str, Any]:
    """The sections that need an evaluated split."""
    if found is None:
        return dict.fromkeys(("mistakes", "errors", "classes", "calibration", "album"))
    album = Album()
    worst = mistakes.worst(found, album)
    confusion = mistakes.confusion(found, album)
    target = str((run.facts.get("dataset") or {}).get("target") or "target")
    regression = scores.regression(found, target)
    shown = {"worst": worst, "confusion": confusion}
    return {
        "mistakes": shown if regression is None and (worst or confusion) else None,
        "errors": {"worst": worst, "regression": regression} if regression else None,
        "classes": scores.classes(found),
        "calibration": scores.calibration(found),
        "album": album,
    }


def _strip(run: Run) -> list[tuple[str, str]]:
    """The facts everybody asks for first, as (name, value)."""
    facts = run.facts
    data, model, seconds = facts.get("dataset") or {}, facts.get("model") or {}, facts.get("seconds") or {}
    device = next(
        (choice["value"] for choice in facts.get("choices", []) if choice["what"] == "device"), None
    )
    source = (data.get("source") or {}).get("name") or data.get("name")
    train = (data.get("splits") or {}).get("train", {}).get("rows")
    entries = [
        ("Runs", words.count(len(facts["parts"])) if "parts" in facts else None),
        ("Data", source),
        (f"Training {things(facts)}", words.count(train) if train else None),
        ("Model", " ".join(str(part) for part in (model.get("size"), model.get("name")) if part)),
        ("Parameters", words.count(model["parameters"]) if model.get("parameters") else None),
        ("Training time", words.seconds(seconds["training"]) if seconds.get("training") else None),
        ("Device", device),
        ("Seed", facts.get("seed")),
        ("Started", words.moment(facts.get("started"))),
    ]
    return [(name, str(value)) for name, value in entries if value not in (None, "")]


def _spans(run: Run) -> list[Span]:
    """Time by kind of work, in the order it first happened."""
    totals: dict[str, list[float]] = {}
    for span in run.store.spans():
        totals.setdefault(span.name, []).append(span.seconds)
    longest = max((sum(each) for each in totals.values()), default=0.0) or 1.0
    return [
        Span(name, words.seconds(sum(each)), len(each), sum(each) / longest) for name, each in totals.items()
    ]


def _measures(run: Run) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Every final metric, as (splits, [(measure, a value for each split)])."""
    metrics = run.metrics or {}
    splits = [
        split for split in ("train", "val", "test") if any(key.startswith(f"{split}/") for key in metrics)
    ]
    names = list(dict.fromkeys(key.partition("/")[2] for key in metrics))
    rows = [
        (name, [words.measure(name, metrics.get(f"{split}/{name}"), 10_000) for split in splits])
        for name in names
    ]
    return splits, rows


def _repeat(run: Run) -> dict[str, str]:
    """How to do it again: the command lines, and the same in Python."""
    folder = f"{run.path.absolute().parent.name}/{run.id}"
    config = f"{folder}/{CONFIG}"
    seed = run.facts.get("seed")
    train = f"pellucid train {shlex.quote(config)}" + (f" --seed {seed}" if seed is not None else "")
    lines = [train]
    if run.status in ("interrupted", "killed", "failed"):
        lines.append(f"{train} --resume {shlex.quote(run.id)}")
    imports, again = "from pellucid.runner import train\n\n", f"train(pellucid.Config.read({config!r}))"
    if "parts" in run.facts:
        imports = "from pellucid.runner import train_study\nfrom pellucid.study import Study\n\n"
        again = f"train_study(Study.read({config!r}))"
    python = (
        "import pellucid\n"
        f"{imports}again = {again}\n"
        f"before = pellucid.Run({folder!r})\n"
        "print(before.metrics, again.metrics)"
    )
    given = (run.facts.get("environment") or {}).get("command") or []
    return {"shell": "\n".join(lines), "python": python, "given": shlex.join(str(part) for part in given)}


def _environment(facts: dict[str, Any]) -> list[tuple[str, str]]:
    environment = facts.get("environment") or {}
    plain = [
        (name, str(environment[name]))
        for name in ("python", "platform", "machine", "cores")
        if name in environment
    ]
    return [*plain, *((name, str(version)) for name, version in (environment.get("packages") or {}).items())]


def _config(run: Run) -> str:
    try:
        return run.config
    except (OSError, UnicodeDecodeError):
        return ""
