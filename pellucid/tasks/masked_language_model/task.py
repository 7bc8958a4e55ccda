"""Masked language modeling: predict masked tokens, and fill [MASK] in texts.

Shapes: B windows, T tokens, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from pellucid.config import Config, TextConfig
from pellucid.data.batches import Augment, Batches
from pellucid.data.text.masking import MaskTokens
from pellucid.data.text.text_inputs import TextInputs
from pellucid.evaluation import Outcome, Trained
from pellucid.record import Run
from pellucid.tasks.language_model.objective import Options
from pellucid.tasks.masked_language_model import fill_mask
from pellucid.tasks.masked_language_model.objective import masked_language_model
from pellucid.tasks.masked_language_model.spec import SPEC
from pellucid.tasks.options import predict_options, read_options
from pellucid.tasks.prepared import EVALUATED, Prepared
from pellucid.tasks.shared import ngram_counts
from pellucid.tasks.shared.prompts import ReadsPrompts, prompt_texts, read_prompts
from pellucid.tasks.shared.text_generation import TextAnswers, TextSamples, tokens_of
from pellucid.tasks.shared.text_task import (
    TextTask,
    counted_metrics,
    stream_tokens,
    token_counts,
)
from pellucid.tasks.shared.token_loss import PASSAGE, Losses
from pellucid.tasks.shared.writing import Reading
from pellucid.tasks.task import Answer, Baselines
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective


class MaskedLanguageModel(ReadsPrompts, TextTask):
    """Predict masked tokens."""

    spec = SPEC
    not_explained = "returns a word for every gap and not one class to explain"
    outputs = "masked_tokens"
    remedy = "a model such as bert or lstm_mlm"
    predict_options = Reading
    option_kind = "filling masks"

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        num_sampled = read_options(Options, config).num_sampled
        counts = token_counts(prepared) if prepared and num_sampled else None
        return masked_language_model(config.objective.label_smoothing, num_sampled=num_sampled, counts=counts)

    def _corrupt(self, encoded: TextInputs, text: TextConfig) -> Augment | None:
        return MaskTokens(encoded.vocab_size, text.mask_prob)

    def baselines(self, prepared: Prepared) -> Baselines:
        """Count the neighbors of tokens; masked neighbors are masked here too."""
        words, contexts = fill_mask.between(stream_tokens(prepared.rows["train"]).astype(np.int64))
        vocab_size = tokens_of(prepared.preprocess).vocab_size
        held_out = {
            prefix: fill_mask.asked_for(prepared.batches(split))
            for split, prefix in EVALUATED.items()
            if split in prepared.rows
        }
        found: Baselines = {}
        for levels, name in enumerate(("unigram", "left_neighbor", "both_neighbors")):
            model, found[name] = ngram_counts.NGrams(words, contexts[:levels], vocab_size), {}
            for prefix, (wanted, neighbors) in held_out.items():
                found[name] |= counted_metrics(prefix, *model.score(wanted, neighbors[:levels]))
        return found

    def callbacks(self, run: Run, prepared: Prepared) -> list[Callback]:
        encoded = tokens_of(prepared.preprocess)
        inputs, targets = next(iter(Batches(prepared.rows[prepared.validation], 1, augment=prepared.corrupt)))

        def text(model: nn.Module) -> str:
            return encoded.decode(fill_mask.filled(model, inputs, targets)[0, :PASSAGE].numpy())

        caption = "The same text with the same masks, filled after every epoch."
        return [TextSamples(run, text, title="Predicted tokens by epoch", caption=caption)]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        losses = Losses.of(trained, prepared.batches(split))
        blocks = [fill_mask.filled_block(trained, prepared.batches(split))]
        return Outcome(losses.metrics, self._summary(prepared, split, losses), blocks=blocks)

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Answer:
        """Fill the [MASK] of texts; options are those of `Reading`."""
        how, encoded = predict_options(Reading, options, self.option_kind), tokens_of(trained.preprocess)
        prompts = read_prompts(trained.preprocess, inputs, how)
        texts = prompt_texts(trained.preprocess, prompts)
        return TextAnswers(
            [
                {**name, **fill_mask.answer(trained.model, encoded, text)}
                for name, text in zip(prompts.names, texts, strict=True)
            ]
        )


TASK = MaskedLanguageModel()
