"""`pellucid.watch` on loops that look like a mistake and are none, and on neighbours that are one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import pellucid
from tests.lens.test_watch import Loss, X, Y, adam, found, mlp, train
from tests.lens.test_watch_steps_and_contents import WORDS, sgd, texts


class Recurrent(nn.Module):
    """The last state of a recurrent layer, with or without the padding, which another argument tells."""

    def __init__(self, packs: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.packs = packs
        self.embed, self.head = nn.Embedding(WORDS, 16), nn.Linear(16, 2)
        self.rnn = nn.LSTM(16, 16, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        inner: Any = self.embed(x)
        if self.packs:
            inner = pack_padded_sequence(inner, lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.rnn(inner)[1][0][0])


@pytest.mark.parametrize("extra", [0, 600])
def test_padding_that_is_read_although_lengths_are_given(extra: int) -> None:
    def go(packs: bool) -> list[str]:
        x, y = texts()
        lengths = (x != 0).sum(1)
        x = F.pad(x, (0, extra))
        model = Recurrent(packs)
        optimizer = adam(model, 1e-2)
        with pellucid.watch(model, optimizer) as w:
            for step in range(40 if packs else 8):
                rows = torch.arange(32 * step, 32 * step + 32) % len(x)
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x[rows], lengths[rows]), y[rows])
                loss.backward()
                optimizer.step()
                w.step(loss, inputs=x[rows], targets=y[rows])
        return found(w)

    assert "padding-read" in go(packs=False)
    assert go(packs=True) == []


def regression_on_classes(measure: str) -> list[str]:
    model = mlp(outputs=1)
    optimizer = adam(model)
    y = Y.float()
    with pellucid.watch(model, optimizer) as w:
        for step in range(60):
            rows = torch.arange(32 * step, 32 * step + 32) % len(X)
            optimizer.zero_grad()
            loss = F.mse_loss(model(X[rows])[:, 0], y[rows])
            loss.backward()
            optimizer.step()
            w.step(loss, inputs=X[rows], targets=y[rows])
            if step % 20 == 19:
                w.validate({measure: 0.3})
    return found(w)


def test_real_numbers_are_classes_where_an_accuracy_is_measured() -> None:
    assert "classes-as-numbers" in regression_on_classes("accuracy")
    assert "classes-as-numbers" not in regression_on_classes("r2")


def test_a_cross_entropy_on_several_labels() -> None:
    several = torch.stack([Y % 2 == 0, Y > 4, Y < 8, Y % 3 == 0], 1).float()
    hot = F.one_hot(Y, 10).float()
    soft = 0.9 * hot + 0.01
    assert "softmax-for-labels" in found(train(mlp(outputs=4), y=several))
    binary = train(mlp(outputs=4), y=several, loss=F.binary_cross_entropy_with_logits)
    assert "softmax-for-labels" not in found(binary)
    assert found(train(mlp(), y=hot)) == found(train(mlp(), y=soft)) == []


def test_a_ctc_loss_of_logits() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rnn, self.head = nn.GRU(8, 16, batch_first=True), nn.Linear(16, 11)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0])

    def ctc(logs: bool) -> Loss:
        def loss(outputs: Tensor, y: Tensor) -> Tensor:
            rows = len(outputs)
            given = (outputs.log_softmax(2) if logs else outputs).transpose(0, 1)
            return F.ctc_loss(given, y[:, None] + 1, torch.full((rows,), 8), torch.ones(rows).long())

        return loss

    x = X.view(-1, 8, 8)
    [wrong] = [one for one in train(Model(), x=x, loss=ctc(False), steps=12).findings if one.level == "error"]
    assert wrong.id == "nll-without-log-softmax"
    assert "ctc_loss gets logits" in wrong.message
    assert "nll-without-log-softmax" not in found(train(Model(), x=x, loss=ctc(True), steps=12))


def test_a_loss_that_falls_below_0_with_a_learned_weight_has_no_wrong_sign() -> None:
    model = mlp()
    model.log_variance = nn.Parameter(torch.zeros(()))

    def loss(outputs: Tensor, y: Tensor) -> Tensor:
        weight: Tensor = model.log_variance  # type: ignore[assignment]
        return (-weight).exp() * F.cross_entropy(outputs, y) + weight

    w = train(model, adam(model, 1e-2), loss=loss, steps=300)
    assert w.evidence.losses[-1][1] < 0 < w.evidence.losses[0][1]
    assert "loss-sign" not in found(w)


def test_a_rounding_with_a_derivative_of_its_own() -> None:
    class Round(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.round()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
            return gradient

    def go(rounded: Callable[[Tensor], Tensor]) -> list[str]:
        return found(train(mlp(), loss=lambda o, y: F.cross_entropy(rounded(o * 4) / 4, y)))

    assert "no-gradient-operation" in go(torch.round)
    assert go(Round.apply) == []


@pytest.mark.parametrize("weigh", [False, True])
def test_classes_that_are_rare_and_weighed(weigh: bool) -> None:
    y = ((Y == 8) & (torch.arange(len(Y)) % 5 == 0)).long()
    assert 0.01 < y.float().mean() < 0.03
    weights = torch.tensor([1.0, 40.0]) if weigh else None
    w = train(mlp(outputs=2), y=y, loss=lambda o, t: F.cross_entropy(o, t, weight=weights), steps=100)
    assert ("imbalanced-classes" in found(w)) is not weigh
    assert "imbalanced-classes" in [one.id for one in w.findings]


def test_two_classes_of_80_and_20_percent_with_weights() -> None:
    y = (Y > 7).long()
    weights = torch.tensor([1.0, 4.0])
    assert found(train(mlp(outputs=2), y=y, loss=lambda o, t: F.cross_entropy(o, t, weight=weights))) == []
    pos = torch.tensor(4.0)
    w = train(
        mlp(outputs=1),
        y=y.float(),
        loss=lambda o, t: F.binary_cross_entropy_with_logits(o[:, 0], t, pos_weight=pos),
        steps=100,
    )
    assert found(w) == []


def test_inputs_that_are_a_hundredth_of_the_usual() -> None:
    model = mlp()
    assert "inputs-unscaled" in found(train(model, sgd(model, 0.1), x=X / 100))
    model = mlp()
    assert found(train(model, sgd(model, 0.1), x=X, steps=120)) == []
