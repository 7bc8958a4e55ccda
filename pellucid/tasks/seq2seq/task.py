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
from pellucid.tasks.options import predict_options, read_options
from pellucid.tasks.prepared import EVALUATED, Prepared
from pellucid.tasks.seq2seq import translation
from pellucid.tasks.seq2seq.objective import Options, seq2seq
from pellucid.tasks.seq2seq.spec import SPEC
from pellucid.tasks.shared.prompts import ReadsPrompts, prompt_texts, read_prompts
from pellucid.tasks.shared.sequence_generation import (
    can_translate,
    check_can_translate,
    cut_notes,
    translate,
)
from pellucid.tasks.shared.text_generation import TextAnswers, TextSamples, tokens_of
from pellucid.tasks.shared.text_task import (
    measured_batch,
    with_perplexity,
)
from pellucid.tasks.shared.writing import Search, cut_at
from pellucid.tasks.task import Answer, Baselines
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective

SCORED = 2000
"""Texts translated for BLEU."""
SHOWN = 10
"""Translations to show."""
FOLLOWED = 4
"""Texts translated after every epoch."""
GREEDY = Search(beams=1)


class Seq2Seq(ReadsPrompts):
    """Translate texts."""

    spec = SPEC
    not_explained = "writes texts and returns no class or number to explain"
    takes_loss = False
    predict_options = Search
    option_kind = "the search"

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
                    scores, _ = _scores(prepared, translations, references)
                    found[name] |= {f"{prefix}/{measure}": value for measure, value in scores.items()}
        return found

    def callbacks(self, run: Run, prepared: Prepared) -> list[Callback]:
        outputs, settings = _outputs(prepared.preprocess), _limits(prepared.preprocess, GREEDY)
        sources, texts, references = _sample(prepared, prepared.validation, FOLLOWED)

        def text(model: nn.Module) -> str:
            said = [outputs.decode(each.tokens) for each in translate(model, sources, GREEDY, **settings)]
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
        how = Search()
        found = translate(trained.model, sources, how, **_limits(trained.preprocess, how))
        said = [outputs.decode(each.tokens) for each in found]
        scores, signature = _scores(prepared, said, references)
        metrics |= scores
        cut = sum(each.cut for each in found)
        summary |= {"translated": len(said), "bleu": signature, "cut": cut}
        shown = np.linspace(0, len(said) - 1, min(SHOWN, len(said))).astype(int)
        examples = [
            {"label": texts[row], "text": said[row], "note": f"reference: {references[row]}"} for row in shown
        ]
        caption = "Texts from all parts of this split, their translations, and the reference translations."
        blocks = [{"kind": "texts", "title": "Translations", "caption": caption, "rows": examples}]
        first = int(shown[len(shown) // 2])
        aligned = translation.alignment(
            trained.model, sources.row(first).tolist(), found[first].tokens, inputs, outputs
        )
        predictions = pa.table({"source": texts, "prediction": said, "reference": references})
        return Outcome(metrics, summary, predictions, blocks=[*blocks, *([aligned] if aligned else [])])

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Answer:
        """Translate texts; options are those of `Search`."""
        how = predict_options(Search, options, self.option_kind)
        check_can_translate(trained.model)
        prompts, encoded = read_prompts(trained.preprocess, inputs, how), tokens_of(trained.preprocess)
        texts = prompt_texts(trained.preprocess, prompts)
        outputs = _outputs(trained.preprocess)
        found = translate(trained.model, encoded.read(texts), how, **_limits(trained.preprocess, how))
        answers = [
            {
                **name,
                "prompt": text,
                "prediction": cut_at(outputs.decode(each.tokens), how.stops),
                "score": each.score,
                "cut": each.cut,
            }
            for name, text, each in zip(prompts.names, texts, found, strict=True)
        ]
        return TextAnswers(answers, cut_notes(found, trained.model))


# ---- settings ----------------------------------------------------------------------------------


def _outputs(preprocess: Preprocess) -> TextInputs:
    return _target(preprocess).tokens


def _target(preprocess: Preprocess) -> Tokens:
    assert isinstance(preprocess.target, Tokens)
    return preprocess.target


def _limits(preprocess: Preprocess, how: Search) -> dict[str, Any]:
    """Return what is never written, and how long texts become."""
    target = _target(preprocess)
    return {"never": how.never(target.tokens), "longest": target.longest}


# ---- texts -------------------------------------------------------------------------------------


def _sample(prepared: Prepared, split: str, most: int = SCORED) -> tuple[Ragged, list[str], list[str]]:
    """Return rows spread over a split: the sources as tokens and as texts, and the targets."""
    table, preprocess = prepared.dataset.splits[split], prepared.preprocess
    inputs, outputs = tokens_of(preprocess), _outputs(preprocess)
    if len(table) > most:
        table = table.take(pa.array(np.linspace(0, len(table) - 1, most).astype(np.int64)))
    texts, references = ([text or "" for text in table[part.name].to_pylist()] for part in (inputs, outputs))
    return inputs.rows(table), texts, references


def _scores(
    prepared: Prepared, translations: Sequence[str], references: Sequence[str]
) -> tuple[dict[str, float], str]:
    return translation.scores(translations, references, prepared.config.data.text.lowercase)


TASK = Seq2Seq()
