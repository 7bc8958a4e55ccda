"""Unusual models, losses and batches: seen, or refused in words."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pellucid.errors import UsageError
from pellucid.lens.look import look
from pellucid.lens.preflight import check
from pellucid.lens.step import step_through

torch.manual_seed(0)  # the data and the layers below are the same in every run
X, Y = torch.randn(4, 3), torch.tensor([0, 1, 1, 0])


class Of(nn.Module):
    """A linear layer, and a forward."""

    def __init__(self, run: Any) -> None:
        super().__init__()
        self.layer, self.run = nn.Linear(3, 2), run

    def forward(self, x: Tensor) -> Any:
        return self.run(self.layer, x)


STEPS = {
    "checkpoint": (Of(lambda layer, x: checkpoint(layer, x, use_reentrant=False)), (X, Y)),
    "spectral": (nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 2))), (X, Y)),
    "complex": (Of(lambda layer, x: torch.fft.fft(layer(x)).abs()), (X, Y)),
    "sparse": (
        nn.Sequential(nn.Embedding(9, 2, sparse=True), nn.Flatten(), nn.Linear(6, 2)),
        (torch.randint(9, (4, 3)), Y),
    ),
    "parallel": (nn.DataParallel(nn.Linear(3, 2)), (X, Y)),
    "in place": (nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)), (X, Y)),
    "numpy": (nn.Linear(3, 2), (X.numpy(), Y.numpy())),
    "transformer": (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), torch.randn(2, 3, 4)),
    "recurrent": (nn.LSTM(3, 4, batch_first=True), torch.randn(2, 5, 3)),
}


@pytest.mark.parametrize("name", STEPS)
def test_it_is_seen_checked_and_stepped_through(name):
    model, batch = STEPS[name]
    trace = look(model, batch)
    assert trace.crash is None
    assert any(call.gradient is not None for call in trace)
    assert [found for found in check(model, batch) if found.level != "note"] == []
    step = step_through(model, batch)
    assert step.largest_error < 1e-5
    assert str(step)


REFUSED = {
    "float": (nn.Linear(3, 2), lambda outputs, targets: 3.0, "tensor of one number"),
    "vector": (nn.Linear(3, 2), lambda outputs, targets: outputs.sum(1), "Reduce it"),
    "nothing": (Of(lambda layer, x: None), None, "received NoneType"),
    "cut": (Of(lambda layer, x: layer(x).detach()), None, "no gradients"),
    "raises": (Of(lambda layer, x: x @ x), None, "inner sizes 3 and 4"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_step_that_cannot_be_taken_is_refused_and_a_look_says_why(name):
    model, loss, words = REFUSED[name]
    with pytest.raises(UsageError, match=f"No step can be taken.*{words}"):
        step_through(model, (X, Y), loss=loss)
    trace = look(model, (X, Y), loss=loss)
    assert trace.crash or trace.notes
    assert check(model, (X, Y), loss)[0].rule in ("computation-fails", "no-usual-loss", "graph-broken")


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
def test_a_scripted_model_and_one_of_inference_mode():
    scripted = torch.jit.script(nn.Sequential(nn.Linear(3, 2)))
    assert "scripted" in look(scripted, (X, Y)).notes[0]
    with pytest.raises(UsageError, match="cannot be trained"):
        step_through(scripted, (X, Y))
    with torch.inference_mode():
        model = nn.Linear(3, 2)
    assert look(model, (X, Y))[""].values().output.shape == (4, 2)
