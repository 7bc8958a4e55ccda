"""`look` says what happens in every module, of any model, and leaves it as it was."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import pellucid
from pellucid.errors import RunError, UsageError
from pellucid.lens.look import look


class Tied(nn.Module):
    """A tied embedding, a layer used twice, and a dict of inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 4)
        self.mix = nn.Linear(4, 4)
        self.output = nn.Linear(4, 7, bias=False)
        self.output.weight = self.table.weight

    def forward(self, tokens: Tensor, scale: Tensor) -> dict[str, Tensor]:
        hidden = self.mix(self.mix(self.table(tokens)).relu())
        return {"logits": self.output(hidden) * scale, "hidden": hidden}


def tied_batch() -> dict[str, Tensor]:
    return {
        "tokens": torch.randint(7, (2, 5)),
        "scale": torch.tensor(1.0),
        "labels": torch.randint(7, (2, 5)),
    }


def test_shapes_parameters_and_operations_of_every_call():
    model, batch = Tied(), tied_batch()
    trace = look(model, batch)
    assert [(call.name, call.number) for call in trace.calls] == [
        ("", 0),
        ("table", 0),
        ("mix", 0),
        ("mix", 1),
        ("output", 0),
    ]
    assert [tensor.shape for tensor in trace[""].outputs] == [(2, 5, 7), (2, 5, 4)]
    assert trace["table"].inputs[0].dtype == "int64"
    assert (trace["mix"].parameters, trace.parameters) == (20, 28 + 20)
    assert trace["output"].flops == 2 * 10 * 4 * 7
    assert trace.flops == trace["output"].flops + 2 * 2 * 10 * 4 * 4
    assert trace["table"].shared_with == ["output"]
    assert trace.loss_name.startswith("cross entropy")


def test_a_model_that_computes_its_loss_gets_the_labels():
    class WithLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
            logits = self.layer(x)
            loss = {} if labels is None else {"loss": nn.functional.cross_entropy(logits, labels) + 5}
            return loss | {"logits": logits}

    batch = {"x": torch.randn(4, 3), "labels": torch.tensor([0, 1, 1, 0])}
    trace = look(WithLoss(), batch)
    assert trace.loss > 5
    assert trace.loss_name == "the loss that the model returned"
    assert look(WithLoss(), batch, loss="cross_entropy").loss < 5


