"""Generated text: samples during training, and predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn

from pellucid.data.preprocess import Preprocess
from pellucid.data.text.text_inputs import TextInputs
from pellucid.errors import UnknownNameError, UsageError
from pellucid.evaluation import SAMPLES
from pellucid.models import generation
from pellucid.record import Run, files
from pellucid.tasks.shared.snapshots import save_blocks
from pellucid.train.callbacks import Callback
from pellucid.train.trainer import Trainer


@dataclass(frozen=True)
class Sampling:
    """How to sample text from a model; see `pellucid.models.generation.sample`.

    Attributes:
        max_new_tokens: most tokens of each text.
        temperature: below 1 is more predictable, above 1 more varied; 0 always takes the most likely token.
        top_k: sample from the k most likely tokens.
        top_p: sample from the smallest set of tokens with this total probability.
        samples: texts for each prompt.
        seed: the same seed gives the same texts.
    """

    max_new_tokens: int = 200
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    samples: int = 1
    seed: int = 0

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Sampling:
        """Read options by name.

        Raises:
            UnknownNameError: there is no such option.
            UsageError: a number is below 1.
        """
        known = [field.name for field in fields(cls)]
        for option in options:
            if option not in known:
                raise UnknownNameError("option of sampling", option, known)
        made = cls(**options)
        for option, count in (("max_new_tokens", made.max_new_tokens), ("samples", made.samples)):
            if not isinstance(count, int) or count < 1:
                raise UsageError(f"{option}: expected a whole number of 1 or more, received {count!r}.")
        return made


def can_generate(model: nn.Module) -> bool:
    """Whether a model can continue a text token by token."""
    return hasattr(model, "new_cache")


def generate_tokens(
    model: Any, encoded: TextInputs, prompts: list[list[int]], how: Sampling, stop: int | None
) -> list[list[int]]:
    """Continue prompts of tokens; returns the new tokens of each.

    Args:
        model: causal, with a cache.
        encoded: the vocabulary.
        prompts: token ids, one or more each.
        how: the sampling settings.
        stop: the token that ends a text; None: none does.

    Raises:
        UsageError: a setting is out of its range.
    """
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(how.seed)
    longest = max(map(len, prompts))
    rows = [[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts for _ in range(how.samples)]
    try:
        made = generation.sample(
            model,
            torch.tensor(rows, device=device),
            how.max_new_tokens,
            temperature=how.temperature,
            top_k=how.top_k,
            top_p=how.top_p,
            stop=stop,
            generator=generator,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    starts = [len(prompt) for prompt in prompts for _ in range(how.samples)]
    return [
        [token for token in row[start:].tolist() if token]
        for row, start in zip(made.cpu(), starts, strict=True)
    ]


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
        epoch = trainer.epoch
        files.write(self.run.path / SAMPLES / f"{self.name}-{epoch:03d}.txt", text.encode())
        self.rows = [row for row in self.rows if row["epoch"] < epoch]
        self.rows.append({"label": f"epoch {epoch}" if epoch else "untrained", "text": text, "epoch": epoch})
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
    """

    answers: list[dict[str, Any]]

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
