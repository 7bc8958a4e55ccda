"""Tagging: a class for every token, such as parts of speech, names in a text, or the structure of a protein.

Shapes: B rows, T tokens, K tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.config import Config
from pellucid.data.batches import Rows
from pellucid.data.dataset import Dataset
from pellucid.data.input_rows import InputRows
from pellucid.data.preprocess import Preprocess
from pellucid.data.targets.tags import Tags
from pellucid.data.text.ragged import Ragged
from pellucid.data.text.token_lists import ReplaceRare, TokenLists, pieces
from pellucid.data.text.token_rows import RaggedRows
from pellucid.errors import ConfigError, UnknownNameError
from pellucid.evaluation import Outcome, Trained
from pellucid.nn.modes import evaluating
from pellucid.tasks.options import NoOptions, read_options
from pellucid.tasks.prepared import EVALUATED, Prepared
from pellucid.tasks.shared.class_weights import class_weights
from pellucid.tasks.shared.step_check import REMEDY, check_each_step
from pellucid.tasks.shared.text_task import measured_batch
from pellucid.tasks.tagging.baselines import measure_baselines
from pellucid.tasks.tagging.inputs import read_rows, token_lists
from pellucid.tasks.tagging.objective import tagging
from pellucid.tasks.tagging.spans import are_spans, span_f1, spans
from pellucid.tasks.tagging.spec import SPEC
from pellucid.tasks.task import Baselines, Task
from pellucid.train.execution import execution_mode
from pellucid.train.objective import Objective, read_logits

SHOWN = 12
"""Rows to show."""


@dataclass(frozen=True)
class Tagged:
    """Tags of rows of tokens.

    Attributes:
        tokens: of each row.
        tags: the tag of each token.
        confidence: the probability of each tag.
        written: whether tags are spans, as B- and I- write them.
    """

    tokens: list[list[str]]
    tags: list[list[str]]
    confidence: list[list[float]]
    written: bool

    def rows(self) -> list[dict[str, Any]]:
        """One dict a row: tags, tokens, probabilities, and the spans if there are any."""
        made = []
        for tokens, tags, confidence in zip(self.tokens, self.tags, self.confidence, strict=True):
            row: dict[str, Any] = {"prediction": tags, "tokens": tokens, "confidences": confidence}
            if self.written:
                row["spans"] = [
                    {"type": kind, "start": start, "end": end, "text": " ".join(tokens[start:end])}
                    for kind, start, end in spans(tags)
                ]
            made.append(row)
        return made


class Tagging(Task):
    """Predict a tag for every token."""

    spec = SPEC
    not_explained = "returns a tag for every token and not one class to explain"
    takes_loss = False
    answers_each_step = True

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        if dataset.task != self.name:
            raise ConfigError(
                f"Tagging needs a tag for every token: expected a column of tokens and one of tags, and "
                f"{dataset.target!r} makes this {dataset.task}.",
                remedy="--task tag, or pellucid.load data with lists in two columns",
            )
        if not reads_tokens:
            raise ConfigError(f"{config.model.name} reads no tokens: expected {REMEDY}.")
        preprocess = fitted or Preprocess.fit(dataset, text=config.data.text)
        rows: dict[str, Rows] = {
            name: RaggedRows(*_encoded(preprocess, table)) for name, table in dataset.splits.items()
        }
        sizes = ", ".join(f"{name} {len(part.inputs.ids):,}" for name, part in rows.items())  # type: ignore[attr-defined]
        return Prepared(
            config,
            dataset,
            preprocess,
            rows,
            f"in memory, tokens: {sizes}",
            augment=_replace_rare(token_lists(preprocess), rows["train"]),
            eval_batch=measured_batch(config, preprocess.num_outputs),
        )

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        read_options(NoOptions, config)
        section, weights = config.objective, None
        if section.class_weights not in (False, True):
            raise ConfigError(
                "objective.class_weights: expected true or false for tags, "
                f"received {section.class_weights!r}."
            )
        if prepared is not None:
            count = partial(_count, prepared)
            weights = class_weights(section.class_weights, prepared.preprocess.classes, count)
        return tagging(section.label_smoothing, weights)

    def check(self, model: nn.Module, objective: Objective, prepared: Prepared) -> None:
        check_each_step(model, objective, prepared, reads="tokens", each="one for every tag at every token")

    def baselines(self, prepared: Prepared) -> Baselines:
        """The most frequent tag, that of each token, and a linear model of the tokens around."""
        preprocess = prepared.preprocess
        size, classes = preprocess.vocab_size or 0, self.num_outputs(preprocess)
        parts = {"train": "train", **EVALUATED}
        rows = {
            prefix: (prepared.rows[split].inputs, _classes(prepared, split))  # type: ignore[attr-defined]
            for split, prefix in parts.items()
            if split in prepared.rows
        }
        return dict(measure_baselines(rows.pop("train"), rows, size, classes))

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        from sklearn import metrics as scores  # here, since predicting does not need it

        table, target = prepared.dataset.splits[split], _tags(trained.preprocess)
        source, wanted = prepared.rows[split], target.rows(table)
        assert isinstance(source, RaggedRows)
        probs = probabilities(trained, source.inputs, prepared.batches(split).batch_size)
        real, preds = wanted.ids.astype(np.int64) - 1, probs.argmax(1)
        losses = -np.log(probs[np.arange(len(real)), real].clip(1e-12))
        right, labels = preds == real, np.unique(np.concatenate([real, preds]))
        metrics = {
            "loss": float(losses.mean()),
            "accuracy": float(right.mean()),
            "f1": float(scores.f1_score(real, preds, labels=labels, average="macro", zero_division=0.0)),  # type: ignore[arg-type]
        }
        by_row = [
            [
                target.names(ids[start:end])
                for start, end in zip(wanted.offsets, wanted.offsets[1:], strict=False)
            ]
            for ids in (real, preds)
        ]
        if are_spans(target.classes):
            metrics["span_f1"] = span_f1(*by_row)
        confusion = scores.confusion_matrix(real, preds, labels=range(len(target.classes))).tolist()
        by_loss = np.split(losses, wanted.offsets[1:-1])
        blocks = [
            _mistakes(token_lists(trained.preprocess), table, by_row, by_loss),
            {
                "kind": "confusion",
                "title": "Tags that are mistaken for each other",
                "caption": "Tokens by their tag (row) and the predicted one (column).",
                "classes": list(target.classes),
                "counts": confusion,
            },
        ]
        predictions = pa.table({"row": np.arange(len(table)), "target": by_row[0], "prediction": by_row[1]})
        return Outcome(
            metrics, {"rows": len(table), "task": self.name, "tokens": len(real)}, predictions, blocks=blocks
        )

    def read(self, trained: Trained, inputs: Any, *, skip_bad: bool = False) -> InputRows:
        return read_rows(trained.preprocess, inputs)

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Tagged:
        """Tag texts, lists of tokens, or the rows of a file; see `read_rows`."""
        for option in options:
            raise UnknownNameError(f"option to predict with {self.name}", option, ())
        encoded, target = token_lists(trained.preprocess), _tags(trained.preprocess)
        rows = inputs if isinstance(inputs, InputRows) else self.read(trained, inputs)
        tokens = rows.table[encoded.name].to_pylist()
        whole = encoded.encode(tokens)
        probs = probabilities(trained, pieces(whole, encoded.max_seq_len), 64)
        best, certain = target.names(probs.argmax(1)), probs.max(1).tolist()
        bounds = list(zip(whole.offsets.tolist(), whole.offsets[1:].tolist(), strict=False))
        return Tagged(
            tokens,
            [best[start:end] for start, end in bounds],
            [certain[start:end] for start, end in bounds],
            are_spans(target.classes),
        )


def probabilities(trained: Trained, rows: Ragged, batch_size: int) -> np.ndarray:
    """Return the probabilities of every token of rows, one after the other: (N, K)."""
    mode, source = execution_mode(trained.execution), RaggedRows(rows, rows)
    found = np.zeros((len(rows.ids), trained.preprocess.num_outputs))
    with evaluating(trained.model):
        for chosen in source.plan(batch_size, None):
            inputs, _ = next(source.batches([chosen]))
            with mode.computing(trained.device):
                logits = read_logits(trained.model(mode.place_batch(inputs, trained.device))).float()
            probs = F.softmax(logits, dim=2).cpu().numpy()
            for place, row in enumerate(chosen.tolist()):
                start, end = rows.offsets[row], rows.offsets[row + 1]
                found[start:end] = probs[place, : end - start]
    return found


def _replace_rare(encoded: TokenLists, rows: Rows) -> ReplaceRare | None:
    assert isinstance(rows, RaggedRows)
    counts = np.bincount(rows.inputs.ids, minlength=encoded.vocab_size)
    return None if encoded.letters else ReplaceRare(encoded, counts)


def _encoded(preprocess: Preprocess, table: pa.Table) -> tuple[Ragged, Ragged]:
    encoded = token_lists(preprocess)
    return encoded.rows(table), pieces(_tags(preprocess).rows(table), encoded.max_seq_len)


def _tags(preprocess: Preprocess) -> Tags:
    assert isinstance(preprocess.target, Tags)
    return preprocess.target


def _classes(prepared: Prepared, split: str) -> np.ndarray:
    """Return the class of every token of a split: (N,)."""
    return prepared.rows[split].targets.ids.astype(np.int64) - 1  # type: ignore[attr-defined]


def _count(prepared: Prepared) -> Tensor:
    """Return the number of training tokens of each tag, (K,)."""
    counts = np.bincount(_classes(prepared, "train"), minlength=prepared.preprocess.num_outputs)
    return torch.from_numpy(counts).double()


def _mistakes(
    encoded: TokenLists, table: pa.Table, by_row: Sequence[list[list[str]]], losses: Sequence[np.ndarray]
) -> dict[str, Any]:
    """Show the rows with the largest loss: each token with its predicted tag, colored by its loss."""
    worst = np.argsort([-row.sum() for row in losses], kind="stable")[:SHOWN].tolist()
    tokens = table[encoded.name].take(pa.array(worst)).to_pylist()
    rows = []
    for row, words in zip(worst, tokens, strict=True):
        wanted, found = by_row[0][row], by_row[1][row]
        mistakes = sum(a != b for a, b in zip(wanted, found, strict=True))
        rows.append(
            {
                "label": f"row {row + 1:,}",
                "tokens": words if encoded.letters else list(map(_written, words, wanted, found)),
                "weights": [round(float(loss), 3) for loss in losses[row]],
                "note": f"{mistakes:,} of {len(words):,} tags are wrong",
            }
        )
    written = "" if encoded.letters else " A mistake is written token/predicted (right)."
    caption = f"The rows with the largest loss; the color is the loss of each tag, in nats.{written}"
    return {"kind": "tokens", "title": "Worst rows", "caption": caption, "rows": rows}


def _written(token: str, wanted: str, found: str) -> str:
    if wanted == found:
        return token if found == "O" else f"{token}/{found}"
    return f"{token}/{found} ({wanted})"


TASK = Tagging()
