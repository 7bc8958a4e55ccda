"""Every optimizer, compared with torch's own or with its formula."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pellucid.errors import ConfigError, UnknownNameError
from pellucid.train.optimizers import OPTIMIZERS, optimizer, parameter_groups

INPUTS = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
TARGETS = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))


def model() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 3))


def train(made: torch.optim.Optimizer, trained: nn.Module, steps: int = 5) -> list[Tensor]:
    for _ in range(steps):
        made.zero_grad()
        (trained(INPUTS) - TARGETS).square().mean().backward()
        made.step()
    return [parameter.detach().clone() for parameter in trained.parameters()]


REFERENCES: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"momentum": 0.9}),
    "adagrad": (torch.optim.Adagrad, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.0}),
    "nadam": (torch.optim.NAdam, {}),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_same_weights_as_torch(name: str) -> None:
    ours, theirs = model(), model()
    kind, options = REFERENCES[name]
    got = train(optimizer(name, ours, lr=0.01), ours)
    expected = train(kind(theirs.parameters(), lr=0.01, foreach=False, **options), theirs)
    torch.testing.assert_close(got, expected)


def test_nesterov_is_passed_to_torch() -> None:
    ours, theirs = model(), model()
    got = train(optimizer("sgd", ours, lr=0.01, nesterov=True), ours)
    reference = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    torch.testing.assert_close(got, train(reference, theirs))


def test_lion_follows_its_published_formula() -> None:
    weight = nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 0.0]]))
    made = optimizer("lion", [weight], lr=0.1, weight_decay=0.5, betas=[0.8, 0.9])
    w, m = weight.detach().clone(), torch.zeros(2, 2)
    for step in range(4):
        g = torch.tensor([[0.3, -1.0], [2.0, 0.1]]) * (-1) ** step + 0.05
        weight.grad = g.clone()
        made.step()
        w = w - 0.1 * ((0.8 * m + 0.2 * g).sign() + 0.5 * w)
        m = 0.9 * m + 0.1 * g
        torch.testing.assert_close(weight.detach(), w)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_is_decoupled_and_skips_biases_and_norms(name: str) -> None:
    trained = model()
    before = [parameter.detach().clone() for parameter in trained.parameters()]
    made = optimizer(name, trained, lr=0.1, weight_decay=0.5)
    for parameter in trained.parameters():
        parameter.grad = torch.zeros_like(
            parameter
        )  # a coupled decay would pass through the gradient's statistics
    made.step()
    for old, new in zip(before, trained.parameters(), strict=True):
        expected = old * (1 - 0.1 * 0.5) if old.ndim >= 2 else old
        torch.testing.assert_close(new.detach(), expected)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_scales_with_the_rate_and_skips_weights_without_gradient(name: str) -> None:
    used, unused = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    made = optimizer(name, [used, unused], lr=0.1, weight_decay=0.5)
    used.grad = torch.zeros(2, 2)
    for group in made.param_groups:
        group["lr"] = 0.01
    made.step()
    torch.testing.assert_close(used.detach(), torch.full((2, 2), 1 - 0.01 * 0.5))
    assert torch.equal(unused.detach(), torch.ones(2, 2))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_continues_bit_for_bit_from_a_loaded_state(name: str) -> None:
    whole = model()
    expected = train(optimizer(name, whole, lr=0.01, weight_decay=0.1), whole, steps=6)

    first = model()
    half = optimizer(name, first, lr=0.01, weight_decay=0.1)
    train(half, first, steps=3)
    second = copy.deepcopy(first)
    rest = optimizer(name, second, lr=0.01, weight_decay=0.1)
    rest.load_state_dict(copy.deepcopy(half.state_dict()))
    assert all(torch.equal(a, b) for a, b in zip(train(rest, second, steps=3), expected, strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_default_learning_rate_reduces_the_loss(name: str) -> None:
    trained = model()
    made = optimizer(name, trained)
    before = (trained(INPUTS) - TARGETS).square().mean().item()
    train(made, trained, steps=200)
    assert made.param_groups[0]["lr"] == OPTIMIZERS[name].lr
    assert (trained(INPUTS) - TARGETS).square().mean().item() < 0.9 * before


def test_parameter_groups_hold_only_trainable_weights() -> None:
    trained = model()
    trained[0].requires_grad_(False)
    weights, rest = parameter_groups(trained, 0.3)
    assert [p.shape for p in weights["params"]] == [(3, 8)]
    assert len(rest["params"]) == 3
    assert (weights["weight_decay"], rest["weight_decay"]) == (0.3, 0.0)


def test_invalid_options_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'adamw'"):
        optimizer("adamww", model())
    with pytest.raises(UnknownNameError, match=r"option of the optimizer adam.* named 'momentum'"):
        optimizer("adamw", model(), momentum=0.9)
    with pytest.raises(ConfigError, match="nothing to optimize"):
        optimizer("sgd", nn.ReLU())
    with pytest.raises(ConfigError, match="Nesterov"):
        optimizer("sgd", model(), momentum=0.0, nesterov=True)
    with pytest.raises(ConfigError, match="betas expects two numbers"):
        optimizer("adam", model(), betas=[0.9])


def test_catalogue_is_complete() -> None:
    assert list(OPTIMIZERS) == ["sgd", "adagrad", "rmsprop", "adam", "adamw", "nadam", "lion"]
    assert OPTIMIZERS["sgd"].options == {"momentum": 0.9, "nesterov": False}
    assert all(spec.formula and spec.source and spec.note for spec in OPTIMIZERS.values())
