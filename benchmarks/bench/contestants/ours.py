"""Pellucid: the trainer with the callbacks of every run, on the path that it chooses itself."""

from __future__ import annotations

import tempfile
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from workloads import LSTM, Workload

from contestants import plain
from pellucid.config import TrainConfig
from pellucid.data.batches import Batches, MemoryRows, Rows
from pellucid.data.ragged import Ragged
from pellucid.data.token_rows import RaggedRows
from pellucid.models import lstm
from pellucid.record import Run
from pellucid.train.autotune import Tuned, autotune
from pellucid.train.callbacks import Interrupt, Memory, Monitor, NonFiniteGuard, Recorder
from pellucid.train.objectives import classification, language_model
from pellucid.train.optimizers import optimizer
from pellucid.train.trainer import Trainer


CPU = torch.device("cpu")
LONG_RUN = 1_000_000
"""Updates that the path is chosen for: as many as repay compiling, which no contestant is timed with."""


class Side(plain.Side):
    """The networks of `plain`, trained by Pellucid."""

    def __init__(self, workload: Workload, arrays: dict[str, np.ndarray]):
        super().__init__(workload, arrays)
        self.objective = language_model() if workload.data == "shakespeare" else classification()
        self.source = rows(workload, arrays, self.rows)
        self.folder = tempfile.mkdtemp()
        self.tuned: Tuned | None = None

    def prepare(self, seed: int) -> None:
        torch.manual_seed(seed)
        model, batches = network(self.workload.name), self.batches(seed)
        make_optimizer = partial(optimizer, "adamw", lr=self.workload.lr)
        if self.tuned is None:
            batch, loss = next(iter(batches)), self.objective.phases[0].loss
            steps = 0 if isinstance(self.source, RaggedRows) else LONG_RUN
            self.tuned = autotune("auto", model, batch, loss, CPU, steps=steps, make_optimizer=make_optimizer)
            path, threads = self.tuned.path, self.tuned.threads
            print(f"path {path.value}, {path.reason}; {threads.value} threads, {threads.reason}")
            torch.set_num_threads(threads.value)
        run = Run.create(self.folder, "bench", "")
        self.trainer = Trainer(
            model,
            self.objective,
            make_optimizer,
            TrainConfig(epochs=1000, max_steps=self.workload.steps, device="cpu", path=self.tuned.path.value),
            callbacks=[NonFiniteGuard(run), Memory(), Monitor("train/loss"), Recorder(run), Interrupt()],
        )
        self.model, self.learned_from = model, batches

    def batches(self, seed: int) -> Batches:
        return Batches(self.source, self.workload.batch, seed=seed, shuffle=True)

    def train(self) -> None:
        self.trainer.fit(self.learned_from)


def network(name: str) -> nn.Module:
    """That of `plain`; but an LSTM of ours, which padding cannot reach."""
    theirs = plain.MAKE[name]()
    if name != "lstm":
        return theirs
    ours = lstm(
        (LSTM["longest"],),
        2,
        vocab_size=LSTM["vocabulary"],
        embed_dim=LSTM["width"],
        hidden_size=LSTM["hidden"],
        dropout=0.0,
    )
    counts = [sum(parameter.numel() for parameter in model.parameters()) for model in (ours, theirs)]
    assert counts[0] == counts[1], counts
    return ours


def rows(workload: Workload, arrays: dict[str, np.ndarray], examples: Any) -> Rows:
    """The same examples as Pellucid holds them."""
    if workload.data != "imdb":
        return MemoryRows(*examples.tensors)
    offsets = np.concatenate([[0], np.cumsum(arrays["lengths"])])
    return RaggedRows(Ragged(arrays["tokens"], offsets), torch.from_numpy(arrays["labels"]))
