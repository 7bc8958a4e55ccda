"""What the tasks on unlabeled text share: streams of tokens, read in windows.

Shapes: B windows, T tokens, V vocabulary. Texts are read as one stream, each ended by EOS, in windows of
`data.text.max_seq_len` tokens; so the first tokens of a window have little context.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from pellucid.config import Config, TextConfig
from pellucid.data.batches import Augment, Batches, Rows
from pellucid.data.dataset import UNLABELED, Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.data.text.text_inputs import EOS, MASK, TextInputs
from pellucid.data.text.token_rows import StreamRows, stream
from pellucid.errors import BadDataError, ModelError
from pellucid.nn.device import device_of
from pellucid.nn.modes import evaluating
from pellucid.tasks.prepared import EVAL_BATCH, Prepared
from pellucid.tasks.shared.text_generation import tokens_of
from pellucid.tasks.shared.token_loss import Losses
from pellucid.tasks.task import Task
from pellucid.train.objective import Objective

FEW_TOKENS = 1000
"""Fewer training tokens than these are warned of."""
LOGITS = 2**25
"""Most numbers in the logits of an evaluation batch: 128 MiB."""


class TextTask(Task):
    """Base of the tasks that read a stream of tokens in windows."""

    takes_loss = False
    writes: ClassVar[bool] = False
    """Whether texts are written with the tokens, so that line breaks are among them."""

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        dataset = with_unlabeled(dataset)
        preprocess = fitted or Preprocess.fit(
            dataset, text=config.data.text, whole_texts=True, layout=self.writes
        )
        encoded = tokens_of(preprocess)
        window = min(config.data.text.max_seq_len, encoded.max_seq_len)
        rows: dict[str, Rows] = {
            name: StreamRows(stream(encoded.column(table), EOS), window)
            for name, table in dataset.splits.items()
        }
        check_tokens(dataset.name, {name: stream_tokens(part) for name, part in rows.items()}, encoded)
        sizes = ", ".join(f"{name} {len(stream_tokens(part)):,}" for name, part in rows.items())
        return Prepared(
            config,
            dataset,
            preprocess,
            rows,
            f"in memory, tokens: {sizes}",
            corrupt=self._corrupt(encoded, config.data.text),
            eval_batch=measured_batch(config, encoded.vocab_size),
        )

    def warnings(self, prepared: Prepared) -> list[str]:
        encoded = tokens_of(prepared.preprocess)
        tokens, window = stream_tokens(prepared.rows["train"]), prepared.config.data.text.max_seq_len
        kinds = np.unique(tokens[tokens > MASK])
        found = []
        if len(kinds) == 1:
            token = encoded.pieces(kinds)[0]
            found.append(
                f"The training text is {token!r} again and again: there is nothing to learn from it."
            )
        if len(tokens) < FEW_TOKENS:
            found.append(
                f"The training text has {len(tokens):,} tokens, and a model learns so few word for word. "
                f"Try: more text; some {100 * FEW_TOKENS:,} tokens make a small language model"
            )
        held = [name for name in ("validation", "test") if name in prepared.rows]
        short = [name for name in held if len(stream_tokens(prepared.rows[name])) < window]
        if short and len(tokens) >= FEW_TOKENS:
            found.append(
                f"The text of {' and '.join(short)} is shorter than a window of {window} tokens, so that its "
                "measures are rough. Try: more text, or a larger data.validation"
            )
        return found

    def _corrupt(self, encoded: TextInputs, text: TextConfig) -> Augment | None:
        return None

    def num_outputs(self, preprocess: Preprocess) -> int:
        return tokens_of(preprocess).vocab_size

    def check(self, model: nn.Module, objective: Objective, prepared: Prepared) -> None:
        inputs, _ = next(iter(Batches(prepared.rows["train"], 2)))
        expected = (*inputs.shape, self.num_outputs(prepared.preprocess))
        device = device_of(model)
        with evaluating(model):
            try:
                logits = model(inputs.to(device))
            except Exception as error:
                shape = tuple(inputs.shape)
                raise ModelError(
                    f"The model cannot read tokens of shape {shape}: {error}", remedy=self.remedy
                ) from error
            if tuple(logits.shape) != expected:
                raise ModelError(
                    f"Expected logits of shape {expected}, one for every token at every position; "
                    f"received {tuple(logits.shape)}.",
                    remedy=self.remedy,
                )
            self._check_reading(model, inputs.to(device), logits)
            objective.phases[0].loss(model, (inputs.to(device), inputs.to(device)))

    remedy: ClassVar[str]
    """What to try where the model does not fit."""

    def _check_reading(self, model: nn.Module, inputs: Tensor, logits: Tensor) -> None:
        """Refuse a model that sees its targets."""

    def _summary(self, prepared: Prepared, split: str, losses: Losses) -> dict[str, Any]:
        return {"rows": len(prepared.rows[split]), "task": self.name, "tokens": losses.count}


# ---- data --------------------------------------------------------------------------------------


def with_unlabeled(dataset: Dataset) -> Dataset:
    """Add texts without labels to the training texts, where the source has some."""
    extra = dataset.splits.get(UNLABELED)
    if extra is None:
        return dataset
    splits = {name: table for name, table in dataset.splits.items() if name != UNLABELED}
    splits["train"] = pa.concat_tables([splits["train"], extra])
    return dataset.with_splits(splits, f"train: {len(extra):,} texts without labels are added")


def check_tokens(source: str, splits: Mapping[str, np.ndarray], encoded: TextInputs) -> None:
    """Refuse texts of which nothing can be predicted.

    Args:
        source: what they are from, for the message.
        splits: the tokens of each split.
        encoded: what they mean.

    Raises:
        BadDataError: a split has fewer than two tokens, or all words of the training text are unknown.
    """
    for name, tokens in splits.items():
        if len(tokens) < 2:
            raise BadDataError(
                f"{source}: expected at least 2 tokens of text in {name}, received {len(tokens)}.",
                remedy="more text, or a larger data.validation and data.test",
            )
    if not (splits["train"] > MASK).any():
        raise BadDataError(
            f"{source}: all {len(splits['train']):,} tokens of the training text are unknown: a word is "
            "learned if it comes twice.",
            remedy="more text, or --set data.text.tokenizer=characters",
        )


def measured_batch(config: Config, vocab_size: int) -> int:
    """Return the rows of an evaluation batch, so that its logits fit in memory."""
    return min(EVAL_BATCH, max(1, LOGITS // (config.data.text.max_seq_len * vocab_size)))


def stream_tokens(rows: Rows) -> np.ndarray:
    """Return the tokens of a stream, (N,)."""
    assert isinstance(rows, StreamRows)
    return rows.tokens


def token_counts(prepared: Prepared, split: str = "train") -> Tensor:
    """Return the count of each token in a split, (V,)."""
    vocab_size = tokens_of(prepared.preprocess).vocab_size
    return torch.from_numpy(np.bincount(stream_tokens(prepared.rows[split]), minlength=vocab_size))


def counted_metrics(prefix: str, logs: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Return the metrics of counts on a split, from the result of `NGrams.score`."""
    return {f"{prefix}/loss": float(-logs.mean()), f"{prefix}/accuracy": float(right.mean())}


def with_perplexity(metrics: dict[str, float]) -> dict[str, float]:
    """Add the perplexity: e to the power of the loss, with the loss limited to 700."""
    return {**metrics, "perplexity": math.exp(min(metrics["loss"], 700.0))}
