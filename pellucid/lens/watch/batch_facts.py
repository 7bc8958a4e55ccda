"""What the first batches of a loop are like: classes, order, repetition, the loss of guessing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.diagnosis.watched import Batches

FIRST = 200
"""Batches that are read."""
CLASSES = 1000
"""The most classes that are counted."""
TOKENS = 20
"""Batches whose tokens are counted."""
ROWS = 4096
"""Targets of a batch that are read."""


class BatchFacts:
    """Reads batches as they come; `facts` says what they were like."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.fingerprints: set[tuple[float, ...]] = set()
        self.counted: Counter[int] = Counter()
        self.whole = True
        self.columns = 1
        self.means: list[tuple[float, int]] = []
        self.values: list[Tensor] = []
        self.aligned: str | None = None
        self.padding: int | None = None
        self.tokens = self.paddings = 0
        self.tables: list[tuple[Tensor, Tensor]] = []
        self.levels: set[float] | None = set()
        self.vocabulary: Counter[int] = Counter()

    @torch.no_grad()
    def read(self, inputs: Tensor | None, targets: Tensor | None, others: Sequence[Tensor] = ()) -> None:
        """Read a batch, unless enough have been; `others` are all tensors that the model was given."""
        if len(self.rows) >= FIRST:
            return
        if inputs is not None and inputs.ndim and inputs.numel():
            self.rows.append(inputs.shape[0])
            flat = inputs.detach().reshape(-1)
            few = flat[:: max(1, flat.numel() // 64) | 1].to(
                torch.float64
            )  # odd: not always the same columns
            self.fingerprints.add((float(inputs.numel()), float(few.sum()), float(few.square().sum())))
            self._sequences(inputs, targets)
            self._contents(inputs)
            if targets is not None and any(_same(one, targets) for one in others):
                self.aligned = "same"
        if targets is not None and targets.numel() and not targets.is_complex():
            self._targets(targets.detach())
            self._pairs(inputs, targets.detach())

    def _contents(self, inputs: Tensor) -> None:
        """Count the tokens of the first batches."""
        if len(self.rows) <= TOKENS and inputs.ndim == 2 and inputs.dtype in (torch.int64, torch.int32):
            self.vocabulary.update(_without_ends(inputs.detach()[:ROWS]).tolist())

    def _token(self) -> tuple[int, float] | None:
        """The commonest token and its share."""
        total = sum(self.vocabulary.values())
        if total < 500:
            return None
        token, count = self.vocabulary.most_common(1)[0]
        return token, count / total

    def _pairs(self, inputs: Tensor | None, targets: Tensor) -> None:
        """Keep rows of a table with one target each, and count padding in targets."""
        if self.padding is not None and targets.ndim == 2 and not targets.is_floating_point():
            self.tokens += targets.numel()
            self.paddings += int((targets == self.padding).sum())
        table = inputs is not None and inputs.ndim == 2 and inputs.is_floating_point()
        if not table or inputs is None or sum(len(one) for one, _ in self.tables) >= 2000:
            return
        if targets.numel() == inputs.shape[0] and inputs.shape[1] <= 512:
            self.tables.append((inputs.detach().double(), targets.reshape(-1).double()))

    def _telling(self) -> tuple[int, float] | None:
        """The column that goes with the targets best, and its correlation."""
        if not self.tables:
            return None
        inputs = torch.cat([one for one, _ in self.tables])
        targets = torch.cat([one for _, one in self.tables])
        if len(inputs) < 50 or float(targets.std()) == 0:
            return None
        columns = inputs - inputs.mean(0)
        wanted = targets - targets.mean()
        size = columns.square().sum(0).sqrt() * wanted.square().sum().sqrt()
        related = (columns * wanted[:, None]).sum(0) / size.clamp_min(1e-12)
        best = int(related.abs().nan_to_num().argmax())
        return best, float(related[best])

    def _sequences(self, inputs: Tensor, targets: Tensor | None) -> None:
        """Compare tokens with their targets, and look for padding."""
        if inputs.is_floating_point() or inputs.ndim != 2 or inputs.shape[1] < 2:
            self.aligned = ""
            return
        if self.padding is None:
            self.padding = _padding(inputs)
        if targets is None or targets.shape != inputs.shape or targets.is_floating_point():
            aligned = ""
        elif bool((targets == inputs).all()):
            aligned = "same"
        else:
            aligned = "next" if _mostly(targets[:, :-1] == inputs[:, 1:]) else ""
            aligned = aligned or ("time" if _mostly(targets[:-1] == inputs[1:]) else "")
        self.aligned = aligned if self.aligned in (None, aligned) else ""

    def _targets(self, targets: Tensor) -> None:
        flat = targets.reshape(-1)[:ROWS]
        if not flat.is_floating_point():
            flat = flat.to(torch.int64)
            self.counted.update(flat[flat >= 0].tolist() if len(self.counted) <= CLASSES else ())
        else:
            self.whole = False
            self._levels(flat)
            hot = targets.ndim == 2 and 2 <= targets.shape[1] <= CLASSES
            if hot and bool(((targets == 0) | (targets == 1)).all() & (targets.sum(1) == 1).all()):
                self.counted.update(targets[:ROWS].argmax(1).tolist())
                flat = targets[:ROWS].argmax(1)
            elif bool(((flat == 0) | (flat == 1)).all()):
                self.counted.update(flat.to(torch.int64).tolist())
            else:
                self.counted.clear()
                self.columns = -1
        numbers = flat.to(torch.float64)
        if sum(len(one) for one in self.values) < 50_000:
            self.values.append(numbers.to(torch.float32))
        self.means.append((float(numbers.mean()), numbers.numel()))

    def _levels(self, numbers: Tensor) -> None:
        """Keep the different numbers of targets while they are few and whole."""
        if self.levels is not None:
            self.levels |= set(numbers.tolist()) if bool((numbers == numbers.round()).all()) else {-1.0}
            if len(self.levels) > 20 or min(self.levels) < 0:
                self.levels = None

    def facts(self, loss: str) -> Batches:
        """Say what the batches were like; `loss` is the kind of loss that the prior is computed for."""
        classes = dict(self.counted) if self.columns > 0 and 1 <= len(self.counted) <= CLASSES else {}
        return Batches(
            rows=sorted(self.rows)[len(self.rows) // 2] if self.rows else 0,
            seen=len(self.rows),
            distinct=len(self.fingerprints),
            classes=classes,
            scatter=self._scatter(),
            prior=self._prior(loss, classes),
            aligned=self.aligned or "",
            padding=self.padding,
            padded=self.paddings / max(1, self.tokens),
            telling=self._telling(),
            levels=len(self.levels) if self.levels and max(self.levels) == len(self.levels) - 1 else 0,
            token=self._token(),
        )

    def _scatter(self) -> float | None:
        """Variance of the means of batches over what independent rows would give."""
        if len(self.means) < 5 or not self.values:
            return None
        every = torch.cat(self.values)
        spread = float(every.var(correction=0)) if len(every) > 1 else 0.0
        rows = min(count for _, count in self.means)
        if spread <= 0 or rows < 2:
            return None
        centers = torch.tensor([mean for mean, _ in self.means], dtype=torch.float64)
        return float(centers.var()) * rows / spread

    def _prior(self, loss: str, classes: dict[int, int]) -> float | None:
        """The loss of the best constant prediction."""
        total = sum(classes.values())
        fits = loss in ("cross_entropy", "nll") or (loss in ("binary", "binary_logits") and len(classes) <= 2)
        if fits and classes and total:
            return -sum(n / total * math.log(n / total) for n in classes.values())
        if not self.values or loss not in ("squared", "absolute"):
            return None
        every = torch.cat(self.values)
        if loss == "squared":
            return float(every.var(correction=0))
        return float((every - every.median()).abs().mean())


@dataclass(frozen=True)
class _End:
    """One end of (B, T) tokens.

    Attributes:
        token: which most rows have there.
        rows: how many.
        runs: (B, T), where rows have it from that end on without a gap.
        apart: (B,), how often a row has it elsewhere.
    """

    token: int
    rows: int
    runs: Tensor
    apart: Tensor


def _ends(tokens: Tensor) -> list[_End]:
    """The right and the left end of tokens; most texts are filled up on the right."""
    return [_end(tokens, right=True), _end(tokens, right=False)]


def _end(tokens: Tensor, right: bool) -> _End:
    values, counts = torch.unique(tokens[:, -1 if right else 0], return_counts=True)
    token = int(values[counts.argmax()])
    same = tokens == token
    runs = runs_from_end(same, right)
    return _End(token, int(counts.max()), runs, same.sum(1) - runs.sum(1))


def runs_from_end(same: Tensor, right: bool) -> Tensor:
    """Where the rows of (B, T) flags are set from the right or left end on without a gap."""
    turned = same.flip(1) if right else same
    runs = turned.long().cumprod(1).bool()
    return runs.flip(1) if right else runs


def _without_ends(tokens: Tensor) -> Tensor:
    """The tokens of (B, T) without those that fill rows up: the token that most rows end or begin with.

    Of two ends the one whose token stands nowhere else; <unk>, at the other one, stands everywhere.
    """
    likely = [
        end for end in _ends(tokens) if end.rows > 0.5 * len(tokens) and not bool(end.runs.all(1).all())
    ]
    filled = min(likely, key=lambda end: bool(end.apart.any()), default=None)
    return tokens.flatten() if filled is None else tokens[~filled.runs]


def _mostly(equal: Tensor) -> bool:
    return equal.numel() > 0 and float(equal.float().mean()) > 0.9


def _same(one: Tensor, targets: Tensor) -> bool:
    """Whether an input of the model is the targets themselves: tokens that are to be predicted."""
    tokens = targets.ndim == 2 and not targets.is_floating_point() and targets.shape[1] > 1
    return tokens and one.shape == targets.shape and one.dtype == targets.dtype and torch.equal(one, targets)


def _padding(tokens: Tensor) -> int | None:
    """The token that fills up several rows as a run of 3 or more, at different places; None if none does."""
    return next((end.token for end in _ends(tokens) if _fills_up(end)), None)


def _fills_up(end: _End) -> bool:
    lengths = end.runs.sum(1)
    several = len(lengths) >= 4 and end.rows >= 3 and int((lengths >= 3).sum()) >= 3
    return several and len(torch.unique(lengths)) > 2 and not bool(end.apart.any())
