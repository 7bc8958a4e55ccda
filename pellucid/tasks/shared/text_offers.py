"""What the offers of tasks on texts have in common."""

from __future__ import annotations

from typing import Any

from pellucid.data.contents import Contents
from pellucid.data.offers import Suggestion
from pellucid.data.suggest import suggestion

TEXTS = "texts: .txt, .md, source code, .jsonl, a folder of them, or a column of texts"


def likelihood(contents: Contents, alone: float, with_others: float) -> float:
    """Return how likely a task on texts is what is wanted: less so if there is something to predict."""
    return alone if contents.predicts is None and len(contents.texts) == 1 else with_others


def read_column(contents: Contents) -> dict[str, Any]:
    """Return the settings with which only the longest column of texts is read."""
    if contents.documents and not contents.config.inputs:
        return {}
    assert contents.longest_text is not None
    name = contents.longest_text.name
    return {"inputs": [name], "columns": {**contents.config.columns, name: "text"}}


def suggest_texts(
    contents: Contents,
    task: str,
    summary: str,
    model: dict[str, Any],
    tokens: dict[str, Any],
    reason: str,
    **sections: Any,
) -> Suggestion:
    """Suggest the training of a network on texts.

    Args:
        contents: of the data.
        task: the name of the task.
        summary: one line for the config.
        model: the section of the config.
        tokens: settings of `data.text`.
        reason: why this model.
        sections: of the config, instead of the usual ones.
    """
    usual: dict[str, Any] = {
        "optimizer": {"name": "adamw", "lr": 1e-3, "weight_decay": 0.01},
        "schedule": {"name": "one_cycle"},
        "train": {"epochs": 10, "batch_size": 64, "clip_grad_norm": 1.0},
    }
    text = {**contents.config.text.model_dump(), "lowercase": False, **tokens}
    return suggestion(
        contents,
        task,
        summary,
        data={"text": text, **read_column(contents), **sections.pop("data", {})},
        model=model,
        reasons=(reason,),
        **{**usual, **sections},
    )
