"""The contract of all models."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from beartype import beartype
from jaxtyping import jaxtyped
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pellucid.models import BUILDERS
from tests.models.learning import least_error


@dataclass(frozen=True)
class Case:
    """A model to test.

    Attributes:
        builder: a name in BUILDERS.
        input_shape: of one example.
        parameters: how many there are, counted by hand.
        options: of the builder.
        differs: whether training and evaluation mode give different outputs.
    """

    builder: str
    input_shape: tuple[int, ...]
    parameters: int
    options: dict[str, Any] = field(default_factory=dict)
    differs: bool = False

    def build(self, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return BUILDERS[self.builder](self.input_shape, 10, **self.options)

    def __str__(self) -> str:
        options = ",".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.builder}-{'x'.join(map(str, self.input_shape))}-{options}"


def conv(channels: int, width: int, kernel_size: int = 3) -> int:
    """Parameters of a convolution block with batch norm."""
    return channels * width * kernel_size**2 + 2 * width


SMALL = conv(1, 16) + conv(16, 32) + conv(32, 64) + conv(64, 128)
BASE = conv(3, 64) + conv(64, 128) + 2 * conv(128, 128) + conv(128, 256) + 2 * conv(256, 256)
TINY = conv(1, 6, 5) + conv(6, 16, 5)
TABM = 5 * (2 + 2 + 16 * 2) + (10 * 8 + 4 * (10 + 16)) + (8 * 8 + 4 * 24) + 4 * 90
CASES = [
    Case("linear", (13,), 140),
    Case("mlp", (1, 28, 28), 784 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10, differs=True),
    Case("mlp", (64,), 64 * 32 + 32 + 32 * 10 + 10, {"size": "tiny", "activation": "gelu", "dropout": 0.0}),
    Case("mlp", (5, 3), 15 * 8 + 8 + 16 + 80 + 10, {"hidden": [8], "norm": "batch"}, differs=True),
    Case(
        "mlp",
        (15,),
        15 * 8 + 8 + 16 + 80 + 10,
        {"hidden": [8], "norm": "layer", "dropout": 0.3},
        differs=True,
    ),
    Case("tabm", (5,), TABM, {"members": 4, "hidden": 8, "embed_dim": 2}, differs=True),
    Case(
        "tabm",
        (3, 2),
        (6 * 32 + 8 * (6 + 64)) + (32 * 32 + 8 * 96) + 8 * 330,
        {"size": "tiny"},
        differs=True,
    ),
    Case("cnn", (1, 28, 28), TINY + 400 * 84 + 2 * 84 + 850, {"size": "tiny"}, differs=True),
    Case("cnn", (1, 28, 28), SMALL + 9 * 128 * 10 + 10, {"size": "small"}, differs=True),
    Case("cnn", (1, 8, 8), SMALL + 128 * 10 + 10, {}, differs=True),
    Case("cnn", (3, 16, 16), BASE + 2570, {"size": "base"}, differs=True),
]
each = pytest.mark.parametrize("case", CASES, ids=str)


def batch(case: Case, rows: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, *case.input_shape, generator=generator), torch.arange(rows) % 10


def typed(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The forward pass with the shapes in its signature checked."""
    checked = jaxtyped(typechecker=beartype)(type(model).forward)
    return lambda x: checked(model, x)


@each
def test_logits_have_the_documented_shape(case: Case) -> None:
    inputs, _ = batch(case)
    logits = typed(case.build())(inputs)
    assert logits.shape == (12, 10)
    assert logits.dtype == torch.float32


@each
def test_parameter_count(case: Case) -> None:
    assert sum(p.numel() for p in case.build().parameters()) == case.parameters


@each
def test_untrained_model_has_the_loss_of_guessing(case: Case) -> None:
    inputs, targets = batch(case)
    loss = F.cross_entropy(case.build()(inputs), targets).item()
    assert loss == pytest.approx(math.log(10), abs=0.1)


@each
def test_gradients_reach_every_parameter(case: Case) -> None:
    model = case.build()
    inputs, targets = batch(case)
    F.cross_entropy(model(inputs), targets).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@each
def test_examples_are_independent_in_evaluation(case: Case) -> None:
    model = case.build().eval()
    inputs, _ = batch(case)
    torch.testing.assert_close(model(inputs)[3:5], model(inputs[3:5]))


@each
def test_training_and_evaluation_differ_only_where_documented(case: Case) -> None:
    inputs, _ = batch(case)
    model = case.build()
    same = torch.allclose(model.train()(inputs), model.eval()(inputs), atol=1e-6)
    assert same is not case.differs


@each
def test_seed_determines_the_weights(case: Case) -> None:
    first, second, other = case.build(0).state_dict(), case.build(0).state_dict(), case.build(1).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@each
def test_saved_weights_are_restored(case: Case, tmp_path: Path) -> None:
    model, other = case.build(0), case.build(1)
    inputs, _ = batch(case)
    model(inputs)  # updates the running statistics
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(model.eval()(inputs), other.eval()(inputs))


@each
def test_one_batch_can_be_overfitted(case: Case) -> None:
    model = case.build()
    inputs, targets = batch(case)
    assert least_error(model, lambda: F.cross_entropy(model(inputs), targets), 0.05, steps=200) < 0.05


@each
def test_wrong_input_is_refused_with_both_shapes(case: Case) -> None:
    model = case.build()
    wrong = torch.zeros(2, *case.input_shape[:-1], case.input_shape[-1] + 1)
    if case.builder == "cnn":
        wrong = torch.zeros(2, case.input_shape[0] + 1, *case.input_shape[1:])
    with pytest.raises(ValueError, match=r"expects .* received .*\(2, "):
        model(wrong)
