"""Margins of training rows are those of the logits of the updates, and recording them changes nothing."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from pellucid.config import TrainConfig
from pellucid.data.batches import Batches, MemoryRows
from pellucid.models.tabm import tabm
from pellucid.tasks.classification.objective import classification
from pellucid.train.margins import LabelMargins, Margins
from pellucid.train.optimizers import optimizer
from pellucid.train.trainer import Trainer
from tests.train.conftest import compiles

ROWS, CLASSES = 50, 3


def rows() -> MemoryRows:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(ROWS, 4, generator=generator)
    return MemoryRows(inputs, (inputs[:, 0] > 0).long() + (inputs[:, 1] > 1).long())


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, CLASSES))


def train(
    *,
    record: bool = True,
    model: nn.Module | None = None,
    lr: float = 0.01,
    name: str = "adamw",
    **settings: object,
) -> tuple[nn.Module, LabelMargins]:
    data = rows()
    batches = Batches(data, 8, seed=1, shuffle=True)
    margins = LabelMargins(data.targets, batches.row_numbers_of)
    config = TrainConfig.model_validate({"epochs": 3, "device": "cpu", **settings})
    trainer = Trainer(
        model or network(),
        classification(),
        partial(optimizer, name, lr=lr),
        config,
        callbacks=[margins] if record else [],
    )
    trainer.fit(batches, {"val": Batches(data, 50)})
    return trainer.model, margins


def by_hand(logits: Tensor, labels: Tensor) -> Tensor:
    own = logits.gather(1, labels[:, None])[:, 0]
    return own - logits.scatter(1, labels[:, None], -torch.inf).amax(1)


@pytest.mark.parametrize("group", [1, 2])
def test_margins_are_those_of_each_row_by_its_own_number(group: int) -> None:
    model = nn.Sequential(nn.Linear(4, CLASSES))
    model, found = train(model=model, lr=0.0, name="sgd", gradient_accumulation_steps=group)
    data = rows()
    expected = by_hand(model(data.inputs).detach(), data.targets)
    made = found.margins()
    torch.testing.assert_close(torch.from_numpy(made.margin), expected, rtol=1e-5, atol=1e-5)
    assert made.epochs.tolist() == [3] * ROWS
    others = model(data.inputs).detach().scatter(1, data.targets[:, None], -torch.inf).argmax(1)
    assert made.other.tolist() == others.tolist()


@pytest.mark.parametrize("mode", ["eager", pytest.param("compiled", marks=compiles)])
def test_recording_changes_no_bit_of_the_training(mode: str) -> None:
    with_margins, found = train(execution=mode)
    without, _ = train(record=False, execution=mode)
    for one, other in zip(with_margins.parameters(), without.parameters(), strict=True):
        assert torch.equal(one, other)
    assert found.margins().epochs.tolist() == [3] * ROWS


@compiles
def test_compiled_updates_have_the_margins_of_plain_ones() -> None:
    plain = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    torch.manual_seed(0)
    state = {name: torch.randn_like(value) for name, value in plain.state_dict().items()}
    found: list[Margins] = []
    for mode in ("eager", "compiled"):
        plain.load_state_dict(state)
        found.append(train(model=plain, execution=mode)[1].margins())
    assert abs(found[0].margin - found[1].margin).max() < 1e-3


def test_members_of_an_ensemble_are_averaged() -> None:
    model = tabm((4,), CLASSES, members=3, hidden=8)
    _, found = train(model=model)
    assert found.margins().epochs.tolist() == [3] * ROWS


def test_epochs_count_until_the_validation_loss_rises() -> None:
    data = rows()
    batches = Batches(data, 8, seed=1, shuffle=True)
    margins = LabelMargins(data.targets, batches.row_numbers_of)
    wrong = Batches(MemoryRows(data.inputs, (data.targets + 1) % CLASSES), 50)
    config = TrainConfig(epochs=8, device="cpu")
    trainer = Trainer(
        network(), classification(), partial(optimizer, "adamw", lr=0.1), config, callbacks=[margins]
    )
    trainer.fit(batches, {"val": wrong})
    assert margins.epochs.tolist() == [8] * ROWS
    assert margins.margins().epochs.max() < 8


def test_state_holds_all_sums() -> None:
    _, found = train()
    again = LabelMargins(rows().targets, lambda epoch: [])
    again.load_state_dict(found.state_dict())
    for one, other in zip(vars(found.margins()).values(), vars(again.margins()).values(), strict=True):
        assert one.tolist() == other.tolist()
    fewer = LabelMargins(rows().targets[:10], lambda epoch: [])
    fewer.load_state_dict(found.state_dict())
    assert not fewer.kept
