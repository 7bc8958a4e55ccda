"""Pellucid: the trainer with the callbacks of every run, on the path that it chooses itself."""

from __future__ import annotations

import pellucid  # noqa: F401 - it says how OpenMP threads wait, which torch reads when it is loaded

# isort: split
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
from pellucid.data.text.ragged import Ragged
from pellucid.data.text.token_rows import RaggedRows
from pellucid.models import lstm
from pellucid.record import Run
from pellucid.tasks.adversarial.objective import adversarial
from pellucid.tasks.classification.objective import classification
from pellucid.tasks.language_model.objective import language_model
from pellucid.train.autotune import autotune
from pellucid.train.callbacks import Memory, Monitor, NonFiniteGuard, Recorder, SignalHandler
from pellucid.train.optimizers import optimizer
from pellucid.train.trainer import Trainer

LONG_RUN = 1_000_000
"""Updates that the path is chosen for: as many as repay compiling, which no contestant is timed with."""


OBJECTIVES = {"gpt": language_model, "dcgan": adversarial}


class Side(plain.Side):
    """The networks of `plain`, trained with Pellucid."""

    def __init__(self, workload: Workload, arrays: dict[str, np.ndarray]):
        super().__init__(workload, arrays)
        self.objective = OBJECTIVES.get(workload.name, classification)()
        self.source = rows(workload, arrays, self.rows)
        self.trainer: Trainer | None = None

    def prepare(self, seed: int) -> None:
        """Set new weights in the same trainer, so that nothing is compiled again."""
        torch.manual_seed(seed)
        model = network(self.workload.name)
        self.learned_from = Batches(self.source, self.workload.batch, seed=seed, shuffle=True)
        if self.trainer is None:
            self.trainer = self.make_trainer(model)
            self.start = self.trainer.state_dict()
        self.trainer.model.load_state_dict(model.state_dict())
        for made in self.trainer.optimizers.values():
            made.load_state_dict({"state": {}, "param_groups": made.state_dict()["param_groups"]})
        self.trainer.load_state_dict(self.start)
        self.model = self.trainer.model

    def make_trainer(self, model: nn.Module) -> Trainer:
        betas = plain.BETAS.get(self.workload.name, (0.9, 0.999))
        make_optimizer = partial(optimizer, "adamw", lr=self.workload.lr, betas=betas)
        tuned = autotune(
            "auto",
            model,
            next(iter(self.learned_from)),
            self.objective.phases[0].loss,
            torch.device("cpu"),
            steps=0 if isinstance(self.source, RaggedRows) else LONG_RUN,
            make_optimizer=make_optimizer,
        )
        path, threads = tuned.execution, tuned.threads
        print(f"path {path.value}, {path.reason}; {threads.value} threads, {threads.reason}")
        torch.set_num_threads(threads.value)
        run = Run.create(tempfile.mkdtemp(), "bench", "")
        return Trainer(
            model,
            self.objective,
            make_optimizer,
            TrainConfig(epochs=1000, max_steps=self.workload.steps, device="cpu", execution=path.value),
            callbacks=[NonFiniteGuard(run), Memory(), Monitor("train/loss"), Recorder(run), SignalHandler()],
        )

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
    """The same examples in Pellucid's data structures."""
    if workload.data != "imdb":
        return MemoryRows(*examples.tensors)
    offsets = np.concatenate([[0], np.cumsum(arrays["lengths"])])
    return RaggedRows(Ragged(arrays["tokens"], offsets), torch.from_numpy(arrays["labels"]))
