"""One text from another: translation, and spans cut out of a text.

Shapes: B texts, S source tokens, T target tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from torch import nn

from pellucid.config import Config
from pellucid.data.batches import Batches, Rows, rows
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.data.targets.tokens import Tokens
from pellucid.data.text.masking import MaskSpans
from pellucid.data.text.ragged import Ragged, join
from pellucid.data.text.text_inputs import BOS, MASK, TextInputs
from pellucid.data.text.token_rows import StreamRows, stream
from pellucid.errors import ConfigError, ModelError, UnknownNameError, UsageError
from pellucid.evaluation import Outcome, Trained, measure
from pellucid.record import Run
from pellucid.tasks import objectives
from pellucid.tasks.language_model.task import counted_metrics, measured_batch, with_unlabeled
from pellucid.tasks.prepared import EVALUATED, Prepared
from pellucid.tasks.seq2seq import translation
from pellucid.tasks.shared import ngrams
from pellucid.tasks.shared.texts import Texts, Written, asked, tokens_of
from pellucid.tasks.span_denoising import spans
from pellucid.tasks.task import Answer, Baselines, Task, build_objective
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective

SHARED = "shared_vocabulary"
"""The option that says that source and target have one vocabulary."""
SCORED, SHOWN, FOLLOWED = 2000, 10, 4
"""Texts that are translated to be scored, are shown, and are translated after every epoch."""
FILLED, COUNTED = 256, 20_000
"""Windows whose gaps are filled to be scored, and windows that are counted."""


class Seq2Seq(Task):
    """Translate texts."""

    name = "seq2seq"

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        if dataset.task != "translation":
            raise ConfigError(
                f"A seq2seq model writes texts: expected a target that is text, and {dataset.target!r} makes "
                f"this {dataset.task}.",
                remedy="--set data.target=COLUMN --set 'data.columns={COLUMN: text}'",
            )
        shared = bool(config.objective.options.get(SHARED, False))
        preprocess = fitted or Preprocess.fit(dataset, text=config.data.text, shared_tokens=shared)
        encoded = {
            name: rows(table, preprocess, config.data.memory) for name, table in dataset.splits.items()
        }
        return Prepared(
            config,
            dataset,
            preprocess,
            {name: found for name, (found, _) in encoded.items()},
            "; ".join(f"{name} {reason}" for name, (_, reason) in encoded.items()),
            eval_batch=measured_batch(config, self.num_outputs(preprocess)),
        )

    def num_outputs(self, preprocess: Preprocess) -> int:
        return _outputs(preprocess).vocab_size

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        options = {key: value for key, value in config.objective.options.items() if key != SHARED}
        section = config.objective.model_copy(update={"options": options})
        return _objective(objectives.seq2seq, config.model_copy(update={"objective": section}), self.name)

    def baselines(self, prepared: Prepared) -> Baselines:
        """The source as it is, and each word by its likeliest translation."""
        inputs, outputs = tokens_of(prepared.preprocess), _outputs(prepared.preprocess)
        train = prepared.dataset.splits["train"]
        best = translation.dictionary(inputs.rows(train), outputs.rows(train), inputs.vocab_size)
        found: Baselines = {"copy": {}, "word_by_word": {}}
        for split, prefix in EVALUATED.items():
            if split in prepared.rows:
                sources, texts, references = _sample(prepared, split)
                said = translation.word_by_word(sources, best)
                words = [outputs.decode(said.row(number)) for number in range(said.rows)]
                for name, translations in (("copy", texts), ("word_by_word", words)):
                    found[name][f"{prefix}/bleu"] = _bleu(prepared, translations, references)[0]
        return found

    def callbacks(self, run: Run, prepared: Prepared, judge: Trained | None) -> list[Callback]:
        outputs = _outputs(prepared.preprocess)
        sources, texts, references = _sample(prepared, prepared.validation, FOLLOWED)

        def text(model: nn.Module) -> str:
            said = [outputs.decode(tokens) for tokens, _ in translation.translate(model, sources, beams=1)]
            parts = zip(texts, said, references, strict=True)
            return "\n\n".join(
                f"{source}\n-> {words}\n   ({reference})" for source, words, reference in parts
            )

        caption = "The same texts, translated word by word without a search after every epoch."
        return [Texts(run, text, title="Translations while it learns", caption=caption)]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str, judge: Trained | None) -> Outcome:
        metrics = _with_perplexity(measure(trained, prepared.batches(split)))
        summary = {"rows": len(prepared.rows[split]), "task": self.name}
        if not translation.can_translate(trained.model):
            return Outcome(metrics, summary)
        inputs, outputs = tokens_of(trained.preprocess), _outputs(trained.preprocess)
        sources, texts, references = _sample(prepared, split)
        found = [tokens for tokens, _ in translation.translate(trained.model, sources)]
        said = [outputs.decode(tokens) for tokens in found]
        metrics["bleu"], signature = _bleu(prepared, said, references)
        summary |= {"translated": len(said), "bleu": signature}
        shown = np.linspace(0, len(said) - 1, min(SHOWN, len(said))).astype(int)
        examples = [
            {"label": texts[row], "text": said[row], "note": f"reference: {references[row]}"} for row in shown
        ]
        caption = "Texts from all over this split, how it translates them, and how a person did."
        blocks = [{"kind": "texts", "title": "Translations", "caption": caption, "rows": examples}]
        first = int(shown[len(shown) // 2])
        aligned = translation.alignment(
            trained.model, sources.row(first).tolist(), found[first], inputs, outputs
        )
        predictions = pa.table({"source": texts, "prediction": said, "reference": references})
        return Outcome(metrics, summary, predictions, blocks=[*blocks, *([aligned] if aligned else [])])

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Answer:
        """Translate texts; options are `beams` and `length_penalty`."""
        texts, encoded = asked(trained.preprocess, inputs), tokens_of(trained.preprocess)
        sources = encoded.encode(texts).cut(encoded.max_seq_len, encoded.truncation).filled(1)
        outputs = _outputs(trained.preprocess)
        return Written(
            [
                {"prompt": text, "prediction": outputs.decode(tokens), "score": score}
                for text, (tokens, score) in zip(texts, _searched(trained, sources, options), strict=True)
            ]
        )


class SpanDenoising(Task):
    """Write the spans that were cut out of a text (T5, Raffel et al. 2020)."""

    name = "span_denoising"
    labelled: ClassVar[bool] = False

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        dataset, window = with_unlabeled(dataset), config.data.text.max_seq_len
        gaps = spans.gaps_of(window)
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
            corrupt=MaskSpans(encoded.vocab_size - gaps, gaps, spans.SHARE, spans.LENGTH),
            eval_batch=measured_batch(config, encoded.vocab_size),
        )

    def num_outputs(self, preprocess: Preprocess) -> int:
        return tokens_of(preprocess).vocab_size

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        return _objective(objectives.seq2seq, config, self.name)

    def baselines(self, prepared: Prepared) -> Baselines:
        """Count tokens, and tokens after each other; neither sees what stands after a gap."""
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
            model, found[name] = ngrams.NGrams(learned, seen, first_gap + 1), {}
            for prefix, ((wanted, before), (given, truths)) in held_out.items():
                found[name] |= counted_metrics(prefix, *model.score(wanted, before[:levels]))
                said = spans.filled_by_counting(learned, seen, given, first_gap)
                found[name][f"{prefix}/exact_fill"] = spans.exact_fill(said, truths, first_gap)[0]
        return found

    def callbacks(self, run: Run, prepared: Prepared, judge: Trained | None) -> list[Callback]:
        encoded, first_gap = tokens_of(prepared.preprocess), _first_gap(prepared.preprocess)
        source, target = (part[0].tolist() for part in next(iter(prepared.batches(prepared.validation))))
        source = [token for token in source if token]

        def text(model: nn.Module) -> str:
            said = translation.translate(model, join([source], 2**32), beams=1)[0][0]
            return encoded.decode(spans.filled(source, spans.parse(said, first_gap), first_gap))

        truth = encoded.decode(spans.filled(source, spans.parse(target, first_gap), first_gap))
        caption = f"The same text with its gaps filled after every epoch. It was: {truth}"
        return [Texts(run, text, title="What it fills in while it learns", caption=caption)]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str, judge: Trained | None) -> Outcome:
        metrics = _with_perplexity(measure(trained, prepared.batches(split)))
        summary = {"rows": len(prepared.rows[split]), "task": self.name}
        if not translation.can_translate(trained.model):
            return Outcome(metrics, summary)
        encoded, first_gap = tokens_of(trained.preprocess), _first_gap(trained.preprocess)
        given, wanted = _to_fill(prepared, split)
        said = [tokens for tokens, _ in translation.translate(trained.model, join(given, 2**32), beams=1)]
        metrics["exact_fill"], gaps = spans.exact_fill(said, wanted, first_gap)
        blocks = [spans.examples(encoded, given[:SHOWN], said[:SHOWN], wanted[:SHOWN])]
        return Outcome(metrics, {**summary, "gaps": gaps}, blocks=blocks)

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Answer:
        """Fill the gaps of texts, written [MASK]; options are `beams` and `length_penalty`."""
        encoded, first_gap = tokens_of(trained.preprocess), _first_gap(trained.preprocess)
        texts = asked(trained.preprocess, inputs)
        sources = [_marked(encoded, text, first_gap) for text in texts]
        found = _searched(trained, join(sources, 2**32), options)
        return Written(
            [
                {
                    "prompt": text,
                    "prediction": encoded.decode(
                        spans.filled(source, spans.parse(tokens, first_gap), first_gap)
                    ),
                    "score": score,
                }
                for text, source, (tokens, score) in zip(texts, sources, found, strict=True)
            ]
        )


# ---- settings ----------------------------------------------------------------------------------


def _objective(function: Any, config: Config, name: str) -> Objective:
    return build_objective(function, config, label_smoothing=config.objective.label_smoothing, name=name)


def _outputs(preprocess: Preprocess) -> TextInputs:
    assert isinstance(preprocess.target, Tokens)
    return preprocess.target.tokens


def _first_gap(preprocess: Preprocess) -> int:
    encoded = tokens_of(preprocess)
    return encoded.vocab_size - spans.gaps_of(encoded.max_seq_len)


# ---- texts -------------------------------------------------------------------------------------


def _sample(prepared: Prepared, split: str, most: int = SCORED) -> tuple[Ragged, list[str], list[str]]:
    """At most so many rows from all over a split: the sources as tokens and as text, and their targets."""
    table, preprocess = prepared.dataset.splits[split], prepared.preprocess
    inputs, outputs = tokens_of(preprocess), _outputs(preprocess)
    if len(table) > most:
        table = table.take(pa.array(np.linspace(0, len(table) - 1, most).astype(np.int64)))
    texts, references = ([text or "" for text in table[part.name].to_pylist()] for part in (inputs, outputs))
    return inputs.rows(table), texts, references


def _bleu(prepared: Prepared, translations: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
    return translation.bleu(translations, references, prepared.config.data.text.lowercase)


def _searched(trained: Trained, sources: Ragged, options: dict[str, Any]) -> list[tuple[list[int], float]]:
    if not translation.can_translate(trained.model):
        raise ModelError(
            "This model cannot be searched for a text: it needs `encode`, `decode`, `new_cache()`."
        )
    known = ("beams", "length_penalty")
    for option in options:
        if option not in known:
            raise UnknownNameError("option of the search", option, known)
    try:
        return translation.translate(trained.model, sources, **options)
    except ValueError as error:
        raise UsageError(str(error)) from None


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
    """The first texts of a split with gaps, and what stood in them; always the same."""
    batches = Batches(prepared.rows[split], FILLED, augment=prepared.corrupt, limit=FILLED)
    given, wanted = (
        [[token for token in row if token] for row in part.tolist()] for part in next(iter(batches))
    )
    return given, wanted


def _with_perplexity(metrics: dict[str, float]) -> dict[str, float]:
    return {**metrics, "perplexity": math.exp(min(metrics["loss"], 700.0))}


TASK = Seq2Seq()
