"""The margin of every training row, averaged over training: small where its label is likely to be wrong.

Pleiss, Zhang, Elenberg and Weinberger, "Identifying Mislabeled Data using the Area Under the Margin Ranking",
NeurIPS 2020. The logits are those that the update computes anyway; nothing is computed twice.

Shapes: N training rows, B rows of a batch, K classes.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pellucid.train.callbacks import Callback

if TYPE_CHECKING:
    from pellucid.train.trainer import Trainer
    from pellucid.train.update import Update

WAITING = 2**20
"""Logits that wait to be added up."""
WORSE = 1.1
"""Validation loss, as a multiple of the lowest, from which on margins no longer count."""


@dataclass(frozen=True)
class Margins:
    """What is known of every training row.

    Attributes:
        label: (N,) int64.
        margin: (N,) float32, the logit of the label minus the largest other logit, averaged over epochs.
        epochs: (N,) int32, how many batches with the row that is the mean of.
        other: (N,) int64, the class that was most often the largest other one; -1 where the row was not seen.
    """

    label: np.ndarray
    margin: np.ndarray
    epochs: np.ndarray
    other: np.ndarray


class LabelMargins(Callback):
    """Average the margins of all rows over the epochs until the model begins to memorize wrong labels.

    That is the last epoch with a validation loss within `WORSE` of the lowest before it.

    Args:
        labels: (N,) int64, the class of every row.
        row_numbers: epoch -> the row numbers of each of its batches.
        done: called with the margins at the end of training.
    """

    needs = frozenset()

    def __init__(
        self,
        labels: Tensor,
        row_numbers: Callable[[int], Sequence[Tensor]],
        done: Callable[[Margins], None] = lambda margins: None,
    ):
        rows = len(labels)
        self.labels, self.row_numbers, self.done = labels, row_numbers, done
        self.sums, self.epochs = torch.zeros(rows), torch.zeros(rows, dtype=torch.int16)
        self.other = torch.full((rows,), -1, dtype=torch.int16)  # the majority so far (Boyer and Moore 1981)
        self.votes = torch.zeros(rows, dtype=torch.int16)  # and how far it is ahead
        self.best_sums, self.best_epochs = self.sums.clone(), self.epochs.clone()
        self.kept, self.best_loss = True, sys.float_info.max
        self._waiting: list[tuple[int, int, list[Tensor]]] = []
        self._size = 0
        self._update: Update | None = None

    def on_train_start(self, trainer: Trainer) -> None:
        (self._update,) = trainer.updates.values()
        self.kept = self.kept and self._update.keep_outputs()

    def on_step_end(self, trainer: Trainer) -> None:
        outputs = self._update.outputs if self._update is not None else None
        if not self.kept or not outputs:
            return
        planner = trainer.planner
        epoch, end = (trainer.epoch, trainer.position) if planner is None else planner.rounds.at
        self._waiting.append((epoch, end, outputs))
        self._size += outputs[0].numel() * len(outputs)
        if self._size > WAITING:
            self._add()

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._add()
        loss = trainer.measures.get("val/loss", 0.0)
        self.best_loss = min(self.best_loss, loss)
        if loss <= WORSE * self.best_loss:
            self.best_sums, self.best_epochs = self.sums.clone(), self.epochs.clone()

    def on_train_end(self, trainer: Trainer) -> None:
        self._add()
        if self.kept and self.best_epochs.any():
            self.done(self.margins())

    def margins(self) -> Margins:
        """Return the margins so far."""
        mean = self.best_sums / self.best_epochs.clamp(min=1)
        whole = [values.numpy().astype(np.int64) for values in (self.labels, self.best_epochs, self.other)]
        return Margins(whole[0], mean.numpy(), whole[1], whole[2])

    def _add(self) -> None:
        """Add up what waits, epoch by epoch, since a row occurs once in an epoch."""
        waiting, self._waiting, self._size = self._waiting, [], 0
        by_epoch: dict[int, list[tuple[Tensor, Tensor]]] = {}
        for epoch, end, outputs in waiting:
            if end >= len(outputs):
                rows = self.row_numbers(epoch)[end - len(outputs) : end]
                by_epoch.setdefault(epoch, []).extend(zip(rows, outputs, strict=True))
        for pairs in by_epoch.values():
            fitting = [(rows, made) for rows, made in pairs if made.ndim == 2 and len(made) % len(rows) == 0]
            if fitting:
                rows = torch.cat([rows for rows, _ in fitting])
                logits = torch.cat([_of_rows(made, len(rows)) for rows, made in fitting])
                self._add_rows(rows, logits.float().cpu())

    def _add_rows(self, rows: Tensor, logits: Tensor) -> None:
        """Add the margins of rows, each of which occurs once; logits (B, K) are overwritten."""
        labels = self.labels[rows, None]
        if logits.shape[1] <= int(labels.max()):  # outputs of a loss of the user's own, which are no logits
            self.kept = False
            return
        own = logits.gather(1, labels)[:, 0]
        largest, other = logits.scatter_(1, labels, -torch.inf).max(1)
        self.sums[rows] += own - largest
        self.epochs[rows] += 1
        held, votes = self.other[rows], self.votes[rows]
        agrees = held == other
        replaced = (votes == 0) & ~agrees
        self.other[rows] = torch.where(replaced, other, held).to(torch.int16)
        self.votes[rows] = torch.where(agrees | replaced, votes + 1, votes - 1)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums as text, so that a resumed run has all of them."""
        self._add()
        return {
            "kept": self.kept,
            "best_loss": self.best_loss,
            **{name: _text(getattr(self, name)) for name in SAVED},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.kept, self.best_loss = state["kept"], state["best_loss"]
        for name in SAVED:
            old: Tensor = getattr(self, name)
            found = np.frombuffer(base64.b64decode(state[name]), old.numpy().dtype)
            if len(found) != len(old):  # resumed with other rows
                self.kept = False
                return
            setattr(self, name, torch.from_numpy(found.copy()))


SAVED = ("sums", "epochs", "other", "votes", "best_sums", "best_epochs")


def _of_rows(outputs: Tensor, rows: int) -> Tensor:
    """(B M, K) -> (B, K): the mean over the members of an ensemble, which follow one another for each row."""
    return outputs if len(outputs) == rows else outputs.view(rows, -1, outputs.shape[1]).mean(1)


def _text(values: Tensor) -> str:
    return base64.b64encode(values.numpy().tobytes()).decode()
