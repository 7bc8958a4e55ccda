"""A training program as a plain PyTorch loop, with its habits as switches that a fault can turn.

Nothing here uses Pellucid but the three lines of `watch`; the loop is what people write.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Loss = Callable[[Any, Tensor], Tensor]
Metric = Callable[[nn.Module, Tensor, Tensor], float]


@dataclass
class Program:
    """Everything a loop needs.

    Attributes:
        model: any module.
        loss: of outputs and targets.
        train, held: inputs and targets, for training and for the score.
        metric: of the model on held-out rows, higher is better.
        optimizer: makes one from the model.
        batch, epochs: rows of a batch, passes over the rows.
        schedule: makes a scheduler from (optimizer, steps of an epoch, epochs), or None.
        habits: see `HABITS`.
        own_step: replaces forward, loss and backward: (program, inputs, targets, optimizers) -> loss.
        forward: how the model is called.
    """

    model: nn.Module
    loss: Loss
    train: tuple[Tensor, Tensor]
    held: tuple[Tensor, Tensor]
    metric: Metric
    optimizer: Callable[[nn.Module], Any]
    batch: int = 32
    epochs: int = 5
    schedule: Callable[[Any, int, int], Any] | None = None
    habits: dict[str, Any] = field(default_factory=dict)
    own_step: Callable[..., Tensor] | None = None
    forward: Callable[[nn.Module, Tensor], Any] = lambda model, x: model(x)

    def habit(self, name: str) -> Any:
        """Return a habit of this loop, or the usual one."""
        return self.habits.get(name, HABITS[name])


HABITS: dict[str, Any] = {
    "zero_grad": True,
    "backward": True,
    "step": True,
    "step_first": False,
    "shuffle": True,
    "train_mode": True,
    "eval_mode": True,
    "clip": None,
    "schedule_each": "epoch",
    "augment": None,
    "first_batch_only": False,
    "detach": False,
    "drop_last": False,
}
"""What a loop does where a program does not say otherwise."""


def run(program: Program, seed: int, watch: bool = True) -> tuple[float, list[Any], Any]:
    """Train a program and return its score, the findings and what was recorded."""
    import pellucid

    torch.manual_seed(seed)
    optimizer = program.optimizer(program.model)
    guard = pellucid.watch(program.model, optimizer, loss=program.loss) if watch else None
    with guard or contextlib.nullcontext():
        train(program, optimizer, guard, torch.Generator().manual_seed(seed))
    value = score(program)
    return value, guard.findings if guard else [], guard.evidence if guard else None


def score(program: Program) -> float:
    """Return the metric on held-out rows, in evaluation mode."""
    program.model.eval()
    with torch.no_grad():
        value = program.metric(program.model, *program.held)
    return value if value == value else -1e9


def train(program: Program, optimizer: Any, guard: Any, order: torch.Generator) -> None:
    """Train a program; with a watch, it is told of every step and epoch."""
    inputs, targets = program.train
    steps = -(-len(inputs) // program.batch)
    scheduler = program.schedule(optimizer, steps, program.epochs) if program.schedule else None
    for _ in range(program.epochs):
        program.model.train(program.habit("train_mode"))
        rows = (
            torch.randperm(len(inputs), generator=order)
            if program.habit("shuffle")
            else torch.arange(len(inputs))
        )
        chunks = [
            chunk for chunk in rows.split(program.batch) if len(chunk) == program.batch or len(chunk) > 1
        ]
        for chunk in chunks:
            if program.habit("first_batch_only"):
                chunk = torch.arange(program.batch)
            x, y = inputs[chunk], targets[chunk]
            if program.habit("augment"):
                x = program.habit("augment")(x)
            loss = _step(program, optimizer, x, y)
            if scheduler is not None and program.habit("schedule_each") == "batch":
                scheduler.step()
            if guard is not None:
                guard.step(loss, inputs=x, targets=y)
        if scheduler is not None and program.habit("schedule_each") == "epoch":
            scheduler.step()
        if guard is not None:
            program.model.train(not program.habit("eval_mode"))
            with torch.no_grad():
                guard.validate(program.metric(program.model, *program.held))


def _step(program: Program, optimizer: Any, x: Tensor, y: Tensor) -> Tensor:
    if program.own_step is not None:
        return program.own_step(program, x, y, optimizer)
    if program.habit("zero_grad"):
        optimizer.zero_grad()
    outputs = program.forward(program.model, x)
    if program.habit("detach"):
        outputs = outputs.detach().requires_grad_()
    loss = program.loss(outputs, y)
    if program.habit("step_first"):
        optimizer.step()
    if program.habit("backward"):
        loss.backward()
    if program.habit("clip"):
        nn.utils.clip_grad_norm_(program.model.parameters(), program.habit("clip"))
    if program.habit("step") and not program.habit("step_first"):
        optimizer.step()
    return loss
