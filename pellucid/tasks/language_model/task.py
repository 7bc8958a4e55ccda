"""Language modeling: predict the next token, and continue texts.

Shapes: B windows, T tokens, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.config import Config
from pellucid.data.compute import pc
from pellucid.data.text.text_inputs import EOS, MASK, TextInputs
from pellucid.errors import ModelError, UsageError
from pellucid.evaluation import Outcome, Trained
from pellucid.record import Run
from pellucid.tasks.language_model.objective import Options, language_model
from pellucid.tasks.language_model.spec import SPEC
from pellucid.tasks.options import predict_options, read_options
from pellucid.tasks.prepared import EVALUATED, Prepared
from pellucid.tasks.shared import ngram_counts
from pellucid.tasks.shared.prompts import ReadsPrompts, prompt_texts, read_prompts
from pellucid.tasks.shared.text_generation import (
    TextAnswers,
    TextSamples,
    can_generate,
    generate_tokens,
    stream_new_tokens,
    tokens_of,
)
from pellucid.tasks.shared.text_task import (
    TextTask,
    counted_metrics,
    stream_tokens,
    token_counts,
)
from pellucid.tasks.shared.token_loss import Losses
from pellucid.tasks.shared.writing import Sampling, cut_at, pieces
from pellucid.tasks.task import Answer, Baselines
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective

SHOWN = 5
TEMPERATURE = 0.8
ORDERS = {"unigram": (), "bigram": (2,), "trigram": (2, 3)}
LONG_ORDERS = {**ORDERS, "6-gram": (2, 3, 4, 5, 6)}
"""Baselines for characters, of which three carry little information."""


class LanguageModel(ReadsPrompts, TextTask):
    """Predict the next token."""

    spec = SPEC
    not_explained = ""
    outputs = "next_tokens"
    remedy = "a model such as gpt or lstm_lm"
    predict_options = Sampling
    option_kind = "sampling"
    writes = True

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        num_sampled = read_options(Options, config).num_sampled
        counts = token_counts(prepared) if prepared and num_sampled else None
        return language_model(config.objective.label_smoothing, num_sampled=num_sampled, counts=counts)

    def _check_reading(self, model: nn.Module, inputs: Tensor, logits: Tensor) -> None:
        """Change the last token: the predictions for the tokens before must stay the same."""
        changed = inputs.clone()
        changed[:, -1] = torch.where(changed[:, -1] == EOS, MASK, EOS)
        if not torch.allclose(model(changed)[:, :-1], logits[:, :-1], rtol=1e-3, atol=1e-4):
            raise ModelError(
                "The model is not causal: a later token changed its outputs for earlier ones, so it would "
                "learn to copy.",
                remedy=f"{self.remedy}, or objective.name=masked_language_model",
            )

    def baselines(self, prepared: Prepared) -> Baselines:
        """Count which tokens follow which."""
        encoded = tokens_of(prepared.preprocess)
        learned = stream_tokens(prepared.rows["train"])
        found: Baselines = {}
        for name, orders in (LONG_ORDERS if encoded.kind == "characters" else ORDERS).items():
            model = ngram_counts.NGrams(*ngram_counts.following(learned, orders), encoded.vocab_size)
            found[name] = {}
            for split, prefix in EVALUATED.items():
                if split in prepared.rows:
                    logs, right = model.score(
                        *ngram_counts.following(stream_tokens(prepared.rows[split]), orders)
                    )
                    found[name] |= counted_metrics(prefix, logs, right)
        return found

    def callbacks(self, run: Run, prepared: Prepared) -> list[Callback]:
        encoded = tokens_of(prepared.preprocess)
        prompt = _beginning(prepared)
        length = _length(encoded) // (4 if prepared.short else 1)
        how = Sampling(max_new_tokens=length, temperature=TEMPERATURE)

        def text(model: nn.Module) -> str:
            return encoded.decode([*prompt, *generate_tokens(model, encoded, [prompt], how, None)[0]])

        caption = f"The same beginning, continued after every epoch at temperature {TEMPERATURE}."
        example = TextSamples(run, text, title="Samples by epoch", caption=caption)
        return [example]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        losses = Losses.of(trained, prepared.batches(split))
        metrics, encoded = losses.metrics, tokens_of(trained.preprocess)
        if encoded.lossless:
            characters = pc.sum(pc.utf8_length(prepared.dataset.splits[split][encoded.name])).as_py()
            metrics["bits_per_character"] = losses.total / math.log(2) / characters
        blocks = [losses.loss_by_token(encoded), losses.loss_by_position()]
        if can_generate(trained.model):
            blocks.insert(0, _continued(trained, prepared, split))
        return Outcome(metrics, self._summary(prepared, split, losses), blocks=blocks)

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Answer:
        """Continue texts; options are those of `Sampling`."""
        how, encoded = predict_options(Sampling, options, self.option_kind), tokens_of(trained.preprocess)
        _check_generates(trained.model)
        prompts = read_prompts(trained.preprocess, inputs, how)
        texts = prompt_texts(trained.preprocess, prompts)
        ids = [encoded.encode([prompt], masks=False).ids.tolist() or [EOS] for prompt in texts]
        made = iter(generate_tokens(trained.model, encoded, ids, how, EOS, _unseen(trained)))
        return TextAnswers(
            [
                {
                    **name,
                    "prompt": prompt,
                    "prediction": cut_at(_continuation(encoded, row, next(made)), how.stops),
                }
                for name, prompt, row in zip(prompts.names, texts, ids, strict=True)
                for _ in range(how.samples)
            ]
        )

    def stream(self, trained: Trained, text: str, **options: Any) -> Iterator[str]:
        """Yield the continuation of a text piece by piece; together they are what `predict` returns."""
        how, encoded = predict_options(Sampling, options, self.option_kind), tokens_of(trained.preprocess)
        _check_generates(trained.model)
        prompt = encoded.encode([text], masks=False).ids.tolist() or [EOS]
        grown = stream_new_tokens(trained.model, encoded, prompt, how, EOS, _unseen(trained))
        return pieces((_continuation(encoded, prompt, new) for new in grown), how.stops)


def _unseen(trained: Trained) -> tuple[int, ...]:
    """Return the token that ends a text, if the model learned from a single one and never saw another."""
    if trained.folder is None:
        return ()
    rows = Run(trained.folder).facts.get("dataset", {}).get("splits", {})
    return (EOS,) if rows.get("train", {}).get("rows") == 1 else ()


def _check_generates(model: nn.Module) -> None:
    if not can_generate(model):
        raise UsageError("This model cannot generate text: it has no `new_cache()`.")


def _beginning(prepared: Prepared) -> list[int]:
    """What a sample goes on from: the end of a text, so that another begins; in a single one its words."""
    if len(prepared.dataset.splits["train"]) > 1:
        return [EOS]
    known = _length(tokens_of(prepared.preprocess)) // 8
    return stream_tokens(prepared.rows[prepared.validation])[:known].tolist()


def _length(encoded: TextInputs) -> int:
    """Tokens of a sample, about as long to read in any case."""
    return 200 if encoded.kind == "characters" else 60


# ---- what is shown -----------------------------------------------------------------------------


def _continued(trained: Trained, prepared: Prepared, split: str) -> dict[str, Any]:
    """Passages from all over a split, each with how the model goes on from it."""
    encoded, tokens = tokens_of(trained.preprocess), stream_tokens(prepared.rows[split])
    length = _length(encoded) // (4 if prepared.short else 1)
    known = min(length // 8, len(tokens))
    starts = np.linspace(0, len(tokens) - known, SHOWN).astype(int)
    prompts = [tokens[start : start + known].tolist() for start in starts]
    how = Sampling(max_new_tokens=length, temperature=TEMPERATURE)
    made = generate_tokens(trained.model, encoded, prompts, how, None)
    rows = [
        {
            "text": _continuation(encoded, prompt, new),
            "label": f"prompt: {encoded.decode(prompt)}",
            "note": "",
        }
        for prompt, new in zip(prompts, made, strict=True)
    ]
    caption = f"Continuations of passages of this split, sampled at temperature {TEMPERATURE}."
    return {"kind": "texts", "title": "Samples", "caption": caption, "rows": rows}


def _continuation(encoded: TextInputs, prompt: list[int], new: list[int]) -> str:
    """The new part of a text, with the space before its first word where there is one."""
    before, whole = encoded.decode(prompt), encoded.decode([*prompt, *new])
    return whole[len(before) :] if whole.startswith(before) else encoded.decode(new)


TASK = LanguageModel()
