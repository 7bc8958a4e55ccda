"""What the offers of tasks on texts have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pellucid.data.contents import Contents
from pellucid.data.offers import Suggestion
from pellucid.data.suggest import suggestion

TEXTS = "texts: .txt, .md, source code, .jsonl, a folder of them, or a column of texts"


UPDATES = 3000
"""Updates that a suggested config aims at, in `EPOCHS` epochs."""
EPOCHS = (2, 40)
"""Fewest and most epochs that are suggested for texts."""
QUICK = 3.0
"""Minutes below which a tiny model learns more than a small one."""
AMOUNTS = ((300_000, "tiny", 0.2, 16), (3_000_000, "small", 0.1, 32), (None, "small", 0.0, 64))
"""Characters below which a size, a dropout and a batch size are suggested."""
WORD = 6
"""Characters of a word with the space after it, about."""


SIZES = ("tiny", "small", "base")


def learning_rate(size: str) -> float:
    """Return the learning rate of a transformer or a recurrent network of a size."""
    return 3e-3 if size == "tiny" else 1e-3


@dataclass(frozen=True)
class TextPlan:
    """A model and its training by the amount of text.

    Attributes:
        size, dropout: of the model.
        batch_size, epochs: of training.
        reason: why.
    """

    size: str
    dropout: float
    batch_size: int
    epochs: int
    reason: str

    def for_size(self, size: str) -> dict[str, Any]:
        """Return what changes with another size: a smaller model learns faster, and memorizes less."""
        smaller = SIZES.index(size) < SIZES.index(self.size)
        return {
            "optimizer.lr": learning_rate(size),
            "model.options.dropout": 0.0 if smaller else self.dropout,
        }

    @property
    def sections(self) -> dict[str, Any]:
        """The sections of the config that say how to train."""
        stopping = {"patience": max(3, self.epochs // 5)} if self.dropout else None
        return {
            "optimizer": {"name": "adamw", "lr": learning_rate(self.size), "weight_decay": 0.01},
            "schedule": {"name": "one_cycle"},
            "train": {
                "epochs": self.epochs,
                "batch_size": self.batch_size,
                "clip_grad_norm": 1.0,
                "early_stopping": stopping,
            },
        }


def plan_texts(characters: int, windows: float, minutes: float | None) -> TextPlan:
    """Choose a model by the amount of text: small, and with dropout, where it would memorize it.

    Args:
        characters: to learn from.
        windows: training rows that they make.
        minutes: that training may take; None: as long as it needs.
    """
    size, dropout, batch = next(row[1:] for row in AMOUNTS if row[0] is None or characters < row[0])
    quick = minutes is not None and minutes < QUICK and size != "tiny"
    size, batch = ("tiny", AMOUNTS[0][-1]) if quick else (size, batch)
    fewest, most = EPOCHS
    epochs = min(max(round(UPDATES * batch / max(windows, 1)), fewest), most)
    why = f" and {minutes:g} minutes" if quick else ""
    dropped = f", dropout {dropout}" if dropout else ""
    reason = (
        f"size {size}{dropped} and {epochs} epochs of {batch} rows at a time, for "
        f"{characters:,} characters{why}"
    )
    return TextPlan(size, dropout, batch, epochs, reason)


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
    *,
    minutes: float | None = None,
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
        minutes: that training may take; None: as long as it needs.
        sections: of the config, instead of the usual ones.
    """
    length = tokens.get("max_seq_len", contents.config.text.max_seq_len)
    in_tokens = contents.characters / (1 if tokens.get("tokenizer") == "characters" else WORD)
    plan = plan_texts(contents.characters, in_tokens / length, minutes)
    if "size" in model:
        options = {**model.get("options", {}), "dropout": plan.dropout}
        model = {**model, "size": plan.size, "options": options}
    text = {**contents.config.text.model_dump(), "lowercase": False, **tokens}
    return suggestion(
        contents,
        task,
        summary,
        data={"text": text, **read_column(contents), **sections.pop("data", {})},
        model=model,
        reasons=(reason, *([plan.reason] if "size" in model else [])),
        for_size=plan.for_size if "optimizer" not in sections else None,
        **{**plan.sections, **sections},
    )
