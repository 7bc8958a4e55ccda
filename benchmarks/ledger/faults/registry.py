"""What a fault is, where faults are registered, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from benchmarks.ledger.bases import Attending
from benchmarks.ledger.program import Program

SUPERVISED = ("mlp-images", "mlp-table", "cnn", "cnn-norm", "rnn-rows", "rnn-text", "transformer-text")
IMAGES = ("mlp-images", "cnn", "cnn-norm", "rnn-rows")
DENSE = ("mlp-images", "mlp-table", "cnn", "autoencoder")


@dataclass(frozen=True)
class Fault:
    """A mistake and the findings that name it.

    Attributes:
        name: of the fault.
        category: loop, loss, optimizer, model, data or sequence.
        bases: names of the programs that it is injected into.
        causes: ids of findings that name it.
        inject: changes a program; the second argument is the strength, 1 in development, 2 in the test.
        contract: it breaks a contract, so it counts whatever the score is.
    """

    name: str
    category: str
    bases: tuple[str, ...]
    causes: tuple[str, ...]
    inject: Callable[[Program, int], Program]
    contract: bool = False


FAULTS: dict[str, Fault] = {}


def fault(
    category: str, bases: tuple[str, ...], *causes: str, contract: bool = False
) -> Callable[[Callable[[Program, int], Program]], Callable[[Program, int], Program]]:
    """Register a fault under the name of its function."""

    def register(inject: Callable[[Program, int], Program]) -> Callable[[Program, int], Program]:
        name = inject.__name__.replace("_", "-")
        FAULTS[name] = Fault(name, category, bases, causes, inject, contract)
        return inject

    return register


def habit(program: Program, **habits: Any) -> Program:
    """Return the program with other habits."""
    return replace(program, habits={**program.habits, **habits})


def layers(model: nn.Module, *kinds: type[nn.Module]) -> list[tuple[nn.Module, str, nn.Module]]:
    """Return (parent, name, layer) of all layers of some kinds."""
    return [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, kinds)
    ]


def rescaled(program: Program, factor: float) -> Program:
    """Return the program with another learning rate."""

    def make(model: nn.Module) -> Any:
        optimizer = program.optimizer(model)
        for group in optimizer.param_groups:
            group["lr"] *= factor
        return optimizer

    return replace(program, optimizer=make)


def inputs(program: Program, change: Callable[[Tensor], Tensor]) -> Program:
    """Return the program with changed inputs, held-out ones too."""
    (x, y), (u, v) = program.train, program.held
    return replace(program, train=(change(x), y), held=(change(u), v))


def headed(program: Program, last: nn.Module) -> Program:
    """Return the program with a module after its model."""
    return replace(program, model=nn.Sequential(program.model, last))


def targets(program: Program, change: Callable[[Tensor], Tensor]) -> Program:
    """Return the program with changed targets in training only."""
    x, y = program.train
    return replace(program, train=(x, change(y)))


def weights(model: nn.Module) -> list[Tensor]:
    """Return the weights of all linear and convolution layers."""
    return [layer.weight for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]


def attentions(model: nn.Module) -> list[Attending]:
    """Return all layers of attention."""
    return [layer for layer in model.modules() if isinstance(layer, Attending)]
