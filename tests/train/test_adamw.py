"""The fused AdamW step equals torch's own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from pellucid.train.adamw import FusedAdamW

SETTINGS = {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-7}


def pair(kind: type = FusedAdamW) -> list[tuple[nn.Module, torch.optim.Optimizer]]:
    """The same network twice, with torch's optimizer and with ours."""
    made = []
    for optimizer in (torch.optim.AdamW, kind):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
        weights = [p for p in model.parameters() if p.ndim == 2]
        others = [p for p in model.parameters() if p.ndim == 1]
        groups = [{"params": weights, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
        made.append((model, optimizer(groups, fused=True, **SETTINGS)))
    return made


def update(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    inputs = torch.randn(4, 5, generator=torch.Generator().manual_seed(number))
    optimizer.zero_grad()
    model(inputs).square().mean().backward()
    optimizer.step()


def weights(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def same(made: list[tuple[nn.Module, torch.optim.Optimizer]]) -> bool:
    first, second = (weights(model) for model, _ in made)
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_fused_step_equals_torch_bit_for_bit() -> None:
    made = pair()
    for number in range(5):
        for model, optimizer in made:
            for group in optimizer.param_groups:
                group["lr"] = 0.01 / (number + 1)
            update(model, optimizer, number)
        assert same(made)


def test_a_weight_without_gradient_does_not_change() -> None:
    made = pair()
    for number in range(6):
        for model, optimizer in made:
            model[0].weight.requires_grad_(number not in (2, 3))
            update(model, optimizer, number)
        assert same(made)


def test_training_continues_from_a_saved_state() -> None:
    made = pair()
    for model, optimizer in made:
        for number in range(3):
            update(model, optimizer, number)
        kept = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(model.state_dict())
        for number in range(3, 6):
            update(model, optimizer, number)
        model.load_state_dict(kept[1])
        optimizer.load_state_dict(kept[0])
        update(model, optimizer, 3)
    assert same(made)


def test_an_added_parameter_group_is_trained() -> None:
    made = pair()
    for model, optimizer in made:
        update(model, optimizer, 0)
        update(model, optimizer, 1)
        model.append(nn.Linear(3, 3, bias=False))
        torch.nn.init.ones_(model[3].weight)
        optimizer.add_param_group({"params": [model[3].weight], "weight_decay": 0.0})
        for number in range(2, 5):
            update(model, optimizer, number)
    assert same(made)
    assert not torch.equal(made[1][0][3].weight, torch.ones(3, 3))


@pytest.mark.parametrize("option", ["amsgrad", "maximize"])
def test_special_cases_use_torchs_own_step(option: str) -> None:
    made = pair()
    for model, optimizer in made:
        for group in optimizer.param_groups:
            group[option] = True
        for number in range(3):
            update(model, optimizer, number)
    assert same(made)
