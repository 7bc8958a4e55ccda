"""`view(run)`: everything the page shows, as plain JSON, section by section.

The page is rendered from it, and so can be any other reader of a run: a server, a notebook, another tool.

    {"schema", "run": {...}, "result": {...}, "sections": [{"id", "title", "heading", ...}]}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pellucid.diagnosis import not_applicable
from pellucid.diagnosis.verified import read
from pellucid.errors import PellucidError
from pellucid.record import Run
from pellucid.report import about
from pellucid.report.blocks import Blocks, blocks
from pellucid.report.learning_curves import learning
from pellucid.report.plain_values import plain
from pellucid.report.repeat import repeat
from pellucid.report.result import Result, result, things
from pellucid.report.split_results import Evaluation, evaluation
from pellucid.report.views import recall_views
from pellucid.report.weights import first_layer

SCHEMA = 1
"""Raised when a section changes in a way that its readers must know."""


def view(run: Run) -> dict[str, Any]:
    """Return everything the page of a run shows.

    Returns:
        Plain values: `json.dumps` takes them. `run` identifies the run; `result` is the answer with its
        comparisons; `sections` are in the order of the page, each with `id`, `title` and `heading`. A section
        with nothing to show yet has `missing`: a sentence that says why. Charts are SVG, pictures data URIs.

    Raises:
        RunError: the database of the run cannot be read.
    """
    recall_views(run.facts.get("registered", {}).get("views", {}))
    found = evaluation(run)
    drawn = blocks(run, found)
    made = [_made(id, title, make) for id, title, make in _sections(run, drawn, found)]
    return plain(
        {
            "schema": SCHEMA,
            "run": _identity(run),
            "things": things(run.facts),
            "result": _result(run),
            "sections": [section for several in made for section in several if section],
        }
    )


Sections = list[dict[str, Any] | None]


def _sections(
    run: Run, drawn: Blocks, found: Evaluation | None
) -> list[tuple[str, str, Callable[[], Sections]]]:
    """The sections in the order of the page: the id and title of each, and what makes it."""
    first = "What the first layer looks for"
    reasons = "Chosen for you, and why"
    chosen = _some(choices=run.facts.get("choices"))
    return [
        ("blocks", drawn.title, lambda: [_own_blocks(drawn)]),
        ("learning", "How it learned", lambda: [_learning(run, drawn)]),
        ("mistakes", "Mistakes", lambda: _evaluated(run, drawn, found)),
        ("weights", "First layer", lambda: [_section("weights", "First layer", first_layer(run), first)]),
        ("time", "Time", lambda: [_time(run)]),
        ("choices", "Choices", lambda: [_section("choices", "Choices", chosen, reasons)]),
        ("data", "Data", lambda: [_data(run)]),
        ("model", "Model", lambda: [_model(run)]),
        ("repeat", "Repeat", lambda: [_repeat(run)]),
    ]


def _made(id: str, title: str, make: Callable[[], Sections]) -> Sections:
    """Make sections; where that fails, one that says so: a finished run has a report in any case."""
    try:
        return make()
    except PellucidError:
        raise
    except Exception as error:
        return [not_drawn(id, title, error)]


def not_drawn(id: str, title: str, error: Exception) -> dict[str, Any]:
    """Return the section that stands for one that could not be made or drawn."""
    why = f"This section could not be drawn: {type(error).__name__}: {error}."
    return {"id": id, "title": title, "heading": title, "missing": why}


def _result(run: Run) -> dict[str, Any]:
    try:
        found = result(run)
    except PellucidError:
        raise
    except Exception as error:
        found = Result(f"The result of {run.name} could not be drawn: {type(error).__name__}: {error}.")
    return {**plain(found), "summary": run.facts.get("summary"), "strip": about.strip(run)}


def _identity(run: Run) -> dict[str, Any]:
    facts = run.facts
    note = ((facts.get("dataset") or {}).get("source") or {}).get("note")
    return {
        "id": run.id,
        "name": run.name,
        "kind": "study" if "parts" in facts else "run",
        "task": run.task,
        "status": run.status,
        "stop_reason": facts.get("stop_reason") or "",
        "notes": [*([note] if note else []), *(facts.get("notes") or [])],
    }


# ---- sections ----------------------------------------------------------------------------------------


def _section(id: str, title: str, body: Any, heading: str = "", **more: Any) -> dict[str, Any] | None:
    """One section; None where its body is None."""
    if body is None:
        return None
    return {"id": id, "title": title, "heading": heading or title, **plain(body), **more}


def _some(**body: Any) -> dict[str, Any] | None:
    """A body, or None where all of it is empty."""
    return body if any(body.values()) else None


def _own_blocks(drawn: Blocks) -> dict[str, Any] | None:
    own = [block for block in drawn.blocks if block.section is None]
    return _section("blocks", drawn.title, _some(blocks=own, left_out=drawn.left_out))


def _learning(run: Run, drawn: Blocks) -> dict[str, Any] | None:
    title = "How it learned"
    found = learning(run, drawn.by_epoch)
    if found is not None:
        ended = run.facts.get("stop_reason") if run.status in ("finished", "stopped") else None
        return _section(
            "learning", title, found, ended=ended or "", skipped=_skipped(run), verified=_verified(run)
        )
    if run.status == "finished" or "parts" in run.facts:
        return None
    return _section("learning", title, {}, missing="No epoch has been completed, so there are no curves yet.")


def _verified(run: Run) -> dict[str, Any] | None:
    """What came of trying the remedies, as the page shows it."""
    verified = read(run)
    if verified is None:
        return None
    columns, rows = verified.table()
    names = [row[0] for row in rows]
    return {
        "answer": verified.answer,
        "proven": verified.best is not None,
        "on_test": verified.on_test,
        "how": verified.how,
        "columns": columns,
        "rows": rows,
        "best": names.index(verified.winner) if verified.winner else None,
    }


def _skipped(run: Run) -> list[tuple[str, list[str]]]:
    """The rules that cannot run, by reason."""
    by_reason: dict[str, list[str]] = {}
    for one in not_applicable(run):
        by_reason.setdefault(one.reason, []).append(one.rule)
    return list(by_reason.items())


def _evaluated(run: Run, drawn: Blocks, found: Evaluation | None) -> list[dict[str, Any] | None]:
    """A section for each place where blocks of an evaluation stand, in the order of their blocks."""
    if found is None:
        asked = "parts" not in run.facts and (run.spec.has_mistakes or not run.task)
        missing = "No split has been evaluated, so there are no mistakes to show."
        return [_section("mistakes", "Mistakes", {}, missing=missing)] if asked else []
    made: dict[str, dict[str, Any]] = {}
    for block in drawn.blocks:
        if block.section is not None:
            place, title = block.section, block.section.title
            heading = (place.heading or title).format(split=found.split)
            entry = made.setdefault(
                place.id, {"id": place.id, "title": title, "heading": heading, "blocks": []}
            )
            entry["blocks"].append(plain(block))
    for entry in list(made.values())[:1]:
        entry["images_left_out"], entry["images_unreadable"] = drawn.images_left_out, drawn.images_unreadable
    return list(made.values())


def _time(run: Run) -> dict[str, Any] | None:
    seconds = run.facts.get("seconds") or {}
    body = {"training": seconds.get("training"), "total": seconds.get("total")}
    work = about.work(run)
    return _section("time", "Time", {"work": work, **body} if work else None, "Where the time went")


def _data(run: Run) -> dict[str, Any] | None:
    data = run.facts.get("dataset")
    if not data:
        return None
    known = {key: data.get(key) for key in ("name", "target", "notes", "skipped", "input_shape")}
    return _section(
        "data",
        "Data",
        known,
        "The data",
        task=run.task,
        predicted=run.spec.reads_target,
        source=data.get("source") or {},
        inputs=data.get("inputs") or [],
        splits=data.get("splits") or {},
        classes=len(data.get("classes") or ()),
    )


def _model(run: Run) -> dict[str, Any] | None:
    model = run.facts.get("model")
    if not model:
        return None
    known = {key: model.get(key) for key in ("name", "size", "options", "parameters", "layers")}
    return _section("model", "Model", known, "The model")


def _repeat(run: Run) -> dict[str, Any] | None:
    splits, rows = about.measures(run)
    body = {
        **plain(repeat(run)),
        "splits": splits,
        "measures": rows,
        "events": run.store.events(),
        "environment": about.environment(run),
        "config": about.config(run),
    }
    return _section("repeat", "Repeat", body, "Repeat this run")
