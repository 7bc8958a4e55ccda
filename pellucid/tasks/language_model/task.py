"""Models of text that learn without labels: what comes next, and what stood in a gap.

Shapes: B windows, T tokens, V vocabulary. Texts are read as one stream, each ended by EOS, in windows of
`data.text.max_seq_len` tokens; so the first tokens of a window are predicted from few others.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from pellucid.config import Config, TextConfig
from pellucid.data.batches import Augment, Batches, Rows
from pellucid.data.compute import pc
from pellucid.data.dataset import UNLABELED, Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.data.text.masking import MaskTokens
from pellucid.data.text.text_inputs import EOS, MASK, TextInputs
from pellucid.data.text.token_rows import StreamRows, stream
from pellucid.errors import ModelError, UsageError
from pellucid.evaluation import Outcome, Trained
from pellucid.nn.modes import evaluating
from pellucid.record import Run
from pellucid.tasks import objectives
from pellucid.tasks.masked_language_model import fill_mask
from pellucid.tasks.prepared import EVAL_BATCH, EVALUATED, Prepared
from pellucid.tasks.shared import ngrams
from pellucid.tasks.shared.texts import Sampling, Texts, Written, asked, can_write, tokens_of, write
from pellucid.tasks.shared.token_loss import PASSAGE, Losses
from pellucid.tasks.task import Answer, Baselines, Task, build_objective
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective

LOGITS = 2**25
"""Most numbers in the logits of a batch that is measured: 128 MiB."""
SHOWN = 5
TEMPERATURE = 0.8
ORDERS = {"unigram": (), "bigram": (2,), "trigram": (2, 3)}
LONG_ORDERS = {**ORDERS, "6-gram": (2, 3, 4, 5, 6)}
"""What counting is done for single characters, of which three say little."""


class TextTask(Task):
    """What the two tasks share: a stream of tokens, read in windows."""

    labelled = False

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        dataset = with_unlabeled(dataset)
        preprocess = fitted or Preprocess.fit(dataset, text=config.data.text, whole_texts=True)
        encoded = tokens_of(preprocess)
        window = config.data.text.max_seq_len
        rows: dict[str, Rows] = {
            name: StreamRows(stream(encoded.column(table), EOS), window)
            for name, table in dataset.splits.items()
        }
        sizes = ", ".join(f"{name} {len(_tokens(part)):,}" for name, part in rows.items())
        return Prepared(
            config,
            dataset,
            preprocess,
            rows,
            f"in memory, tokens: {sizes}",
            corrupt=self._corrupt(encoded, config.data.text),
            eval_batch=measured_batch(config, encoded.vocab_size),
        )

    def _corrupt(self, encoded: TextInputs, text: TextConfig) -> Augment | None:
        return None

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        return build_objective(
            objectives.language_model,
            config,
            label_smoothing=config.objective.label_smoothing,
            counts=token_counts(prepared) if prepared and "sampled" in config.objective.options else None,
            name=self.name,
        )

    def num_outputs(self, preprocess: Preprocess) -> int:
        return tokens_of(preprocess).vocab_size

    def check(self, model: nn.Module, objective: Objective, prepared: Prepared) -> None:
        inputs, _ = next(iter(Batches(prepared.rows["train"], 2)))
        expected = (*inputs.shape, self.num_outputs(prepared.preprocess))
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        with evaluating(model):
            try:
                logits = model(inputs.to(device))
            except Exception as error:
                shape = tuple(inputs.shape)
                raise ModelError(
                    f"The model cannot read tokens of shape {shape}: {error}", remedy=self._remedy
                ) from error
            if tuple(logits.shape) != expected:
                raise ModelError(
                    f"Expected logits of shape {expected}, one for every token at every place; "
                    f"received {tuple(logits.shape)}.",
                    remedy=self._remedy,
                )
            self._check_reading(model, inputs.to(device), logits)
            objective.phases[0].loss(model, (inputs.to(device), inputs.to(device)))

    _remedy: ClassVar[str]

    def _check_reading(self, model: nn.Module, inputs: Tensor, logits: Tensor) -> None:
        """Refuse a model that sees what it must not."""

    def _summary(self, prepared: Prepared, split: str, losses: Losses) -> dict[str, Any]:
        return {"rows": len(prepared.rows[split]), "task": self.name, "tokens": losses.count}


class LanguageModel(TextTask):
    """Say the next token."""

    name = "language_model"
    _remedy = "a model such as gpt or lstm_lm"

    def _check_reading(self, model: nn.Module, inputs: Tensor, logits: Tensor) -> None:
        """Change the last token: what is said about the tokens before must stay."""
        changed = inputs.clone()
        changed[:, -1] = torch.where(changed[:, -1] == EOS, MASK, EOS)
        if not torch.allclose(model(changed)[:, :-1], logits[:, :-1], rtol=1e-3, atol=1e-4):
            raise ModelError(
                "The model looks ahead: a later token changed what it says about earlier ones, so it would "
                "learn to copy.",
                remedy=f"{self._remedy}, or objective.name=masked_language_model",
            )

    def baselines(self, prepared: Prepared) -> Baselines:
        """Count which tokens follow which."""
        encoded = tokens_of(prepared.preprocess)
        learned = _tokens(prepared.rows["train"])
        found: Baselines = {}
        for name, orders in (LONG_ORDERS if encoded.kind == "characters" else ORDERS).items():
            model = ngrams.NGrams(*ngrams.following(learned, orders), encoded.vocab_size)
            found[name] = {}
            for split, prefix in EVALUATED.items():
                if split in prepared.rows:
                    logs, right = model.score(*ngrams.following(_tokens(prepared.rows[split]), orders))
                    found[name] |= counted_metrics(prefix, logs, right)
        return found

    def callbacks(self, run: Run, prepared: Prepared, judge: Trained | None) -> list[Callback]:
        encoded = tokens_of(prepared.preprocess)
        prompt = _beginning(prepared)
        how = Sampling(_length(encoded), TEMPERATURE)

        def text(model: nn.Module) -> str:
            return encoded.decode([*prompt, *write(model, encoded, [prompt], how, None)[0]])

        caption = f"The same beginning, continued after every epoch at temperature {TEMPERATURE}."
        example = Texts(run, text, title="What it writes while it learns", caption=caption)
        return [example]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str, judge: Trained | None) -> Outcome:
        losses = Losses.of(trained, prepared.batches(split))
        metrics, encoded = losses.metrics, tokens_of(trained.preprocess)
        if encoded.lossless:
            characters = pc.sum(pc.utf8_length(prepared.dataset.splits[split][encoded.name])).as_py()
            metrics["bits_per_character"] = losses.total / math.log(2) / characters
        blocks = [losses.surprises(encoded), losses.by_place()]
        if can_write(trained.model):
            blocks.insert(0, _continued(trained, _tokens(prepared.rows[split])))
        return Outcome(metrics, self._summary(prepared, split, losses), blocks=blocks)

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Answer:
        """Continue texts; options are those of `Sampling`."""
        how, encoded = Sampling.of(options), tokens_of(trained.preprocess)
        if not can_write(trained.model):
            raise UsageError("This model cannot write: it has no `new_cache()`.")
        prompts = asked(trained.preprocess, inputs)
        ids = [encoded.encode([prompt], masks=False).ids.tolist() or [EOS] for prompt in prompts]
        made = write(trained.model, encoded, ids, how, EOS)
        given = [prompt for prompt in prompts for _ in range(how.samples)]
        before = [row for row in ids for _ in range(how.samples)]
        return Written(
            [
                {"prompt": prompt, "prediction": _continuation(encoded, row, new)}
                for prompt, row, new in zip(given, before, made, strict=True)
            ]
        )


class MaskedLanguageModel(TextTask):
    """Say what stood in the gaps of a text."""

    name = "masked_language_model"
    _remedy = "a model such as bert or lstm_mlm"

    def _corrupt(self, encoded: TextInputs, text: TextConfig) -> Augment | None:
        return MaskTokens(encoded.vocab_size, text.mask_prob)

    def baselines(self, prepared: Prepared) -> Baselines:
        """Count which tokens stand beside which, and see the gaps as the model sees them."""
        words, contexts = fill_mask.between(_tokens(prepared.rows["train"]).astype(np.int64))
        vocab_size = tokens_of(prepared.preprocess).vocab_size
        held_out = {
            prefix: fill_mask.asked_for(prepared.batches(split))
            for split, prefix in EVALUATED.items()
            if split in prepared.rows
        }
        found: Baselines = {}
        for levels, name in enumerate(("unigram", "left_neighbor", "both_neighbors")):
            model, found[name] = ngrams.NGrams(words, contexts[:levels], vocab_size), {}
            for prefix, (wanted, beside) in held_out.items():
                found[name] |= counted_metrics(prefix, *model.score(wanted, beside[:levels]))
        return found

    def callbacks(self, run: Run, prepared: Prepared, judge: Trained | None) -> list[Callback]:
        encoded = tokens_of(prepared.preprocess)
        inputs, targets = next(iter(Batches(prepared.rows[prepared.validation], 1, augment=prepared.corrupt)))

        def text(model: nn.Module) -> str:
            return encoded.decode(fill_mask.filled(model, inputs, targets)[0, :PASSAGE].numpy())

        caption = "The same text with the same gaps, filled after every epoch."
        return [Texts(run, text, title="What it fills in while it learns", caption=caption)]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str, judge: Trained | None) -> Outcome:
        losses = Losses.of(trained, prepared.batches(split))
        blocks = [fill_mask.filled_block(trained, prepared.batches(split))]
        return Outcome(losses.metrics, self._summary(prepared, split, losses), blocks=blocks)

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Answer:
        """Fill the gaps of texts, written [MASK]."""
        if options:
            raise UsageError(f"Filling gaps has no options: received {', '.join(options)}.")
        encoded = tokens_of(trained.preprocess)
        return Written(
            [fill_mask.answer(trained.model, encoded, text) for text in asked(trained.preprocess, inputs)]
        )


# ---- data --------------------------------------------------------------------------------------


def with_unlabeled(dataset: Dataset) -> Dataset:
    """Read texts without labels along with the training texts, where the source has some."""
    extra = dataset.splits.get(UNLABELED)
    if extra is None:
        return dataset
    splits = {name: table for name, table in dataset.splits.items() if name != UNLABELED}
    splits["train"] = pa.concat_tables([splits["train"], extra])
    return dataset.with_splits(splits, f"train: {len(extra):,} texts without labels are read, too")


def measured_batch(config: Config, vocab_size: int) -> int:
    """Windows in a batch that is measured, so that its logits fit in memory."""
    return min(EVAL_BATCH, max(1, LOGITS // (config.data.text.max_seq_len * vocab_size)))


def _tokens(rows: Rows) -> np.ndarray:
    assert isinstance(rows, StreamRows)
    return rows.tokens


def token_counts(prepared: Prepared, split: str = "train") -> Tensor:
    """How often each token is there in a split, (V,)."""
    vocab_size = tokens_of(prepared.preprocess).vocab_size
    return torch.from_numpy(np.bincount(_tokens(prepared.rows[split]), minlength=vocab_size))


def _beginning(prepared: Prepared) -> list[int]:
    """What a sample goes on from: the end of a text, so that another begins; in a single one its words."""
    if len(prepared.dataset.splits["train"]) > 1:
        return [EOS]
    known = _length(tokens_of(prepared.preprocess)) // 8
    return _tokens(prepared.rows[prepared.validation])[:known].tolist()


def _length(encoded: TextInputs) -> int:
    """Tokens of a sample, about as long to read in any case."""
    return 400 if encoded.kind == "characters" else 100


# ---- what is shown -----------------------------------------------------------------------------


def _continued(trained: Trained, tokens: np.ndarray) -> dict[str, Any]:
    """Passages from all over a split, each with how the model goes on from it."""
    encoded = tokens_of(trained.preprocess)
    length = _length(encoded)
    known = min(length // 8, len(tokens))
    starts = np.linspace(0, len(tokens) - known, SHOWN).astype(int)
    prompts = [tokens[start : start + known].tolist() for start in starts]
    made = write(trained.model, encoded, prompts, Sampling(length, TEMPERATURE), None)
    rows = [
        {"text": _continuation(encoded, prompt, new), "note": encoded.decode(prompt), "label": "after"}
        for prompt, new in zip(prompts, made, strict=True)
    ]
    caption = f"How it goes on from passages of this split, at temperature {TEMPERATURE}."
    return {"kind": "texts", "title": "What it writes", "caption": caption, "rows": rows}


def _continuation(encoded: TextInputs, prompt: list[int], new: list[int]) -> str:
    """The new part of a text, with the space before its first word where there is one."""
    before, whole = encoded.decode(prompt), encoded.decode([*prompt, *new])
    return whole[len(before) :] if whole.startswith(before) else encoded.decode(new)


def counted_metrics(prefix: str, logs: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """The metrics of counting on a split, from what `NGrams.score` says."""
    return {f"{prefix}/loss": float(-logs.mean()), f"{prefix}/accuracy": float(right.mean())}


TASK = LanguageModel()
