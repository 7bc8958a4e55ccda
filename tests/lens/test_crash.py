"""A computation that fails gives the trace until then, the module, both shapes, and the usual fix."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.lens.look import look


class Of(nn.Module):
    """A model of layers by name, and a forward."""

    def __init__(self, forward: Any, **layers: nn.Module) -> None:
        super().__init__()
        self.run = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def test_a_crash_in_the_fourth_layer_gives_the_first_three_the_name_both_shapes_and_a_sentence():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 12), nn.Linear(10, 3), nn.ReLU())
    trace = look(model, (torch.randn(5, 8), torch.zeros(5).long()))
    assert [call.name for call in trace.calls if call.finished] == ["0", "1", "2"]
    assert trace["2"].activation.mean is not None
    crash = trace.crash
    assert (crash.where, crash.type, crash.stage) == ("3", "Linear", "forward")
    assert crash.received == "float32 (5, 12)"
    assert crash.expected == "(..., 10)"
    assert str(crash) == (
        "The forward pass fails in 3 (Linear). It received float32 (5, 12), and expects (..., 10). "
        "Make it nn.Linear(12, 3), or let what comes before return 10 features."
    )
    assert "did not return" in str(trace)
    assert crash.error.startswith("RuntimeError: mat1 and mat2")


def images(*shape: int) -> Tensor:
    return torch.randn(*shape)


FORWARD = [
    (nn.Linear(784, 10), images(2, 1, 28, 28), "(..., 784)", "x.flatten(1)"),
    (nn.Linear(3, 4), images(2, 3, 5), "(..., 3)", "x.transpose(1, -1)"),
    (nn.Linear(3, 4), torch.ones(2, 3).long(), "float32, as its weights", ".float(): they are int64"),
    (nn.Linear(3, 4), images(2, 3).double(), "float32, as its weights", ".float(): they are float64"),
    (nn.Linear(3, 4).half(), images(2, 3), "float16, as its weights", ".to(torch.float16)"),
    (nn.Conv2d(3, 4, 3), images(2, 1, 9, 9), "(B, 3, H, W)", "The images are gray"),
    (nn.Conv2d(3, 4, 3), images(2, 9, 9, 3), "(B, 3, H, W)", "x.movedim(-1, 1)"),
    (nn.Conv2d(1, 4, 3), images(2, 784), "(B, 1, H, W)", "x.unflatten(1, (1, 28, 28))"),
    (nn.Conv2d(1, 4, 3), images(8, 28, 28), "(B, 1, H, W)", "x.unsqueeze(1)"),
    (nn.Conv2d(6, 4, 3), images(2, 4, 9, 9), "(B, 6, H, W)", "nn.Conv2d(4, 4, ...)"),
    (nn.Conv2d(1, 4, 3), torch.ones(2, 1, 9, 9).byte(), "float32, as its weights", "they are uint8"),
    (nn.Conv1d(3, 4, 3), images(2, 50, 3), "(B, 3, L)", "x.movedim(-1, 1)"),
    (nn.Conv2d(1, 4, 5), images(2, 1, 3, 3), "images of at least 5x5", "shrunk to 3x3"),
    (nn.MaxPool2d(4), images(2, 1, 2, 2), "larger images", "shrunk to 1x2x2"),
    (nn.Embedding(10, 3), torch.tensor([[1, 12]]), "whole numbers from 0 to 9", "nn.Embedding(13, 3)"),
    (nn.Embedding(10, 3), torch.tensor([[1, -1]]), "whole numbers from 0 to 9", "an id -1"),
    (nn.Embedding(10, 3), images(2, 3), "whole numbers from 0 to 9", ".long()"),
    (nn.BatchNorm1d(3), images(1, 3), "at least two rows in training", "drop_last=True"),
    (nn.BatchNorm1d(3), images(4, 5), "(B, 3) or (B, 3, L)", "nn.BatchNorm1d(5)"),
    (nn.BatchNorm2d(3), images(4, 3), "(B, 3, H, W)", "nn.BatchNorm1d"),
    (nn.LayerNorm(3), images(4, 5), "(..., 3)", "nn.LayerNorm(5)"),
    (nn.GroupNorm(2, 4), images(4, 6, 2), "4 channels on axis 1", "nn.GroupNorm(2, 6)"),
    (nn.LSTM(4, 5, batch_first=True), images(2, 3, 7), "(B, T, 4)", "nn.LSTM(7, 5, ...)"),
    (nn.GRU(4, 5), images(2, 3, 4, 4), "(T, B, 4)", "4 axes"),
    (nn.TransformerEncoderLayer(8, 2), images(3, 2, 7), "(..., 8)", "d_model"),
    (nn.Unflatten(1, (2, 4)), images(2, 9), "sizes with the product 9", "Axis 1 has 9 values"),
    (nn.Sequential(nn.LSTM(4, 5), nn.Linear(5, 2)), images(3, 2, 4), "one tensor", "output, _ ="),
    (Of(lambda m, x: torch.cat([x, x[:1]], 1)), images(3, 2), "equal sizes on all axes but 1", "1 has 1"),
    (Of(lambda m, x: x + x[:, :3]), images(3, 4), "equal sizes on axis 1, or 1", "residual connection"),
    (Of(lambda m, x: x @ x), images(3, 4), "matrices (n, 3) and (3, 4)", ".mT"),
    (Of(lambda m, x: torch.bmm(x, x)), images(2, 3, 4), "a second factor (2, 4, n)", "keys in attention"),
    (Of(lambda m, x: x.t().view(6)), images(2, 3), "a contiguous tensor", ".reshape(...)"),
    (Of(lambda m, x: x.view(-1, 4)), images(2, 3), "a multiple of 4 values", "There are 6"),
    (Of(lambda m, x: x.sum(3)), images(2, 3), "an axis from -2 to 1", "There is no axis 3"),
    (Of(lambda m, x: x[:, 5]), images(2, 3), "an index from 0 to 2 on axis 1", "The index is 5"),
    (Of(lambda m, x: torch.stack([x[0, :1], x[0]])), images(2, 3), "tensors of one shape", "torch.stack"),
    (Of(lambda m, x: m.lin(x), line=nn.Linear(3, 2)), images(2, 3), "self.lin", "Did you mean self.line?"),
    (nn.ModuleList([nn.Linear(3, 2)]), images(2, 3), "a loop over its modules", "only a list"),
    (nn.Module(), images(2, 3), "a method forward", "Write Module.forward(self, x)"),
    (nn.Linear(3, 2), (images(2, 3), images(2, 3), images(2, 1)), "1 inputs", "only the last is the target"),
    (Of(lambda m, x: x.softmax(1)), torch.ones(2, 3).long(), "floating-point numbers", ".float()"),
    (nn.Linear(3, 2, device="meta"), images(2, 3), "all tensors on one device; the model is on meta", "meta"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "batch", "expected", "fix"), FORWARD)
def test_forward(model, batch, expected, fix):
    crash = look(model, batch).crash
    assert crash is not None
    assert crash.stage == "forward"
    assert crash.expected == expected
    assert fix in crash.fix
    assert crash.received


LOSS = [
    (F.cross_entropy, images(3, 4), torch.tensor([0, 4, 1]), "from 0 to 3", "a last layer of 5 outputs"),
    (F.cross_entropy, images(3, 4), torch.tensor([1, 4, 2]), "from 0 to 3", "count from 1"),
    (F.cross_entropy, images(3, 4), torch.tensor([1, -1, 2]), "from 0 to 3", "ignore_index=-1"),
    (F.cross_entropy, images(3, 4), torch.tensor([1.0, 2.0, 0.0]), "int64", "targets.long()"),
    (F.cross_entropy, images(3, 4), torch.tensor([[1], [2], [0]]), "shape (3,)", "squeeze(1)"),
    (F.cross_entropy, images(3, 4), torch.zeros(3, 4).long(), "shape (3,)", "argmax(1)"),
    (F.cross_entropy, images(3, 4), torch.zeros(2).long(), "3 targets", "different numbers of rows"),
    (F.cross_entropy, images(2, 5, 7), torch.zeros(2, 5).long(), "shape (2, 7)", "outputs.transpose(1, -1)"),
    (F.binary_cross_entropy_with_logits, images(3, 1), torch.ones(3), "shape (3, 1)", "view_as(outputs)"),
    (F.binary_cross_entropy, images(3) - 9, torch.ones(3), "between 0 and 1", "with_logits"),
    (F.mse_loss, images(3, 4), images(3, 2), "of one shape", "4 and 2 on axis 1"),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "outputs", "targets", "expected", "fix"), LOSS)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_loss(loss, outputs, targets, expected, fix):
    model = Of(lambda module, x: x + module.layer.bias.sum(), layer=nn.Linear(1, 1))
    crash = look(model, (outputs, targets), loss=loss).crash
    assert crash is not None
    assert crash.stage == "loss"
    assert expected in crash.expected
    assert fix in crash.fix
    assert str(tuple(targets.shape)) in crash.received
    assert str(crash).startswith("The loss fails. It received outputs")


def test_a_backward_pass_names_the_line_of_the_forward():
    def forward(module: nn.Module, x: Tensor) -> Tensor:
        hidden = module.first(x).sigmoid()
        hidden += 1
        return module.second(hidden)

    trace = look(Of(forward, first=nn.Linear(3, 4), second=nn.Linear(4, 2)), (images(2, 3), images(2, 2)))
    assert trace.crash.stage == "backward"
    assert trace.crash.where == "second"
    assert trace.crash.line.endswith("hidden = module.first(x).sigmoid()")
    assert "x = x + y for x += y" in trace.crash.fix
    assert trace["second"].gradient is not None
    assert trace["first"].gradient is None


def test_a_state_that_is_carried_over_is_explained():
    class Carrying(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.Linear(2, 2)
            self.state = torch.zeros(1, 2)

        def forward(self, x: Tensor) -> Tensor:
            self.state = self.cell(x + self.state)
            return self.state

    model, batch = Carrying(), (images(4, 2), images(4, 2))
    F.mse_loss(model(batch[0]), batch[1]).backward()
    crash = look(model, batch).crash
    assert crash is not None
    assert "hidden.detach()" in crash.fix


def test_the_line_of_the_user_is_named():
    crash = look(Of(lambda m, x: m.a(x), a=nn.Linear(3, 4)), images(2, 5)).crash
    assert crash is not None
    assert "test_crash.py" in crash.line


def test_an_unknown_error_is_shown_as_it_is():
    def forward(module: nn.Module, x: Tensor) -> Tensor:
        raise KeyError("weird")

    crash = look(Of(forward), images(2, 3)).crash
    assert crash is not None
    assert (crash.error, crash.fix, crash.where) == ("KeyError: 'weird'", "", "")
    assert str(crash) == "The forward pass fails in Of. It received float32 (2, 3)."


def test_a_picture_without_a_batch_needs_an_axis_and_not_another_layer():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 3))
    crash = look(model, torch.randn(3, 8, 8)).crash
    assert crash is not None
    assert "x[None]" in crash.fix
    assert "nn.Linear(36, 3)" in crash.fix
