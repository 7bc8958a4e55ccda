"""The run folder described as data: its files, and the JSON schema of run.json.

docs/run-folder.md is written from this and from `database.TABLES`, and a test compares both with a fresh run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCHEMA = 2
"""Version of run.json. Version 0.1 of Pellucid wrote version 1, without a number."""

FILES = {
    "run.json": "what was trained, how and with what result; its JSON schema is below",
    "config.yaml": "every setting, so that `pellucid train config.yaml` repeats the run",
    "run.sqlite": "metrics, events, findings, spans and artifacts by step; its tables are below",
    "run.sqlite-wal": "the write-ahead log of SQLite: the newest rows, while the run is being written",
    "run.sqlite-shm": "the index of that log",
    "watch.json": "what was recorded of the steps that were looked at, for the rules of `pellucid diagnose`",
    "preprocess.json": "what was fitted on the training split: classes, vocabulary, means, ...",
    "report.html": "the report, one self-contained page",
    "checkpoints/step-*/model.safetensors": "weights after that number of updates",
    "checkpoints/step-*/optimizer.safetensors": "state of the optimizers",
    "checkpoints/step-*/ema.safetensors": "averaged weights, if averaging is on",
    "checkpoints/step-*/state.json": "what else the next update depends on, and the sha256 of each file",
    "checkpoints/last": "name of the newest checkpoint",
    "checkpoints/best": "name of the best checkpoint by the monitored measure",
    "evaluation/*.json": "measures of a split and the views of it; `training.json`: views by epoch",
    "evaluation/*.parquet": "a prediction for each row of a split, and examples with their inputs; "
    "`label-margins`: the margin of every training row, `label-rows`: the most suspicious ones",
    "samples/*": "pictures and texts that `evaluation/*.json` refers to",
    "artifacts/*/*": "files by name and step, listed in the table `artifacts`",
    "trials/*": "training runs that tried what may help this one, as run folders, with their study",
    "tensorboard/*": "the same metrics for TensorBoard, if requested",
    ".lock": "held by the process that writes the run; readers never take it",
    ".writer": "machine, process id and start of that process; readers check whether it is alive",
}
"""Every file of a run folder, as a pattern, and what it holds."""


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _number(description: str) -> dict[str, Any]:
    return {"type": "number", "description": description}


def _object(description: str, *, required: bool = True, **properties: Any) -> dict[str, Any]:
    names = {"required": list(properties)} if required and properties else {}
    return {"type": "object", "description": description, "properties": properties, **names}


def _list(of: dict[str, Any], description: str) -> dict[str, Any]:
    return {"type": "array", "items": of, "description": description}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


MEASURES = {"type": "object", "additionalProperties": {"type": ["number", "null"]}}

SCORE = {
    "metric": _text("measure with its split, e.g. test/accuracy"),
    "value": _number("the score"),
    "on": _or_null(_text("data set the score is stated for; null for any")),
}

FACTS: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "run.json",
    "type": "object",
    "required": ["id", "name", "schema", "kind", "status", "started", "seconds", "choices", "notes"],
    "properties": {
        "schema": {"const": SCHEMA, "description": "version of this schema; version 0.1 wrote none"},
        "kind": {"enum": ["run", "study"], "description": "a study is the result of several runs"},
        "id": _text("name of the folder when it was made: time and name"),
        "name": _text("what was trained, e.g. the name of a recipe"),
        "summary": _text("the same in words"),
        "status": {
            "enum": ["running", "finished", "interrupted", "failed"],
            "description": "running although no process writes it: it was killed",
        },
        "stop_reason": _text("why training ended"),
        "started": _text("time with its zone, ISO 8601"),
        "ended": _text("time with its zone, ISO 8601"),
        "task": _text("name of the task, e.g. classification"),
        "spec": _object("the task's own description: measures, units, baselines in words"),
        "supplied": _object(
            "objects passed in Python that the config cannot hold, in words: loss, optimizer, callbacks ...",
            required=False,
        ),
        "registered": _object(
            "where another process finds registered models, views and rules: module:NAME, or the module that "
            'registers them; "" if that is the main program',
            required=False,
        ),
        "seed": {"type": "integer", "description": "seed of weights, order and augmentation"},
        "seconds": _object(
            "durations in seconds", required=False, training=_number("all updates"), total=_number("all work")
        ),
        "budget": _object(
            "where minutes were asked for: the time of the whole command",
            required=False,
            minutes=_number("asked for"),
            used_seconds=_number("used, from the start to the report"),
            updates={"type": "integer", "description": "updates that fitted into it"},
        ),
        "dataset": _object(
            "the data",
            required=False,
            name=_text("name"),
            task=_or_null(_text("what it is for, e.g. classification; null without a target")),
            target=_or_null(_text("the column to predict")),
            classes=_list({"type": "string"}, "names of the classes"),
            input_shape=_list({"type": "integer"}, "shape of one input"),
            inputs=_list(_object("a column", name=_text("name"), kind=_text("kind")), "columns learned from"),
            splits={
                "type": "object",
                "description": "rows and fingerprint of each split",
                "additionalProperties": _object(
                    "a split",
                    rows=_or_null({"type": "integer", "description": "number of rows"}),
                    fingerprint=_text("hash of their content"),
                ),
            },
            source=_object(
                "where it was found", name=_text("name"), kind=_text("kind"), licence=_text("licence")
            ),
            skipped=_list({"type": "string"}, "rows that were left out, with the reason"),
            notes=_list({"type": "string"}, "what a reader must know of it"),
        ),
        "model": _object(
            "the network",
            name=_text("name in configs, or class of your own module"),
            size=_or_null(_text("tiny, small or base")),
            options={"type": "object", "description": "arguments of its builder"},
            parameters={"type": "integer", "description": "number of parameters"},
            layers=_list({"type": "object"}, "name, type and parameters of each layer"),
        ),
        "choices": _list(
            _object("a choice", what=_text("what was chosen"), value={}, reason=_text("why")),
            "what was decided automatically",
        ),
        "notes": _list({"type": "string"}, "what a reader of the run must know"),
        "data_checks": _object(
            "what the checks of the data found: `copies` and `shift` by split, `scale` of the inputs, "
            "`revealing`: columns that predict the target by themselves, `seconds`",
            required=False,
        ),
        "labels": _object(
            "what the margins of the training rows say about their labels; or `missing`: why there are none",
            required=False,
            rows={"type": "integer", "description": "training rows"},
            suspected={"type": "integer", "description": "rows whose label is suspected"},
            threshold=_number("the margin below which a row is suspected"),
            two_groups={"type": "boolean", "description": "whether wrong labels form a group of their own"},
            wrong={"type": ["integer", "null"], "description": "wrong labels in all, estimated"},
            precision={
                "type": ["number", "null"],
                "description": "expected share of them among suspected rows",
            },
            separation={
                "type": ["number", "null"],
                "description": "distance of the two groups in their widths",
            },
            pairs={
                "type": "array",
                "description": "[label, what the model says, rows], the most frequent first",
            },
        ),
        "environment": _object(
            "machine and software",
            python=_text("version"),
            platform=_text("operating system"),
            machine=_text("architecture"),
            cores={"type": ["integer", "null"], "description": "processor cores"},
            command=_list({"type": "string"}, "the command line"),
            packages={"type": "object", "description": "versions by package"},
        ),
        "baselines": {
            "type": "object",
            "description": "measures of what needs no network, by name",
            "additionalProperties": MEASURES,
        },
        "metrics": {**MEASURES, "description": "final measures with their split, e.g. test/accuracy"},
        "best": _object(
            "the best epoch by the monitored measure", required=False, metric=_text("the measure")
        ),
        "target": _or_null(_object("the score to reach", required=True, **SCORE)),
        "target_met": {"type": ["boolean", "null"], "description": "null where the target does not apply"},
        "published": _or_null(
            _object("a published score", required=True, **SCORE, source=_text("where it is stated"))
        ),
        "study": _object(
            "of a study: what its runs are compared by",
            metric=_text("the measure"),
            along=_or_null(_text("setting on the horizontal axis")),
            lines=_or_null(_text("setting that names the lines")),
        ),
        "parts": {"type": "object", "description": "of a study: its runs by label, with their measure"},
    },
}
"""The JSON schema of run.json. Further entries are allowed: readers ignore what they do not know."""


# ---- checking --------------------------------------------------------------------------------------

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


def mismatch(value: Any, schema: Mapping[str, Any] = FACTS, name: str = "") -> str | None:
    """Return the first entry that does not fit a schema, with what was expected; None if all fit.

    Only what schemas in this file use is checked: types, constants, and the entries of objects and arrays.
    The facts and the items of arrays must be complete; objects in them may be from an older version.
    """
    if not _fits(value, schema):
        return f"{name or 'the file'} is {_preview(value)}: expected {_expected(schema)}"
    inner: list[tuple[Any, Mapping[str, Any], str]] = []
    if isinstance(value, dict):
        complete = not name or name.endswith("]")
        missing = [key for key in schema.get("required", ()) if key not in value]
        if missing and complete:
            return f"{f'{name}.' if name else ''}{missing[0]} is missing"
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        inner = [(entry, known.get(key, others), f"{name}.{key}".strip(".")) for key, entry in value.items()]
    elif isinstance(value, list):
        inner = [(entry, schema.get("items", {}), f"{name}[{place}]") for place, entry in enumerate(value)]
    found = (mismatch(*part) for part in inner if part[1])
    return next((problem for problem in found if problem), None)


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    if "const" in schema:
        return value == schema["const"]
    if "enum" in schema:
        return value in schema["enum"]
    if "type" not in schema:
        return True
    allowed = tuple(kind for name in _names(schema) for kind in TYPES[name])
    return isinstance(value, allowed) and (bool in allowed or not isinstance(value, bool))


def _names(schema: Mapping[str, Any]) -> list[str]:
    names = schema["type"]
    return [names] if isinstance(names, str) else names


def _expected(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return repr(schema["const"])
    return " or ".join(map(repr, schema["enum"])) if "enum" in schema else " or ".join(_names(schema))


def _preview(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "an array"
    words = repr(value)
    return words if len(words) <= 60 else f"{words[:60]}..."
