"""lr_find on real digits: stable, useful, refuses flat losses and does not change the model."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from pellucid.errors import TrainingError
from pellucid.train.losses import loss
from pellucid.train.lr_find import LrSuggestion, lr_find
from pellucid.train.optimizers import optimizer

CROSS_ENTROPY = loss("cross_entropy")


def step_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The loss of a step, as a phase has it."""
    return CROSS_ENTROPY(model(batch[0]), batch[1])


Batches = list[tuple[Tensor, Tensor]]


@cache
def digits() -> tuple[Tensor, Tensor]:
    inputs, targets = load_digits(return_X_y=True)
    return torch.tensor((inputs - inputs.mean()) / inputs.std()).float(), torch.tensor(targets)


def batches(seed: int, targets: Tensor | None = None) -> Batches:
    inputs, classes = digits()
    classes = classes if targets is None else targets
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    return [(inputs[rows], classes[rows]) for rows in order.split(32)]


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10)
    )
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    return model


@cache
def suggestion(seed: int) -> LrSuggestion:
    return lr_find(network(seed), batches(seed), step_loss)


def loss_after_training(lr: float) -> float:
    model = network(9)
    made = optimizer("adamw", model, lr=lr)
    for inputs, targets in batches(10) + batches(11):
        made.zero_grad()
        CROSS_ENTROPY(model(inputs), targets).backward()
        made.step()
    inputs, targets = digits()
    return CROSS_ENTROPY(model.eval()(inputs), targets).item()


def test_suggestions_of_different_seeds_are_within_a_factor_of_three() -> None:
    rates = [suggestion(seed).lr for seed in range(5)]
    assert max(rates) <= 3 * min(rates)


def test_suggested_rate_trains_better_than_distant_rates() -> None:
    lr = suggestion(0).lr
    chosen = loss_after_training(lr)
    assert chosen < 0.3
    assert chosen < loss_after_training(lr / 30)
    assert chosen < loss_after_training(lr * 100)


def test_a_spike_in_one_ramp_is_ignored() -> None:
    calls = 0

    def spiky(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        nonlocal calls
        calls += 1
        value = step_loss(model, batch)
        return value * 2.5 if calls in (3, 20, 110) else value

    lr = lr_find(network(0), batches(0), spiky).lr
    assert suggestion(0).lr / 2 <= lr <= suggestion(0).lr * 2


def test_suggestion_includes_curve_and_reason() -> None:
    found = suggestion(0)
    assert len(found.lrs) == len(found.losses) == len(found.smoothed) == 80
    assert [len(ramp) for ramp in found.restarts] == [80, 80, 80]
    assert found.lrs == sorted(found.lrs)
    assert found.restarts[0] != found.restarts[1]
    assert f"{found.lr:.1e}" in found.reason


def test_model_and_random_state_are_unchanged() -> None:
    model = network(0)
    model[1].eval()  # a mixed mode has to survive, too
    CROSS_ENTROPY(model(digits()[0][:8]), digits()[1][:8]).backward()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    modes, random_state = [module.training for module in model.modules()], torch.get_rng_state()

    lr_find(model, batches(0), step_loss, restarts=1)

    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random_state)
    now = [parameter.grad for parameter in model.parameters()]
    assert all(a is not None and torch.equal(a, b) for a, b in zip(now, gradients, strict=True))


def test_state_is_unchanged_after_a_failure() -> None:
    model = network(0)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def broken(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        raise RuntimeError("broken")

    random_state = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="broken"):
        lr_find(model, batches(0), broken)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


class Deaf(nn.Module):
    """Its output depends on its parameters, and its gradient is 0."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network(0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        return y.detach() + 0 * y


@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_cannot_learn_is_refused(seed: int) -> None:
    with pytest.raises(TrainingError, match=r"makes the loss fall: expected"):
        lr_find(Deaf(), batches(seed), step_loss)


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_targets_are_refused(seed: int) -> None:
    _, classes = digits()
    permuted = classes[torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed))]
    with pytest.raises(TrainingError, match="targets belong to their inputs"):
        lr_find(network(seed), batches(seed, permuted), step_loss)


def test_an_insignificant_drop_of_the_loss_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"expected it to lose more than 4 of 202"):
        lr_find(network(0), batches(0)[:1], lambda model, batch: step_loss(model, batch) + 200)


def test_inputs_that_are_not_finite_are_refused() -> None:
    poisoned = [(inputs * float("nan"), targets) for inputs, targets in batches(0)]
    with pytest.raises(TrainingError, match="not a number"):
        lr_find(network(0), poisoned, step_loss)


def test_empty_data_is_refused() -> None:
    with pytest.raises(TrainingError, match="at least one batch, received none"):
        lr_find(network(0), [], step_loss)
