"""Pellucid: a config trained as with `pellucid train`, evaluated on the test split after every epoch."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from said import Clock

from pellucid.config import Config
from pellucid.recipes import find
from pellucid.runner.components import make_trainer
from pellucid.runner.optimization import choose_execution, updates
from pellucid.runner.setup import set_up
from pellucid.train.callbacks import Callback, NonFiniteGuard
from pellucid.train.trainer import Trainer

NOT_CHANGED = {"rotate": 0, "scale": 0, "shift": 0}
SMALL = {"model.size": "tiny", "data.augment": NOT_CHANGED, "optimizer.lr": 0.01, "train.epochs": 2}
LARGER = {"objective.label_smoothing": 0.1, "train.epochs": 6}
PHRASES = {"name": "text_cnn", "size": "tiny", "options": {"ngrams": True}}
CONFIGS = {
    "mnist": {
        "ours, LeNet-5": find("digits").patch(SMALL),
        "ours, digits": find("digits").patch(LARGER),
    },
    "imdb": {
        "ours": find("sentiment").patch({"model": PHRASES, "optimizer.lr": 0.006, "train.epochs": 1}),
    },
}


class Measure(Callback):
    def __init__(self, clock: Clock, test) -> None:
        self.clock, self.test = clock, test

    def on_epoch_end(self, trainer: Trainer) -> None:
        self.clock.measured(lambda: trainer.evaluate(self.test)["accuracy"])


def main(data: str, config: Config) -> None:
    clock = Clock()
    setup = set_up(config, Path("runs"))
    prepared, batches = setup.prepared, setup.prepared.training_batches()
    per_epoch, steps = updates(config, batches)
    tuned = choose_execution(config, prepared, setup.model, setup.objective)
    if data == "mnist":
        clock = Clock()  # loading images does not count for the others either
    torch.set_num_threads(tuned.threads.value)
    callbacks = [NonFiniteGuard(), Measure(clock, prepared.batches("test"))]
    plan = config.patch({"train.execution": tuned.execution.value})
    make_trainer(plan, setup.model, setup.objective, steps, per_epoch, callbacks).fit(batches)


if __name__ == "__main__":
    _, data, contestant, _, seed = sys.argv
    main(data, CONFIGS[data][contestant].patch({"train.seed": int(seed)}))
