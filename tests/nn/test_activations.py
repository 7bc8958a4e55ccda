"""Every entry of the activation catalogue is correct: function, derivative, range, name."""

import math

import pytest
import torch

from pellucid.nn import ACTIVATIONS, activation

POINTWISE = [name for name, entry in ACTIVATIONS.items() if entry.pointwise]
OVER_CLASSES = [name for name, entry in ACTIVATIONS.items() if not entry.pointwise]
GRID = torch.linspace(-6, 6, 241, dtype=torch.float64)  # contains 0 and the kinks at -3 and 3


@pytest.mark.parametrize("name", POINTWISE)
def test_derivative_equals_autograd(name: str) -> None:
    entry = ACTIVATIONS[name]
    kinks = {"hard_sigmoid": 3, "hard_swish": 3}
    x = GRID[GRID.abs() != kinks[name]] if name in kinks else GRID
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(entry.function(x).sum(), x)
    torch.testing.assert_close(entry.derivative(x.detach()), gradient, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", OVER_CLASSES)
def test_jacobian_equals_autograd(name: str) -> None:
    entry = ACTIVATIONS[name]
    x = torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    jacobian = torch.autograd.functional.jacobian(entry.function, x)
    torch.testing.assert_close(entry.derivative(x), jacobian)
    assert entry.derivative(torch.zeros(2, 3, 4)).shape == (2, 3, 4, 4)


@pytest.mark.parametrize("name", POINTWISE)
def test_outputs_stay_in_the_range_and_nearly_reach_its_bounds(name: str) -> None:
    entry = ACTIVATIONS[name]
    y = entry.function(torch.linspace(-1000, 1000, 2_000_001, dtype=torch.float64))
    low, high = entry.range
    assert low - 1e-6 <= y.min() <= (low + 2e-3 if math.isfinite(low) else -9)
    assert high + 1e-6 >= y.max() >= (high - 2e-3 if math.isfinite(high) else 99)


@pytest.mark.parametrize("name", OVER_CLASSES)
def test_outputs_over_classes_stay_in_the_range(name: str) -> None:
    entry = ACTIVATIONS[name]
    y = entry.function(torch.tensor([[-50.0, 0.0, 50.0], [1.0, 1.0, 1.0]]))
    assert entry.range[0] <= y.min()
    assert y.max() <= entry.range[1]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_module_computes_the_function(name: str) -> None:
    x = torch.randn(4, 3)
    torch.testing.assert_close(activation(name)(x), ACTIVATIONS[name].function(x))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_entry_is_complete(name: str) -> None:
    entry = ACTIVATIONS[name]
    assert entry.name == name
    assert entry.formula
    assert entry.derivative_formula
    assert entry.source
    assert entry.note.endswith(".")


def test_step_is_one_at_zero_and_has_no_gradient() -> None:
    x = torch.tensor([-0.1, 0.0, 0.1], requires_grad=True)
    y = activation("step")(x)
    y.sum().backward()
    assert y.tolist() == [0, 1, 1]
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 0]


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean 'gelu'"):
        activation("gellu")
