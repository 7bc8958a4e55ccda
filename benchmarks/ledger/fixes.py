"""Are fixes real? `pellucid.verify` on programs with a fault, beside random search with as many trainings.

A program's held-out rows are halved. All choices see the first half only; the scores that count are measured
on the second, with seeds of their own. Remedies see the parts of a program (model, optimizer, loss, rows,
numbers of epochs and of rows in a batch) and the findings of the watch; the loop runs as it is.
"""

from __future__ import annotations

import functools
import math
import random
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from benchmarks.ledger.bases import BASES
from benchmarks.ledger.faults import FAULTS
from benchmarks.ledger.program import Program, score, train
from pellucid.lens.remedy import REMEDIES, Case, Parts, Unfit, verify
from pellucid.lens.remedy.parts import Loop
from pellucid.record import Finding

SEEDS = (11, 12, 13)
"""Of the scores that count; no choice uses them."""
WORST = -1e9


class Faulty:
    """A program with a fault ("" for none) as parts and a loop over them."""

    def __init__(self, split: str, fault: str, name: str) -> None:
        self.split, self.fault, self.name = split, fault, name
        self._programs: dict[int, Program] = {}

    def program(self, seed: int) -> Program:
        """Return the program, made anew."""
        torch.manual_seed(seed)
        program = BASES[self.name](seed, self.split)
        torch.manual_seed(seed)
        if self.fault:
            program = FAULTS[self.fault].inject(program, 1 if self.split == "dev" else 2)
        return program

    def make(self, seed: int) -> Parts:
        """Return new parts."""
        program = self._programs[seed] = self.program(seed)
        torch.manual_seed(seed)
        optimizer = program.optimizer(program.model)
        return Parts(program.model, optimizer, program.loss, program.train, program.epochs, program.batch)

    def loop(self, half: int = 0) -> Loop:
        """Return a loop that trains as the program does; its score is of one half of the held-out rows."""

        def loop(
            model: Any, optimizer: Any, loss: Any, batches: Any, *, epochs: int, batch_size: int, seed: int,
            watch: Any = None,
        ) -> float:  # fmt: skip
            changed = {"model": model, "loss": loss, "train": batches, "epochs": epochs, "batch": batch_size}
            program = replace(_halved(self._programs[seed], half), **changed)
            torch.manual_seed(seed)
            train(program, optimizer, watch, torch.Generator().manual_seed(seed))
            return score(program)

        return Loop(loop, self.make)

    def untrained(self, seed: int) -> float:
        """Return the score of the first weights on the rows that no choice saw."""
        return score(_halved(self.program(seed), 1))

    def unseen(self, parts: Callable[[int], Parts], seed: int) -> float:
        """Train parts and return the score on the rows that no choice saw."""
        return _score(self.loop(1), parts, seed)


def _halved(program: Program, half: int) -> Program:
    """The program with the even (0) or the odd (1) ones of its held-out rows."""
    inputs, targets = program.held
    return replace(program, held=(inputs[half::2], targets[half::2]))


def _score(loop: Loop, parts: Callable[[int], Parts], seed: int) -> float:
    """Train parts and return the score; where they break off, the worst there is, and print the reason."""
    try:
        value = loop.run(parts(seed), seed)
    except Exception as error:  # changes that were drawn may not fit each other
        print(f"broke off: {type(error).__name__}: {error}", file=sys.stderr)
        return WORST
    return max(value, WORST) if math.isfinite(value) else WORST


def fix_jobs(split: str) -> list[tuple[str, str, str]]:
    """Return what is to be fixed: every fault in every program that it is injected into, in random order."""
    found = [(split, one.name, base) for one in FAULTS.values() for base in one.bases]
    random.Random(0).shuffle(found)  # so that the first ones are a fair sample
    return found


def fix(job: tuple[str, str, str], draws: int | None = None) -> dict[str, Any]:
    """Verify one fault in one program, run random search, and return what came of both.

    `draws` limits the random search, which has as many training runs as `verify` had by default.
    """
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    split, fault, name = job
    case, healthy = Faulty(split, fault, name), Faulty(split, "", name)
    start = time.perf_counter()
    loop = case.loop()
    result = verify(loop.train, case.make)
    seconds = time.perf_counter() - start
    chosen = random_search(loop, result.training_runs if draws is None else draws)
    score_of = {
        "untrained": [healthy.untrained(seed) for seed in SEEDS],
        "healthy": [healthy.unseen(healthy.make, seed) for seed in SEEDS],
        "faulty": [case.unseen(case.make, seed) for seed in SEEDS],
        "fixed": [case.unseen(result.parts, seed) for seed in SEEDS] if result.fixed else None,
        "random": [case.unseen(lambda s: drawn(loop, chosen, s), seed) for seed in SEEDS],
    }
    return {
        "split": split, "fault": fault, "program": name, "claimed": result.fixed,
        "fix": result.winner.candidate.name if result.winner else "",
        "words": result.winner.candidate.words if result.winner else "",
        "found": [one.id for one in result.findings if one.severity != "info"],
        "tried": [(one.plan.name, one.score, one.problem) for one in result.tried],
        "validation": [result.first, str(result.winner or "")],
        **score_of, "trainings": result.training_runs, "seconds": seconds, "draw": chosen,
        "all_seconds": time.perf_counter() - start,
    }  # fmt: skip


# ---- random search ---------------------------------------------------------------------------------------


def random_search(loop: Loop, trainings: int) -> int:
    """Return the draw that scores best with the first seed, of as many as there may be trainings."""
    return max(range(trainings), key=lambda draw: _score(loop, lambda seed: drawn(loop, draw, seed), 0))


def drawn(loop: Loop, draw: int, seed: int) -> Parts:
    """Return new parts with random settings, in half of the draws with a remedy too; 0 is no change."""
    parts = loop.make(seed)
    dice = random.Random(draw)
    if draw == 0:
        return parts
    if dice.random() < 0.5:
        parts = _try(parts, dice.choice(sorted(REMEDIES)), loop, seed)
    for names in (
        ("default-weights", "kaiming-weights", "xavier-weights"), ("relu", "leaky-relu"), ("batch-norm",),
        ("inputs-standard", "columns-standard"), ("dropout-0", "dropout-0.1", "dropout-0.3"),
    ):  # fmt: skip
        if dice.random() < 0.33:
            parts = _try(parts, dice.choice(names), loop, seed)
    if dice.random() < 0.5:
        _optimizer(parts, dice)
    rate, decay = 10 ** dice.uniform(-5, 0), dice.choice([0.0, 10 ** dice.uniform(-6, -1)])
    for one in parts.optimizers:
        for group in one.param_groups:
            group["lr"] = rate
            group["weight_decay"] = decay
    parts.batch_size = dice.choice([parts.batch_size, parts.batch_size, 16, 32, 64])
    parts.epochs = (parts.epochs or 1) * dice.choice([1, 1, 1, 3])
    return parts


def _optimizer(parts: Parts, dice: random.Random) -> None:
    kinds: list[Callable[..., torch.optim.Optimizer]] = [
        torch.optim.Adam,
        torch.optim.AdamW,
        functools.partial(torch.optim.SGD, momentum=0.9),
        torch.optim.RMSprop,
    ]
    kind = dice.choice(kinds)
    if len(parts.optimizers) == 1:
        parts.optimizer = kind([one for one in parts.module.parameters() if one.requires_grad], lr=1e-3)


def _try(parts: Parts, name: str, loop: Loop, seed: int) -> Parts:
    try:
        return REMEDIES[name].apply(parts, Case(Finding("drawn", "note", "", ""), loop, seed))
    except Unfit:
        return parts
