"""Next words: pretraining for networks that classify texts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pellucid.config import Config
from pellucid.data.text.text_inputs import TextInputs
from pellucid.evaluation import Outcome, Trained, measure
from pellucid.nn.modes import evaluating
from pellucid.record import Run
from pellucid.tasks.language_model.task import LanguageModel
from pellucid.tasks.next_words.objective import SPECIAL, Options, importance, next_words
from pellucid.tasks.next_words.spec import SPEC
from pellucid.tasks.options import NoOptions, predict_options, read_options
from pellucid.tasks.prepared import EVALUATED, Prepared
from pellucid.tasks.shared.model_interfaces import tied_language_model
from pellucid.tasks.shared.text_generation import TextAnswers, TextSamples, prompts_from, tokens_of
from pellucid.tasks.shared.text_task import token_counts
from pellucid.tasks.task import Answer, Baselines, Task
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective

SHOWN = 16
"""Words to show."""
NEAREST = 8
"""Nearest words to show for each."""
EXPECTED = 10
"""Words to predict after a text."""
COMMON = 200
"""The most frequent words, this many, are not chosen to be shown."""


class NextWords(LanguageModel):
    """Predict which words follow soon."""

    spec = SPEC
    not_explained = "returns a word for every place and not one class to explain"
    remedy = "a model such as phrase_lm or lstm_lm"
    predict_options = NoOptions
    option_kind = "predicting next words"
    writes = False
    reading, read = Task.reading, Task.read  # type: ignore[assignment]  # a file of text is one text
    stream = Task.stream  # it predicts which words follow, not a text

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        options = read_options(Options, config)
        return next_words(**vars(options), counts=token_counts(prepared) if prepared else None)

    def baselines(self, prepared: Prepared) -> Baselines:
        """The frequency of each word, without context."""
        counts = token_counts(prepared)
        weights = importance(counts, read_options(Options, prepared.config).subsample)
        logs = (counts * weights).clamp(min=1e-3).log()
        logs = logs - logs.logsumexp(0)
        found = {}
        for split, prefix in EVALUATED.items():
            if split in prepared.rows:
                there = token_counts(prepared, split) * weights
                found[f"{prefix}/loss"] = float(-(there * logs).sum() / there.sum().clamp(min=1e-6))
        return {"unigram": found}

    def callbacks(self, run: Run, prepared: Prepared) -> list[Callback]:
        encoded, words = tokens_of(prepared.preprocess), _words(prepared)

        def text(model: nn.Module) -> str:
            rows = _nearest_words(model, encoded, words)
            return "\n".join(f"{word}: {', '.join(near)}" for word, near in rows)

        caption = "The words with the nearest vectors, for some words, after every epoch."
        return [TextSamples(run, text, title="Nearest words by epoch", caption=caption)]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        weighed = replace(trained, objective=self.objective(prepared.config, prepared))
        loss = measure(weighed, prepared.batches(split))["loss"]
        metrics = {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
        nearest = _nearest_words(trained.model, tokens_of(trained.preprocess), _words(prepared))
        block = {
            "kind": "table",
            "title": "Nearest words",
            "caption": "Some words, and those it predicts in the same contexts: the nearest by the cosine of "
            "their output vectors.",
            "columns": ["word", "nearest"],
            "rows": [[word, ", ".join(near)] for word, near in nearest],
        }
        return Outcome(metrics, {"rows": len(prepared.rows[split]), "task": self.name}, blocks=[block])

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Answer:
        """Predict the next words after texts, the most characteristic first."""
        predict_options(NoOptions, options, self.option_kind)
        encoded, model = tokens_of(trained.preprocess), tied_language_model(trained.model)
        weight, bias = model.output_weights()
        answers = []
        with evaluating(trained.model):
            for text in prompts_from(trained.preprocess, inputs):
                ids = torch.from_numpy(encoded.read([text]).ids.astype(np.int64))[None]
                scores = F.linear(model.hidden(ids.to(weight.device))[0, -1], weight, bias)[SPECIAL:]
                best = scores.topk(min(EXPECTED, len(scores))).indices + SPECIAL
                answers.append({"prompt": text, "prediction": ", ".join(encoded.pieces(best.tolist()))})
        return TextAnswers(answers)


def _words(prepared: Prepared) -> list[int]:
    """Return some frequent words, without the most frequent, which differ only in grammar."""
    order = token_counts(prepared)[SPECIAL:].argsort(descending=True) + SPECIAL
    chosen = order[COMMON if len(order) > 10 * COMMON else 0 :][: 100 * SHOWN]
    steps = np.linspace(0, len(chosen) - 1, min(SHOWN, len(chosen))).astype(int)
    return [int(chosen[step]) for step in steps]


def _nearest_words(model: nn.Module, encoded: TextInputs, words: list[int]) -> list[tuple[str, list[str]]]:
    """Return the nearest words of each, by their output vectors."""
    vectors = F.normalize(tied_language_model(model).output_weights()[0].detach().float(), dim=1)[
        SPECIAL:
    ]  # (V - 5, H)
    close = vectors[torch.tensor(words) - SPECIAL] @ vectors.T
    close[torch.arange(len(words)), torch.tensor(words) - SPECIAL] = -torch.inf
    nearest = close.topk(min(NEAREST, len(vectors) - 1)).indices + SPECIAL
    return [
        (encoded.pieces([word])[0], encoded.pieces(row.tolist()))
        for word, row in zip(words, nearest, strict=True)
    ]


TASK = NextWords()
