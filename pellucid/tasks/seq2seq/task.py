"""Translation: write one text after reading another.

Shapes: B texts, S source tokens, T target tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from torch import nn

from pellucid.config import Config
from pellucid.data.batches import encode_splits
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.data.targets.tokens import Tokens
from pellucid.data.text.ragged import Ragged
from pellucid.data.text.text_inputs import TextInputs
from pellucid.errors import ConfigError
from pellucid.evaluation import Outcome, Trained, measure
from pellucid.record import Run
from pellucid.tasks.options import read_options
from pellucid.tasks.prepared import EVALUATED, Prepared
from pellucid.tasks.seq2seq import translation
from pellucid.tasks.seq2seq.objective import Options, seq2seq
from pellucid.tasks.seq2seq.spec import SPEC
from pellucid.tasks.shared.sequence_generation import beam_search, can_translate, translate
from pellucid.tasks.shared.text_generation import TextAnswers, TextSamples, prompts_from, tokens_of
from pellucid.tasks.shared.text_task import (
    measured_batch,
    with_perplexity,
)
from pellucid.tasks.task import Answer, Baselines, Task
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective

SCORED = 2000
"""Texts translated for BLEU."""
SHOWN = 10
"""Translations to show."""
FOLLOWED = 4
"""Texts translated after every epoch."""


class Seq2Seq(Task):
    """Translate texts."""

    spec = SPEC
    takes_loss = False

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        if dataset.task != "translation":
            raise ConfigError(
                f"A seq2seq model generates texts: expected a target of texts, and {dataset.target!r} makes "
                f"this {dataset.task}.",
                remedy="--set data.target=COLUMN --set 'data.columns={COLUMN: text}'",
            )
        shared = read_options(Options, config).shared_vocabulary
        preprocess = fitted or Preprocess.fit(dataset, text=config.data.text, shared_tokens=shared)
        encoded, held = encode_splits(dataset.splits, preprocess, config.data.memory)
        return Prepared(
            config,
            dataset,
            preprocess,
            encoded,
            held,
            eval_batch=measured_batch(config, self.num_outputs(preprocess)),
        )

    def num_outputs(self, preprocess: Preprocess) -> int:
        return _outputs(preprocess).vocab_size

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        read_options(Options, config)
        return seq2seq(config.objective.label_smoothing)

    def baselines(self, prepared: Prepared) -> Baselines:
        """The source itself, and each word by its most probable translation."""
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

    def callbacks(self, run: Run, prepared: Prepared) -> list[Callback]:
        outputs = _outputs(prepared.preprocess)
        sources, texts, references = _sample(prepared, prepared.validation, FOLLOWED)

        def text(model: nn.Module) -> str:
            said = [outputs.decode(tokens) for tokens, _ in translate(model, sources, beams=1)]
            parts = zip(texts, said, references, strict=True)
            return "\n\n".join(
                f"{source}\n-> {words}\n   ({reference})" for source, words, reference in parts
            )

        caption = "The same texts, translated after every epoch by greedy decoding."
        return [TextSamples(run, text, title="Translations by epoch", caption=caption)]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        metrics = with_perplexity(measure(trained, prepared.batches(split)))
        summary = {"rows": len(prepared.rows[split]), "task": self.name}
        if not can_translate(trained.model):
            return Outcome(metrics, summary)
        inputs, outputs = tokens_of(trained.preprocess), _outputs(trained.preprocess)
        sources, texts, references = _sample(prepared, split)
        found = [tokens for tokens, _ in translate(trained.model, sources)]
        said = [outputs.decode(tokens) for tokens in found]
        metrics["bleu"], signature = _bleu(prepared, said, references)
        summary |= {"translated": len(said), "bleu": signature}
        shown = np.linspace(0, len(said) - 1, min(SHOWN, len(said))).astype(int)
        examples = [
            {"label": texts[row], "text": said[row], "note": f"reference: {references[row]}"} for row in shown
        ]
        caption = "Texts from all parts of this split, their translations, and the reference translations."
        blocks = [{"kind": "texts", "title": "Translations", "caption": caption, "rows": examples}]
        first = int(shown[len(shown) // 2])
        aligned = translation.alignment(
            trained.model, sources.row(first).tolist(), found[first], inputs, outputs
        )
        predictions = pa.table({"source": texts, "prediction": said, "reference": references})
        return Outcome(metrics, summary, predictions, blocks=[*blocks, *([aligned] if aligned else [])])

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Answer:
        """Translate texts; options are `beams` and `length_penalty`."""
        texts, encoded = prompts_from(trained.preprocess, inputs), tokens_of(trained.preprocess)
        sources = encoded.encode(texts).cut(encoded.max_seq_len, encoded.truncation).filled(1)
        outputs = _outputs(trained.preprocess)
        return TextAnswers(
            [
                {"prompt": text, "prediction": outputs.decode(tokens), "score": score}
                for text, (tokens, score) in zip(texts, beam_search(trained, sources, options), strict=True)
            ]
        )


# ---- settings ----------------------------------------------------------------------------------


def _outputs(preprocess: Preprocess) -> TextInputs:
    assert isinstance(preprocess.target, Tokens)
    return preprocess.target.tokens


# ---- texts -------------------------------------------------------------------------------------


def _sample(prepared: Prepared, split: str, most: int = SCORED) -> tuple[Ragged, list[str], list[str]]:
    """Return rows spread over a split: the sources as tokens and as texts, and the targets."""
    table, preprocess = prepared.dataset.splits[split], prepared.preprocess
    inputs, outputs = tokens_of(preprocess), _outputs(preprocess)
    if len(table) > most:
        table = table.take(pa.array(np.linspace(0, len(table) - 1, most).astype(np.int64)))
    texts, references = ([text or "" for text in table[part.name].to_pylist()] for part in (inputs, outputs))
    return inputs.rows(table), texts, references


def _bleu(prepared: Prepared, translations: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
    return translation.bleu(translations, references, prepared.config.data.text.lowercase)


TASK = Seq2Seq()
