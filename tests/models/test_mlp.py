"""The multilayer perceptron compared with the same network in plain torch."""

import pytest
import torch
from torch import nn

from pellucid.models import MLP, linear, mlp


def test_mlp_equals_the_same_network_in_torch() -> None:
    model = MLP([784, 128, 64, 10])
    one, two, out = model.hidden[0], model.hidden[2], model.output
    x = torch.randn(5, 1, 28, 28)
    expected = out(torch.relu(two(torch.relu(one(x.flatten(1))))))
    assert torch.equal(model(x), expected)


def test_layers_are_in_the_order_linear_norm_activation_dropout() -> None:
    kinds = [type(layer) for layer in MLP([4, 3, 2], norm="batch", activation="tanh", dropout=0.5).hidden]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.Tanh, nn.Dropout]


def test_linear_has_no_hidden_layer() -> None:
    model = linear((2, 3), 4)
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(model(x), x.flatten(1) @ model.output.weight.T + model.output.bias)


def test_sizes_grow() -> None:
    counts = [
        sum(p.numel() for p in mlp((64,), 10, size=size).parameters()) for size in ("tiny", "small", "base")
    ]
    assert counts == sorted(counts)
    assert mlp((64,), 10).hidden[0].out_features == 128


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: MLP([784]), "at least two widths"),
        (lambda: MLP([784, 0, 10]), "1 or more"),
        (lambda: MLP([4, 3, 2], dropout=1.5), "dropout"),
        (lambda: MLP([4, 3, 2], activation="rleu"), "Did you mean 'relu'"),
        (lambda: mlp((4,), 2, size="smal"), "Did you mean 'small'"),
        (lambda: mlp((4,), 2, size="small", hidden=[3]), "received both"),
        (lambda: linear((4,), 2, size="base"), "expects no size"),
    ],
)
def test_invalid_options_are_refused(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
