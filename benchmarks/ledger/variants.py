"""Healthy programs that other tools take for ill ones, next to the bases themselves."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.ledger import data
from benchmarks.ledger.bases import BASES, Base, adam, explained, sgd
from benchmarks.ledger.program import Program, run


def _on(name: str, change: Callable[[Program], Program]) -> Base:
    return lambda seed, part: change(BASES[name](seed, part))


def _scheduled(program: Program, make: Callable[[Any, int, int], Any], each: str) -> Program:
    return replace(program, schedule=make, habits={**program.habits, "schedule_each": each})


def _restarts(program: Program) -> Program:
    def make(optimizer: Any, steps: int, epochs: int) -> Any:
        return torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
            optimizer, T_0=max(1, steps * epochs // 4)
        )

    return _scheduled(program, make, "batch")


def _one_cycle(program: Program) -> Program:
    def make(optimizer: Any, steps: int, epochs: int) -> Any:
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps * epochs + 1)

    return _scheduled(program, make, "batch")


def _warm_up(program: Program) -> Program:
    def make(optimizer: Any, steps: int, epochs: int) -> Any:
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 40))

    return _scheduled(program, make, "batch")


def _deep(program: Program) -> Program:
    width = program.train[0].shape[1]
    hidden: list[nn.Module] = []
    for _ in range(6):
        layer = nn.Linear(128, 128)
        nn.init.kaiming_normal_(layer.weight)
        hidden += [layer, nn.ReLU()]
    return replace(
        program, model=nn.Sequential(nn.Linear(width, 128), nn.ReLU(), *hidden, nn.Linear(128, 10))
    )


def _dropped(program: Program) -> Program:
    width = program.train[0].shape[1]
    model = nn.Sequential(
        nn.Linear(width, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 10),
    )  # fmt: skip
    return replace(program, model=model, epochs=2 * program.epochs)


def _uneven(program: Program) -> Program:
    """80 to 20 in two classes."""
    (x, y), (u, v) = program.train, program.held

    def two(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return inputs, (targets < 2).long()

    classes = nn.Linear(program.train[0].shape[1], 32)
    model = nn.Sequential(classes, nn.ReLU(), nn.Linear(32, 2))
    return replace(program, model=model, train=two(x, y), held=two(u, v))


def _frozen(program: Program) -> Program:
    """A backbone that is trained first, then frozen, with a new head."""
    run(program, 0, watch=False)
    model = copy.deepcopy(program.model)
    assert isinstance(model, nn.Sequential)
    for layer in list(model)[:-1]:
        layer.requires_grad_(False)
    last = model[-1]
    assert isinstance(last, nn.Linear)
    model[-1] = nn.Linear(last.in_features, last.out_features)
    return replace(program, model=model, optimizer=adam(3e-3))


def _scaled(factor: float, shift: float = 0.0) -> Callable[[Program], Program]:
    """Targets of another scale, with an output layer that has it too."""

    def change(program: Program) -> Program:
        (x, y), (u, v) = program.train, program.held

        class Scaled(nn.Module):
            def __init__(self, inner: nn.Module) -> None:
                super().__init__()
                self.inner = inner

            def forward(self, inputs: Tensor) -> Tensor:
                return self.inner(inputs) * factor + shift

        return replace(
            program,
            model=Scaled(program.model),
            train=(x, y * factor + shift),
            held=(u, v * factor + shift),
        )

    return change


def _smoothed(program: Program) -> Program:
    return replace(program, loss=nn.CrossEntropyLoss(label_smoothing=0.1))


def _residual(program: Program) -> Program:
    """Residual blocks whose last layer starts at 0."""

    class Block(nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(size, size), nn.Linear(size, size)
            nn.init.zeros_(self.two.weight)
            nn.init.zeros_(self.two.bias)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.two(self.one(x).relu())

    width = program.train[0].shape[1]
    return replace(
        program, model=nn.Sequential(nn.Linear(width, 64), Block(64), Block(64), nn.Linear(64, 10))
    )


def _multilabel(seed: int, part: str) -> Program:
    """Which of three properties does a digit have?"""
    program = BASES["mlp-images"](seed, part)
    (x, y), (u, v) = program.train, program.held

    def properties(targets: Tensor) -> Tensor:
        return torch.stack([targets % 2 == 0, targets > 4, targets == 0], 1).float()

    def right(model: nn.Module, inputs: Tensor, wanted: Tensor) -> float:
        return ((model(inputs) > 0) == (wanted > 0.5)).float().mean().item()

    model = nn.Sequential(nn.Linear(x.shape[1], 64), nn.ReLU(), nn.Linear(64, 3))
    return replace(
        program, model=model, loss=F.binary_cross_entropy_with_logits, train=(x, properties(y)),
        held=(u, properties(v)), metric=right,
    )  # fmt: skip


def _forecast(seed: int, part: str) -> Program:
    """The next row of a digit from the rows above it."""
    name = "ylecun/mnist" if part == "dev" else "zalando-datasets/fashion_mnist"
    pictures, _ = data.pictures(name, 1200, 14)
    rows = (pictures[:, 0] - pictures.mean()) / pictures.std()
    train, held = data.split(rows[:, :9], rows[:, 9], seed)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.LSTM(14, 48, batch_first=True), nn.Linear(48, 14)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    return Program(Model(), nn.MSELoss(), train, held, explained, adam(3e-3), epochs=8)


VARIANTS: dict[str, Base] = {
    "sgd-0.05": _on("mlp-images", lambda p: replace(p, optimizer=sgd(0.05))),
    "sgd-0.1-no-momentum": _on("mlp-images", lambda p: replace(p, optimizer=sgd(0.1, 0.0))),
    "adamw": _on("cnn", lambda p: replace(p, optimizer=lambda m: torch.optim.AdamW(m.parameters(), 2e-3))),
    "rmsprop": _on(
        "cnn", lambda p: replace(p, optimizer=lambda m: torch.optim.RMSprop(m.parameters(), 1e-3))
    ),
    "cosine-restarts": _on("mlp-images", _restarts),
    "one-cycle": _on("cnn", _one_cycle),
    "warm-up": _on("gpt", _warm_up),
    "deep-relu": _on("mlp-images", _deep),
    "dropout-0.5": _on("mlp-images", _dropped),
    "80-to-20": _on("mlp-images", _uneven),
    "frozen-backbone": _on("mlp-images", _frozen),
    "batch-8": _on("mlp-table", lambda p: replace(p, batch=8)),
    "all-rows-at-once": _on("mlp-table", lambda p: replace(p, batch=1000, epochs=150)),
    "targets-of-1e4": _on("mlp-regression", _scaled(1e4)),
    "targets-of-1e-2": _on("mlp-regression", _scaled(1e-2)),
    "label-smoothing": _on("cnn", _smoothed),
    "clipped-to-1": _on("rnn-rows", lambda p: replace(p, habits={"clip": 1.0})),
    "zero-residuals": _on("mlp-images", _residual),
    "multi-label": _multilabel,
    "forecast": _forecast,
}
"""Makers of healthy programs by name, as `BASES`."""
