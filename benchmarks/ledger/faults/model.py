"""Faults of models and their first weights."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from benchmarks.ledger.bases import Coder
from benchmarks.ledger.faults.registry import (
    fault,
    headed,
    layers,
    weights,
)
from benchmarks.ledger.program import Program


@fault(
    "model",
    ("mlp-images", "mlp-table", "cnn", "mlp-regression"),
    "symmetric-units",
    "constant-initial-weights",
)
def constant_init(program: Program, strength: int) -> Program:
    for weight in weights(program.model):
        nn.init.constant_(weight, 0.0 if strength == 1 else 0.01)
    return program


@fault("model", ("mlp-images", "mlp-table"), "initial-weights-too-large", "saturated-activations")
def init_std_1(program: Program, strength: int) -> Program:
    for weight in weights(program.model):
        nn.init.normal_(weight, std=1.0 * strength)
    return program


@fault("model", ("mlp-images", "mlp-table", "cnn"), "initial-weights-too-small", "vanishing-gradients")
def init_std_1e_4(program: Program, strength: int) -> Program:
    for weight in weights(program.model):
        nn.init.normal_(weight, std=1e-4)
    return program


@fault("model", ("mlp-images",), "vanishing-gradients")
def twelve_sigmoid_layers(program: Program, strength: int) -> Program:
    width = program.train[0].shape[1]
    hidden = [part for _ in range(12 * strength) for part in (nn.Linear(48, 48), nn.Sigmoid())]
    return replace(
        program, model=nn.Sequential(nn.Linear(width, 48), nn.Sigmoid(), *hidden, nn.Linear(48, 10))
    )


@fault("model", ("mlp-images", "cnn", "mlp-regression"), "dead-units")
def dead_relu_by_bias(program: Program, strength: int) -> Program:
    found = layers(program.model, nn.Linear, nn.Conv2d)
    bias = found[0][2].bias
    assert isinstance(bias, Tensor)
    nn.init.constant_(bias, -20.0 * strength)
    return program


@fault("model", ("mlp-table",), "saturated-activations", "inputs-unscaled", "initial-weights-too-large")
def saturated_tanh(program: Program, strength: int) -> Program:
    for weight in weights(program.model)[:2]:
        nn.init.normal_(weight, std=10.0)
    return program


@fault("model", ("mlp-images", "autoencoder", "mlp-regression"), "no-activation")
def no_activation(program: Program, strength: int) -> Program:
    for parent, name, _ in layers(program.model, nn.ReLU, nn.Tanh):
        setattr(parent, name, nn.Identity())
    return program


@fault("model", ("mlp-images", "cnn"), "dropout-too-strong")
def dropout_09(program: Program, strength: int) -> Program:
    p = 0.9 if strength == 1 else 0.95
    for parent, name, layer in layers(program.model, nn.ReLU):
        setattr(parent, name, nn.Sequential(layer, nn.Dropout(p)))
    return program


class Listed(nn.Module):
    """A model whose hidden layers stand in a plain list."""

    def __init__(self, width: int, size: int, classes: int) -> None:
        super().__init__()
        self.hidden = [nn.Linear(width, size), nn.Linear(size, size)]
        self.head = nn.Linear(size, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width) -> (B, classes)."""
        for layer in self.hidden:
            x = layer(x).relu()
        return self.head(x)


@fault("model", ("mlp-images", "mlp-table"), "layers-in-plain-list", contract=True)
def plain_list(program: Program, strength: int) -> Program:
    x, y = program.train
    return replace(program, model=Listed(x.shape[1], 32 * strength, int(y.max()) + 1))


@fault("model", ("mlp-images", "cnn"), "dropout-on-outputs")
def dropout_on_outputs(program: Program, strength: int) -> Program:
    return headed(program, nn.Dropout(0.5))


@fault("model", ("autoencoder",), "bottleneck-too-narrow")
def bottleneck_1(program: Program, strength: int) -> Program:
    return replace(program, model=Coder(program.train[0].shape[1], 1))