def test_statistics_are_those_of_the_tensors():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        model[0].bias[1] = -100.0  # a dead unit
    x, y = torch.randn(6, 3), torch.tensor([0, 1, 1, 0, 1, 0])
    trace = look(model, (x, y), optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    hidden = model[1](model[0](x))
    assert trace["1"].activation.mean == pytest.approx(hidden.mean().item(), rel=1e-6)
    assert trace["1"].activation.zeros == pytest.approx((hidden == 0).float().mean().item())
    assert (trace["1"].dead_units, trace["1"].units) == (1, 4)
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    assert trace.loss == loss.item()
    gradient = torch.cat([p.grad.flatten() for p in model[2].parameters()]).norm()
    weight = torch.cat([p.detach().flatten() for p in model[2].parameters()]).norm()
    assert trace["2"].update_ratio == pytest.approx((0.1 * gradient / weight).item(), rel=1e-5)
    assert trace["0"].gradient.norm > 0


def test_nothing_of_the_model_is_changed():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batch = torch.randn(6, 3), torch.randint(2, (6,))
    state = torch.get_rng_state()
    trace = look(model, batch)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert trace.training


def test_values_are_computed_again_with_the_same_random_numbers():
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    trace = look(model, (torch.randn(6, 3), torch.randn(6, 1)))
    values = trace["1"].values()
    assert values.output.mean().item() == pytest.approx(trace["1"].activation.mean, abs=1e-7)
    assert torch.equal(values.output, trace["2"].values().args[0])
    assert values.gradient.norm().item() == pytest.approx(trace["1"].gradient.norm, rel=1e-5)
    with torch.no_grad():
        model[0].weight.add_(1)
    with pytest.raises(UsageError, match="weights have changed"):
        trace["1"].values()


def test_a_trace_is_plain_data_and_a_table():
    trace = look(Tied(), tied_batch())
    plain = json.loads(json.dumps(trace.to_dict()))
    assert plain["version"] == 1
    assert plain["calls"][1]["outputs"][0]["shape"] == [2, 5, 4]
    text = str(trace)
    assert "mix Linear (call 2)" in text
    assert max(len(line) for line in text.splitlines()) <= 120


def test_a_forward_that_changes_its_own_weights_is_undone_and_said():
    class Changing(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                self.bias.add_(1)
            return super().forward(x)

    model = Changing(3, 2)
    bias = model.bias.detach().clone()
    trace = look(model, torch.zeros(4, 3))
    assert torch.equal(model.bias, bias)
    assert trace.notes[0] == "The forward pass changed its own weights: bias."


@pytest.mark.parametrize("how", ["meta", "half", "nan", "frozen", "lazy", "packed"])
def test_unusual_models_are_seen_as_far_as_possible(how):
    model, x = nn.Sequential(nn.Linear(3, 2), nn.ReLU()), torch.randn(4, 3)
    if how == "meta":
        model, x = model.to("meta"), x.to("meta")
    elif how == "half":
        model, x = model.bfloat16(), x.bfloat16()
    elif how == "nan":
        x[0, 0] = torch.nan
    elif how == "frozen":
        model.requires_grad_(False)
    elif how == "lazy":
        model = nn.Sequential(nn.LazyLinear(2), nn.ReLU())
    elif how == "packed":
        model = nn.LSTM(3, 2, batch_first=True)
        x = nn.utils.rnn.pack_sequence([torch.randn(3, 3), torch.randn(2, 3)])
    trace = look(model, x)
    assert trace.crash is None, trace.crash
    if how == "nan":
        assert trace["0"].outputs[0].non_finite == 0.25
        assert "25 % not finite" in str(trace)
    if how == "packed":
        assert trace[""].flops == 2 * 5 * (8 * 3 + 8 * 2)
    if how == "frozen":
        assert trace.trainable == 0
        assert "no gradients" in trace.notes[0]
    assert trace.calls[-1].outputs[0].shape == ((5, 2) if how == "packed" else (4, 2))


def test_a_run_is_looked_at_with_its_own_data_loss_and_checkpoints(tmp_path):
    X = np.random.default_rng(0).normal(size=(90, 3)).astype("float32")
    run = pellucid.fit(
        "mlp", pellucid.arrays(X, (X[:, 0] > 0).astype(int)), epochs=2, runs=tmp_path, progress=False
    )
    trace = pellucid.look(run)
    assert trace.step is not None
    assert trace.loss is not None
    assert not trace.training
    assert trace[""].inputs[0].shape[1] == 3
    assert any(call.update_ratio for call in trace.calls)
    first = run.look(step=trace.step)
    assert first.loss == trace.loss
    batch = torch.as_tensor(X[:5]), torch.zeros(5).long()
    assert pellucid.look(str(run.path), batch)[""].outputs[0].shape == (5, 2)
    with pytest.raises(RunError, match="no checkpoint of step 1,000"):
        run.look(step=1000)


def test_a_run_on_batches_of_a_model_of_ones_own(tmp_path):
    X, y = torch.randn(40, 4), torch.randint(3, (40,))
    loader = DataLoader(TensorDataset(X, y), batch_size=10)

    def network() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))

    own = {"loss": nn.functional.cross_entropy, "epochs": 1, "runs": tmp_path, "progress": False}
    run = pellucid.fit(network(), loader, **own)
    assert run.look().loss_name == "its loss"
    assert run.look(loss="hinge").loss_name == "hinge"
    with pytest.raises(RunError, match=r"pellucid\.Run\(path, model\)\.look"):
        pellucid.look(str(run.path))
    again = pellucid.Run(run.path, network()).look((X, y))
    assert again.loss_name.startswith("cross entropy")
    assert again["2"].update_ratio > 0


def test_what_cannot_be_looked_at_is_refused():
    with pytest.raises(UsageError, match="needs a batch"):
        pellucid.look(nn.Linear(2, 2))
    with pytest.raises(UsageError, match=r"Expected a torch\.nn\.Module or a run"):
        pellucid.look(3, torch.zeros(2))


def test_a_model_whose_forward_is_not_called_is_not_a_name_and_few_flops_have_a_space():
    text = str(look(nn.Linear(3, 2), torch.zeros(5, 3)))
    assert "60 FLOP forward" in text
    trace = look(nn.Linear(3, 2), torch.zeros(5, 3))
    trace.not_called = [""]
    assert "Not called" not in str(trace)
