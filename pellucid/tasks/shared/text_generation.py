"""Generated text: samples during training, and predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pellucid.data.preprocess import Preprocess
from pellucid.data.text.text_inputs import TextInputs
from pellucid.evaluation import SAMPLES
from pellucid.models import generation
from pellucid.models.sampling import Continuations, SampleSettings
from pellucid.nn.modes import evaluating
from pellucid.record import Run, files
from pellucid.tasks.shared.snapshots import save_blocks
from pellucid.tasks.shared.writing import Sampling, Stops
from pellucid.train.callbacks import Callback
from pellucid.train.trainer import Trainer

BATCH = 64
"""Texts that are continued together."""


def can_generate(model: nn.Module) -> bool:
    """Whether a model can continue a text token by token."""
    return hasattr(model, "new_cache")


def generate_tokens(
    model: Any,
    encoded: TextInputs,
    prompts: list[list[int]],
    how: Sampling,
    stop: int | None,
    never: Sequence[int] = (),
) -> list[list[int]]:
    """Continue prompts of tokens; returns the new tokens of each, `how.samples` times.

    A text does not depend on the other prompts.

    Args:
        model: causal, with a cache.
        encoded: the vocabulary.
        prompts: token ids, one or more each.
        how: the sampling settings.
        stop: the token that ends a text; None: none does.
        never: tokens that are not written, besides those of `how`.
    """
    texts = [(prompt, copy) for prompt in prompts for copy in range(how.samples)]
    order = sorted(range(len(texts)), key=lambda number: len(texts[number][0]))
    made: list[list[int]] = [[]] * len(texts)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        chosen = [texts[row] for row in rows]
        settings = _settings(model, encoded, chosen, how, stop, never)
        grown = generation.sample(model, _padded(model, chosen), how.max_new_tokens, **settings)
        for row, tokens in zip(rows, grown.tolist(), strict=True):
            made[row] = [token for token in tokens[len(texts[row][0]) :] if token]
    return made


def stream_new_tokens(
    model: Any,
    encoded: TextInputs,
    prompt: list[int],
    how: Sampling,
    stop: int | None,
    never: Sequence[int] = (),
) -> Iterator[list[int]]:
    """Yield the new tokens of one text after every step; see `generate_tokens`."""
    first = [(prompt, 0)]
    settings = SampleSettings(**_settings(model, encoded, first, how, stop, never))
    texts = Continuations(model, _padded(model, first), how.max_new_tokens, settings)
    while not texts.done:
        with evaluating(model):
            texts.advance()
        yield texts.tokens[0, len(prompt) : texts.now].tolist()


def _settings(
    model: Any,
    encoded: TextInputs,
    texts: list[tuple[list[int], int]],
    how: Sampling,
    stop: int | None,
    never: Sequence[int],
) -> dict[str, Any]:
    """Return the settings of `sample` for prompts and the number of each among the samples of its prompt."""
    return {
        **how.settings,
        "never": (*how.never(encoded), *never),
        "stop": stop,
        "ended": Stops(encoded, how.stops) if how.stops else None,
        "generator": how.generators(texts, next(model.parameters()).device),
    }


def _padded(model: Any, texts: list[tuple[list[int], int]]) -> torch.Tensor:
    """Return prompts as (B, T), padded at the end."""
    longest = max(len(prompt) for prompt, _ in texts)
    rows = [[*prompt, *[0] * (longest - len(prompt))] for prompt, _ in texts]
    return torch.tensor(rows, device=next(model.parameters()).device)


class TextSamples(Callback):
    """Save a text the model generates before training and after every epoch, as `samples/epoch-003.txt`.

    Args:
        run: the run to write to.
        write: model -> text; must not use torch's global random generator.
        title: of the texts; no other callback of the run may have it.
        caption: what they show.
        name: start of the names of the text files, and the key of the state.
    """

    old_name = "Texts"

    def __init__(
        self, run: Run, write: Callable[[nn.Module], str], *, title: str, caption: str, name: str = "epoch"
    ):
        self.run, self.write, self.title, self.caption, self.name = run, write, title, caption, name
        self.state_key = f"{type(self).__name__}({name})"
        self.rows: list[dict[str, Any]] = []

    def on_train_start(self, trainer: Trainer) -> None:
        if trainer.step == 0:
            self._keep(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._keep(trainer)

    def _keep(self, trainer: Trainer) -> None:
        with torch.no_grad(), trainer.inference() as model:
            text = self.write(model)
        epoch = trainer.epochs_done
        files.write(self.run.path / SAMPLES / f"{self.name}-{epoch:03g}.txt", text.encode())
        self.rows = [row for row in self.rows if row["epoch"] < epoch]
        self.rows.append(
            {"label": f"epoch {epoch:g}" if epoch else "untrained", "text": text, "epoch": epoch}
        )
        save_blocks(self.run, self.title, [self.block()])

    def block(self) -> dict[str, Any]:
        """Return the block of the report that shows the samples."""
        rows = [{"label": row["label"], "text": row["text"], "note": ""} for row in self.rows]
        return {"kind": "texts", "title": self.title, "caption": self.caption, "rows": rows}

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = state["rows"]


@dataclass(frozen=True)
class TextAnswers:
    """Generated texts.

    Attributes:
        answers: one dict for each text, with at least "prediction".
        notes: what to know about them, one line each.
    """

    answers: list[dict[str, Any]]
    notes: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One dict for each text."""
        return self.answers


def tokens_of(preprocess: Preprocess) -> TextInputs:
    """Return the tokenizer of the inputs of a text model."""
    assert isinstance(preprocess.encoded, TextInputs)
    return preprocess.encoded


def prompts_from(preprocess: Preprocess, source: Any) -> list[str]:
    """Return the texts of a prediction input."""
    return [text or "" for text in preprocess.table_from(source)[tokens_of(preprocess).name].to_pylist()]
