"""Pellucid: a config, trained as `pellucid train` does it, with the test split measured after every epoch."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from said import Clock

from pellucid.build.parts import choose_path, make_trainer, updates
from pellucid.build.ready import make_ready
from pellucid.config import Config
from pellucid.recipes import find
from pellucid.train.callbacks import Callback, NonFiniteGuard
from pellucid.train.trainer import Trainer

CONFIGS = {
    "ours, 2 epochs": find("digits").patch({"train.epochs": 2}),
    "ours, 7 epochs": find("digits").patch({"train.epochs": 7}),
    "ours": find("sentiment"),
}


class Measure(Callback):
    def __init__(self, clock: Clock, test) -> None:
        self.clock, self.test = clock, test

    def on_epoch_end(self, trainer: Trainer) -> None:
        self.clock.measured(lambda: trainer.evaluate(self.test)["accuracy"])


def main(data: str, config: Config) -> None:
    clock = Clock()
    ready = make_ready(config, Path("runs"))
    prepared, batches = ready.prepared, ready.prepared.training_batches()
    per_epoch, steps = updates(config, batches)
    if data == "mnist":
        tuned = choose_path(config, prepared, ready.model, ready.objective)
        clock = Clock()  # images were there for the others, too
    else:
        tuned = choose_path(config, prepared, ready.model, ready.objective)
    torch.set_num_threads(tuned.threads.value)
    callbacks = [NonFiniteGuard(), Measure(clock, prepared.batches("test"))]
    plan = config.patch({"train.path": tuned.path.value})
    make_trainer(plan, ready.model, ready.objective, steps, per_epoch, callbacks).fit(batches)


if __name__ == "__main__":
    main(sys.argv[1], CONFIGS[sys.argv[2]])
