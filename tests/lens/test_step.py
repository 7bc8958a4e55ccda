"""A neuron and a training step by their numbers, equal to what the model computes."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pellucid
from pellucid.errors import UsageError
from pellucid.lens.look import look
from pellucid.lens.step import step_through

OPTIMIZERS = [
    lambda p: torch.optim.SGD(p, lr=0.1),
    lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
    lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1, amsgrad=True),
    lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    lambda p: torch.optim.Adagrad(p, lr=0.1, lr_decay=0.1),
]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3, padding=1, stride=2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(
        *layers, nn.Linear(27, 8), nn.LayerNorm(8), nn.GELU(), nn.Dropout(0.3), nn.Linear(8, 3)
    )


BATCH = torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 0])


# ---- the neuron ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(6, 4),
        nn.Conv1d(4, 6, 3, padding=1, groups=2),
        nn.Conv2d(2, 3, 3, padding="same", padding_mode="reflect"),
        nn.Conv2d(2, 3, (3, 2), stride=2, padding=(1, 0), dilation=2),
        nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular", bias=False),
        nn.Conv3d(1, 2, 2, padding=1, padding_mode="replicate"),
    ],
    ids=str,
)
def test_a_neuron_adds_up_to_what_its_layer_returned(layer):
    shapes = {"Linear": (2, 5, 6), "Conv1d": (2, 4, 6), "Conv2d": (2, 2, 6, 6), "Conv3d": (2, 1, 4, 4, 4)}
    x = torch.randn(*shapes[type(layer).__name__])
    trace = look(layer, x)
    output = layer(x)
    axes = output.shape[1:-1] if isinstance(layer, nn.Linear) else output.shape[2:]
    for place in ((0,) * len(axes), tuple(size - 1 for size in axes)):
        found = trace.neuron("", 1, row=1, position=place)
        index = (1, *place, 1) if isinstance(layer, nn.Linear) else (1, 1, *place)
        assert found.output == output[index].item()
        assert found.error < 1e-6
        assert found.sum == pytest.approx(sum(found.products) + found.bias)
    json.dumps(found.to_dict())


def test_the_activation_is_found_as_a_module_and_as_a_function():
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(F.silu(self.first(x)))

    x = torch.randn(5, 3)
    model = Functional()
    found = look(model, x).neuron("first", 2, row=3)
    assert found.activation == "SiLU"
    assert found.activated == F.silu(model.first(x))[3, 2].item()
    found = look(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), x).neuron("0", 0)
    assert found.activation == "Tanh"
    assert f"Tanh({found.output:.6g}) = {found.activated:.6g}" in str(found)


def test_what_is_no_neuron_is_refused():
    trace = look(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), torch.randn(5, 3))
    with pytest.raises(UsageError, match="1 is a ReLU"):
        trace.neuron("1", 0)
    with pytest.raises(UsageError, match="unit= expects 0 to 3, received 4"):
        trace.neuron("0", 4)


# ---- the step ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_a_step_is_the_one_that_the_loop_would_take_and_follows_the_formula(make):
    model = network()
    optimizer = make(model.parameters())
    for _ in range(2):  # so that the optimizer has a state
        optimizer.zero_grad()
        F.cross_entropy(model(BATCH[0]), BATCH[1]).backward()
        optimizer.step()
    state, held = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    random = torch.get_rng_state()
    step = step_through(model, BATCH, optimizer=optimizer, loss=F.cross_entropy, entries=0)
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert str(held) == str(optimizer.state_dict())
    assert step[model_name(model)].left_over > 0
    optimizer.zero_grad()
    loss = F.cross_entropy(model(BATCH[0]), BATCH[1])
    loss.backward()
    optimizer.step()
    assert step.loss == loss.item()
    after = dict(step.after.named_parameters())
    assert all(torch.equal(after[name], parameter) for name, parameter in model.named_parameters())
    assert all(part.formula_error < 1e-3 for part in step.parameters)


def model_name(model: nn.Module) -> str:
    return next(name for name, _ in model.named_parameters())


def test_layers_follow_the_textbook_and_gradients_the_differences():
    step = step_through(
        network().double(), (BATCH[0].double(), BATCH[1]), loss="cross_entropy", clip_grad_norm=0.1
    )
    known = [call for call in step.backward if call.error is not None]
    assert {call.type for call in known} == {
        "Conv2d",
        "BatchNorm2d",
        "ReLU",
        "Flatten",
        "Linear",
        "LayerNorm",
        "GELU",
    }
    assert all(call.error < 1e-12 for call in known)
    assert all(part.gradient_error < 1e-10 for part in step.parameters)
    assert all(part.differences for part in step.parameters)
    assert step.largest_error < 1e-7
    assert step.clipped == pytest.approx(0.1 / step.gradient_norm, rel=1e-4)
    assert next(call.name for call in step.backward if call.name) == "8"


@pytest.mark.parametrize(
    "layer",
    [
        nn.Sigmoid(),
        nn.Tanh(),
        nn.SiLU(),
        nn.ELU(),
        nn.LeakyReLU(),
        nn.Softplus(),
        nn.GELU("tanh"),
        nn.Softmax(1),
    ],
    ids=str,
)
def test_the_derivative_of_an_activation(layer):
    model = nn.Sequential(nn.Linear(4, 5), layer, nn.Linear(5, 1)).double()
    step = step_through(model, (torch.randn(6, 4).double(), torch.randn(6, 1).double()), entries=0)
    found = next(call for call in step.backward if call.name == "1")
    assert found.error < 1e-12
    assert found.rule


def test_a_tied_weight_used_twice_gets_the_sum_of_both():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(6, 4)
            self.output = nn.Linear(4, 6, bias=False)
            self.output.weight = self.table.weight

        def forward(self, tokens: Tensor) -> Tensor:
            return self.output(self.table(tokens))

    step = step_through(Tied(), (torch.randint(6, (3, 5)), torch.randint(6, (3, 5))))
    assert [part.name for part in step.parameters] == ["table.weight"]
    assert step["table.weight"].gradient_error < 1e-5
    assert step.largest_error < 1e-7


def test_a_step_is_plain_data_and_text():
    model = network()
    step = pellucid.step_through(model, BATCH, optimizer=torch.optim.Adam(model.parameters(), lr=0.01))
    plain = json.loads(json.dumps(step.to_dict()))
    assert plain["version"] == 1
    assert plain["stages"] == ["zero_grad", "forward", "loss", "backward", "clip", "step"]
    entry = plain["parameters"][0]["entries"][0]
    assert set(entry["state_after"]) == {"step", "exp_avg", "exp_avg_sq"}
    text = str(step)
    assert "m = b1 m + (1 - b1) g" in text
    assert "central finite differences" in text


def test_a_kink_is_no_error():
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.fill_(-1.0)
    step = step_through(model, (torch.ones(2, 1), torch.ones(2, 1)))
    found = [one for part in step.parameters for one in part.differences]
    assert all(one.kink and one.error == 0 for one in found)


def test_what_cannot_be_stepped_through_is_refused():
    model = network()
    with pytest.raises(UsageError, match="no parameter of the model"):
        step_through(model, BATCH, optimizer=torch.optim.SGD(network().parameters(), lr=0.1))
    model.state = model(BATCH[0])
    with pytest.raises(UsageError, match="cannot be copied"):
        step_through(model, BATCH)


def test_lbfgs_is_refused_in_words():
    model = network()
    with pytest.raises(UsageError, match="LBFGS computes the loss several times"):
        step_through(model, BATCH, optimizer=torch.optim.LBFGS(model.parameters()))


def test_numbers_that_are_not_finite_are_none_in_json():
    batch = torch.full((4, 2), torch.nan), torch.tensor([0, 1, 0, 1])
    for found in (look(nn.Linear(2, 2), batch), step_through(nn.Linear(2, 2), batch, entries=0)):
        values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert values["loss"] is None
