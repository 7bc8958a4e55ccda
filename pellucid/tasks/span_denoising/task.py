"""Span denoising: predict the spans removed from a text (T5, Raffel et al. 2020).

Shapes: B texts, S source tokens, T target tokens.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from pellucid.config import Config
from pellucid.data.batches import Batches, Rows
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.data.text.masking import MaskSpans
from pellucid.data.text.ragged import join
from pellucid.data.text.text_inputs import BOS, MASK, TextInputs
from pellucid.data.text.token_rows import StreamRows, stream
from pellucid.errors import UsageError
from pellucid.evaluation import Outcome, Trained, measure
from pellucid.record import Run
from pellucid.tasks.options import NoOptions, predict_options, read_options
from pellucid.tasks.prepared import EVALUATED, Prepared
from pellucid.tasks.shared import ngram_counts
from pellucid.tasks.shared.prompts import ReadsPrompts, prompt_texts, read_prompts
from pellucid.tasks.shared.sequence_generation import (
    can_translate,
    check_can_translate,
    cut_notes,
    translate,
)
from pellucid.tasks.shared.text_generation import TextAnswers, TextSamples, tokens_of
from pellucid.tasks.shared.text_task import (
    counted_metrics,
    measured_batch,
    with_perplexity,
    with_unlabeled,
)
from pellucid.tasks.shared.writing import Search, cut_at
from pellucid.tasks.span_denoising import spans
from pellucid.tasks.span_denoising.objective import span_denoising
from pellucid.tasks.span_denoising.spec import SPEC
from pellucid.tasks.task import Answer, Baselines
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective

FILLED = 256
"""Windows whose spans are filled, to be scored."""
COUNTED = 20_000
"""Windows whose tokens are counted for the baselines."""
SHOWN = 10
"""Texts to show."""
GREEDY = Search(beams=1)


class SpanDenoising(ReadsPrompts):
    """Predict the spans that were removed from a text (T5, Raffel et al. 2020)."""

    spec = SPEC
    not_explained = "writes texts and returns no class or number to explain"
    takes_loss = False
    predict_options = Search
    option_kind = "the search"

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        dataset, window = with_unlabeled(dataset), config.data.text.max_seq_len
        gaps = spans.num_spans(window)
        preprocess = fitted
        if preprocess is None:
            preprocess = Preprocess.fit(dataset, text=config.data.text, whole_texts=True)
            preprocess = replace(preprocess, encoded=tokens_of(preprocess).with_gaps(gaps))
        encoded = tokens_of(preprocess)
        streams: dict[str, Rows] = {
            # EOS ends what is written, so texts are kept apart by BOS
            name: StreamRows(stream(encoded.column(table), BOS), window)
            for name, table in dataset.splits.items()
        }
        return Prepared(
            config,
            dataset,
            preprocess,
            streams,
            "in memory, as tokens",
            corrupt=MaskSpans(encoded.vocab_size - gaps, gaps),
            eval_batch=measured_batch(config, encoded.vocab_size),
        )

    def num_outputs(self, preprocess: Preprocess) -> int:
        return tokens_of(preprocess).vocab_size

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        read_options(NoOptions, config)
        return span_denoising(config.objective.label_smoothing)

    def baselines(self, prepared: Prepared) -> Baselines:
        """Count tokens and n-grams; neither sees the text after a span."""
        first_gap = _first_gap(prepared.preprocess)
        learned, contexts = spans.counted(prepared.training_batches(), first_gap, COUNTED)
        held_out = {
            prefix: (
                spans.counted(prepared.batches(split), first_gap, len(prepared.rows[split])),
                _to_fill(prepared, split),
            )
            for split, prefix in EVALUATED.items()
            if split in prepared.rows
        }
        found: Baselines = {}
        for levels, name in enumerate(spans.COUNTING):
            seen = contexts[:levels]
            model, found[name] = ngram_counts.NGrams(learned, seen, first_gap + 1), {}
            for prefix, ((wanted, before), (given, truths)) in held_out.items():
                found[name] |= counted_metrics(prefix, *model.score(wanted, before[:levels]))
                said = spans.filled_by_counting(learned, seen, given, first_gap)
                found[name][f"{prefix}/exact_fill"] = spans.exact_fill(said, truths, first_gap)[0]
        return found

    def callbacks(self, run: Run, prepared: Prepared) -> list[Callback]:
        encoded, first_gap = tokens_of(prepared.preprocess), _first_gap(prepared.preprocess)
        source, target = (part[0].tolist() for part in next(iter(prepared.batches(prepared.validation))))
        source = [token for token in source if token]
        never = _never(encoded, GREEDY, first_gap)

        def text(model: nn.Module) -> str:
            said = translate(model, join([source], 2**32), GREEDY, never=never)[0].tokens
            return encoded.decode(spans.filled(source, spans.parse(said, first_gap), first_gap))

        truth = encoded.decode(spans.filled(source, spans.parse(target, first_gap), first_gap))
        caption = f"The same text with its gaps filled after every epoch. The original: {truth}"
        return [TextSamples(run, text, title="Restored spans by epoch", caption=caption)]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        metrics = with_perplexity(measure(trained, prepared.batches(split)))
        summary = {"rows": len(prepared.rows[split]), "task": self.name}
        if not can_translate(trained.model):
            return Outcome(metrics, summary)
        encoded, first_gap = tokens_of(trained.preprocess), _first_gap(trained.preprocess)
        given, wanted = _to_fill(prepared, split)
        never = _never(encoded, GREEDY, first_gap)
        found = translate(trained.model, join(given, 2**32), GREEDY, never=never)
        said = [each.tokens for each in found]
        metrics["exact_fill"], gaps = spans.exact_fill(said, wanted, first_gap)
        blocks = [spans.examples(encoded, given[:SHOWN], said[:SHOWN], wanted[:SHOWN])]
        return Outcome(metrics, {**summary, "gaps": gaps}, blocks=blocks)

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Answer:
        """Fill the gaps of texts, written [MASK]; options are those of `Search`."""
        how = predict_options(Search, options, self.option_kind)
        check_can_translate(trained.model)
        encoded, first_gap = tokens_of(trained.preprocess), _first_gap(trained.preprocess)
        prompts = read_prompts(trained.preprocess, inputs, how)
        texts = prompt_texts(trained.preprocess, prompts)
        sources = [_marked(encoded, text, first_gap) for text in texts]
        never = _never(encoded, how, first_gap)
        found = translate(trained.model, join(sources, 2**32), how, never=never)
        answers = [
            {
                **name,
                "prompt": text,
                "prediction": cut_at(
                    encoded.decode(spans.filled(source, spans.parse(each.tokens, first_gap), first_gap)),
                    how.stops,
                ),
                "score": each.score,
                "cut": each.cut,
            }
            for name, text, source, each in zip(prompts.names, texts, sources, found, strict=True)
        ]
        return TextAnswers(answers, cut_notes(found, trained.model))


def _never(encoded: TextInputs, how: Search, first_gap: int) -> tuple[int, ...]:
    """Return the tokens that are not written; those of gaps are."""
    return how.never(encoded, but=range(first_gap, encoded.vocab_size))


def _first_gap(preprocess: Preprocess) -> int:
    encoded = tokens_of(preprocess)
    return encoded.vocab_size - spans.num_spans(encoded.max_seq_len)


def _marked(encoded: TextInputs, text: str, first_gap: int) -> list[int]:
    """A text as tokens, with its [MASK] numbered as gaps."""
    ids = encoded.encode([text], masks=True).ids.astype(np.int64)
    places = np.flatnonzero(ids == MASK)
    most = encoded.vocab_size - first_gap
    if not 1 <= len(places) <= most or len(ids) > encoded.max_seq_len:
        raise UsageError(
            f"Expected a text of at most {encoded.max_seq_len} tokens with 1 to {most} gaps, each written "
            f"[MASK]; received {len(ids):,} tokens with {len(places)}: {text!r:.60}."
        )
    ids[places] = first_gap + np.arange(len(places))
    return ids.tolist()


def _to_fill(prepared: Prepared, split: str) -> tuple[list[list[int]], list[list[int]]]:
    """Return the first texts of a split with removed spans, and the spans; always the same."""
    batches = Batches(prepared.rows[split], FILLED, augment=prepared.corrupt, limit=FILLED)
    given, wanted = (
        [[token for token in row if token] for row in part.tolist()] for part in next(iter(batches))
    )
    return given, wanted


TASK = SpanDenoising()
