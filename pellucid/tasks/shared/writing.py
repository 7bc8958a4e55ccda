"""Options of the tasks that write texts, and where the texts end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch

from pellucid.data.text.text_inputs import UNK, TextInputs
from pellucid.tasks.options import limited

_COUNT = limited("a whole number of 1 or more", ge=1, le=10_000_000)
_TEXTS = limited("a text, or a list of texts")


@dataclass(frozen=True)
class Reading:
    """How texts are read from files.

    Attributes:
        column: the column of a table that holds the inputs; None: the one named as in training.
        lines: whether a text file holds one input a line; otherwise it is one input.
    """

    column: Annotated[str | None, limited("the name of a column")] = None
    lines: Annotated[bool, limited("true or false")] = True


@dataclass(frozen=True)
class Writing(Reading):
    """What all tasks that write texts take.

    Attributes:
        stop: a text, or several, at the first of which a written text ends; it is not part of the result.
        allow_unknown: whether [UNK], the token of unknown words, may be written.
    """

    stop: Annotated[str | int | float | list[str | int | float] | tuple[str, ...] | None, _TEXTS] = None
    allow_unknown: Annotated[bool, limited("true or false")] = False

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts of `stop` that are not empty."""
        texts = self.stop if isinstance(self.stop, (list, tuple)) else [self.stop]
        return tuple(str(text) for text in texts if text not in (None, ""))

    def never(self, encoded: TextInputs, but: Sequence[int] = ()) -> tuple[int, ...]:
        """Return the tokens that are not written, without those of `but`."""
        allowed = {*but, *([UNK] if self.allow_unknown else [])}
        return tuple(token for token in encoded.unwritten if token not in allowed)


@dataclass(frozen=True)
class Sampling(Writing):
    """How to sample text from a model; see `pellucid.models.sampling.sample`.

    Attributes:
        max_new_tokens: most tokens of each text.
        temperature: below 1 is more predictable, above 1 more varied; 0 always takes the most likely token.
        top_k: sample from the k most likely tokens.
        top_p: sample from the smallest set of tokens with this total probability, in (0, 1].
        repetition_penalty: above 1 makes tokens that the text has already less likely (Keskar et al. 2019).
        samples: texts for each prompt.
        seed: the same seed gives the same texts, whatever else is in the batch.
    """

    max_new_tokens: Annotated[int, _COUNT] = 200
    temperature: Annotated[float, limited("a number of 0 or more", ge=0, allow_inf_nan=False)] = 0.8
    top_k: Annotated[int | None, _COUNT] = None
    top_p: Annotated[float | None, limited("a number above 0 and at most 1", gt=0, le=1)] = None
    repetition_penalty: Annotated[float, limited("a number above 0", gt=0, allow_inf_nan=False)] = 1.0
    samples: Annotated[int, _COUNT] = 1
    seed: Annotated[int, limited("a whole number", ge=-(2**63), lt=2**63)] = 0

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of `pellucid.models.sampling.sample` of the same names."""
        names = ("temperature", "top_k", "top_p", "repetition_penalty")
        return {name: getattr(self, name) for name in names}

    def generators(
        self, texts: Sequence[tuple[Sequence[int], int]], device: torch.device
    ) -> list[torch.Generator]:
        """Return a random number generator for each text.

        Args:
            texts: of each, the tokens of its prompt and its number among the samples of the prompt. Nothing
                else changes it, so that a text does not depend on its neighbors.
            device: where the random numbers are made.
        """
        return [torch.Generator(device).manual_seed(self._seed(tokens, copy)) for tokens, copy in texts]

    def _seed(self, tokens: Sequence[int], copy: int) -> int:
        content = repr((int(self.seed), copy, *map(int, tokens))).encode()
        return int.from_bytes(hashlib.blake2b(content, digest_size=7).digest(), "little")


@dataclass(frozen=True)
class Search(Writing):
    """How to write a target: by beam search, or sampled if `temperature` is set.

    Attributes:
        beams: beginnings that beam search keeps; 1 is greedy.
        length_penalty: of beam search; see `pellucid.models.generation.beam_search`.
        max_new_tokens: most tokens of each text; None: as many as the longest target in training.
        temperature: sample, as `Sampling` describes; None: beam search.
        top_k: as `Sampling`.
        top_p: as `Sampling`.
        repetition_penalty: as `Sampling`, with a temperature.
        seed: as `Sampling`.
    """

    beams: Annotated[int, limited("a whole number of 1 to 1000", ge=1, le=1000)] = 4
    length_penalty: Annotated[float, limited("a number of 0 or more", ge=0, allow_inf_nan=False)] = 0.6
    max_new_tokens: Annotated[int | None, _COUNT] = None
    temperature: Annotated[float | None, limited("a number of 0 or more", ge=0, allow_inf_nan=False)] = None
    top_k: Annotated[int | None, _COUNT] = None
    top_p: Annotated[float | None, limited("a number above 0 and at most 1", gt=0, le=1)] = None
    repetition_penalty: Annotated[float, limited("a number above 0", gt=0, allow_inf_nan=False)] = 1.0
    seed: Annotated[int, limited("a whole number", ge=-(2**63), lt=2**63)] = 0

    def sampling(self) -> Sampling | None:
        """Return how to sample; None for beam search."""
        if self.temperature is None:
            return None
        names = ("temperature", "top_k", "top_p", "repetition_penalty", "seed", "stop", "allow_unknown")
        return Sampling(**{name: getattr(self, name) for name in names})


def cut_at(text: str, stops: Sequence[str]) -> str:
    """Return a text up to the first of the texts that end it."""
    places = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    return text[: min(places)] if places else text


class Stops:
    """Tells whether new tokens end with one of the texts that end a text.

    Args:
        encoded: what tokens mean.
        stops: the texts.
    """

    def __init__(self, encoded: TextInputs, stops: Sequence[str]):
        self.encoded, self.stops = encoded, stops
        self.most = max(map(_bytes, stops), default=0) + 8
        """Tokens that surely hold the longest of the texts; no token is shorter than a byte."""

    def __call__(self, tokens: list[int]) -> bool:
        tail = self.encoded.decode(tokens[-self.most :])
        return any(stop in tail for stop in self.stops)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def pieces(texts: Iterator[str], stops: Sequence[str]) -> Iterator[str]:
    """Yield what is new in a text that grows, as soon as it will not change any more.

    An unfinished character is held back, and so is what may be the beginning of a text that ends it.

    Args:
        texts: the text so far, after every token.
        stops: the text ends at the first of these, which are not yielded.
    """
    shown, text = 0, ""
    for text in texts:
        sure = text.rstrip("\ufffd")
        if any(stop in sure for stop in stops):
            break
        sure = sure[: len(sure) - max((_overlap(sure, stop) for stop in stops), default=0)]
        if len(sure) > shown:
            yield sure[shown:]
            shown = len(sure)
    if rest := cut_at(text, stops)[shown:]:
        yield rest


def _overlap(text: str, stop: str) -> int:
    """Return how many characters of the end of a text begin `stop`."""
    return next((size for size in range(len(stop) - 1, 0, -1) if text.endswith(stop[:size])), 0)
