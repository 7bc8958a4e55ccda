"""A compiled update equals its separate parts."""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.batch import signature
from pellucid.config import TrainConfig
from pellucid.errors import ModelError, TrainingError
from pellucid.tasks.classification.objective import classification
from pellucid.train.adamw import FusedAdamW
from pellucid.train.callbacks import Callback, NonFiniteGuard
from pellucid.train.compiled import Programs
from pellucid.train.objective import Objective, Phase
from pellucid.train.optimizers import optimizer
from pellucid.train.trainer import Trainer
from tests.train.conftest import compiles

pytestmark = compiles

BATCH = (torch.rand(8, 6, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))


def cross_entropy(model: nn.Module, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def adamw(model: nn.Module, lr: float = 0.05) -> FusedAdamW:
    groups = [
        {"params": [p for p in model.parameters() if p.ndim == 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    return FusedAdamW(groups, lr=lr, fused=True)


def programs(model: nn.Module, loss: Any = cross_entropy, clip: float | None = None) -> Programs:
    return Programs(model, loss, list(model.parameters()), clip)


@pytest.mark.parametrize("clip", [None, 0.1])
def test_compiled_update_equals_its_separate_parts(clip: float | None) -> None:
    usual, whole = network(), network()
    first, second = adamw(usual), adamw(whole)
    made = programs(whole, clip=clip)
    for step in range(4):
        for one in (first, second):
            for group in one.param_groups:
                group["lr"] = 0.05 / (step + 1)
        first.zero_grad()
        loss = cross_entropy(usual, BATCH)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(usual.parameters(), clip)
        first.step()
        found = made.update(BATCH, second)
        assert found is not None
        torch.testing.assert_close(found, loss.detach(), rtol=1e-5, atol=1e-6)
    for key, value in usual.state_dict().items():  # the means of batch norm are among them
        torch.testing.assert_close(whole.state_dict()[key], value, rtol=1e-4, atol=1e-5)
    assert {int(state["step"]) for state in second.state_dict()["state"].values()} == {4}


def test_other_optimizers_take_their_own_step() -> None:
    model = network()
    assert programs(model).update(BATCH, torch.optim.SGD(model.parameters(), 0.1)) is None
    model.add_module("unused", nn.Linear(2, 2))
    before = copy.deepcopy(model.state_dict())
    loss = programs(model, lambda model, batch: cross_entropy(model[:4], batch)).update(BATCH, adamw(model))
    assert loss is None
    weights = {key: value for key, value in model.state_dict().items() if "weight" in key}
    assert all(torch.equal(before[key], value) for key, value in weights.items())


def test_dropout_differs_between_steps_and_follows_the_seed() -> None:
    def losses() -> list[float]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 64), nn.Dropout(0.5), nn.Linear(64, 3))
        made, learns = programs(model), adamw(model, lr=0.0)
        torch.manual_seed(1)
        return [found.item() for _ in range(3) if (found := made.update(BATCH, learns)) is not None]

    first = losses()
    assert len(set(first)) == 3
    assert losses() == first


def test_compiling_draws_no_random_numbers() -> None:
    model = nn.Sequential(nn.Linear(6, 64), nn.Dropout(0.5), nn.Linear(64, 3))
    made, state = programs(model), torch.get_rng_state()
    made.backward(BATCH, 1)
    after = torch.get_rng_state()
    torch.set_rng_state(state)
    made.backward(BATCH, 1)
    assert torch.equal(torch.get_rng_state(), after)


class Counts(nn.Linear):
    """Keeps state in a Python attribute, which a compiled program cannot see."""

    seen = 0

    def forward(self, input: Tensor) -> Tensor:
        self.seen += 1
        return super().forward(input) / self.seen


class Remembers(nn.Linear):
    """Depends on the batch of the previous step."""

    last: Tensor | None = None

    def forward(self, input: Tensor) -> Tensor:
        made = super().forward(input if self.last is None else input + self.last)
        self.last = input.mean()
        return made


class Replaces(nn.Linear):
    def __init__(self, *sizes: int):
        super().__init__(*sizes)
        self.register_buffer("largest", torch.zeros(()))

    def forward(self, input: Tensor) -> Tensor:
        self.largest = torch.maximum(self.largest, input.max())
        return super().forward(input) / self.largest


@pytest.mark.parametrize("kind", [Counts, Remembers, Replaces])
def test_a_model_that_changes_anything_but_tensors_is_refused(kind: type[nn.Linear]) -> None:
    with pytest.raises(ModelError, match="a step changes"):
        programs(kind(6, 3)).backward(BATCH, 1)


# ---- in a training -----------------------------------------------------------------------------


def trainer(execution: str, *callbacks: Callback, **config: Any) -> Trainer:
    plan = TrainConfig(epochs=3, device="cpu", execution=execution, **config)
    make = partial(optimizer, "adamw", lr=0.02)
    return Trainer(network(), classification(), make, plan, callbacks=callbacks)


def batches(count: int = 4) -> list[tuple[Tensor, Tensor]]:
    """The last is shorter."""
    random = torch.Generator().manual_seed(1)
    sizes = [8] * (count - 1) + [5]
    return [(torch.rand(size, 6, generator=random), torch.arange(size) % 3) for size in sizes]


class Gradients(Callback):
    """Reads gradients, which a compiled update does not expose."""

    def __init__(self) -> None:
        self.there: list[bool] = []

    def on_backward_end(self, trainer: Trainer) -> None:
        self.there.append(all(parameter.grad is not None for parameter in trainer.model.parameters()))


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2}, {"clip_grad_norm": 0.1}])
def test_compiled_training_equals_eager_training(options: dict[str, Any]) -> None:
    usual, whole = trainer("eager", **options), trainer("compiled", **options)
    for one in (usual, whole):
        one.fit(batches())
    assert whole.updates["train"].signature == signature(batches()[0])
    assert whole.measures["train/loss"] == pytest.approx(usual.measures["train/loss"], rel=1e-3)


def test_callbacks_can_read_gradients() -> None:
    reader = Gradients()
    trainer("compiled", reader).fit(batches())
    assert len(reader.there) == 12
    assert all(reader.there)


def test_a_loss_that_is_not_finite_leaves_the_weights_unchanged() -> None:
    given = batches()
    given[2][0][0, 0] = math.inf
    one = trainer("compiled", NonFiniteGuard())
    with pytest.raises(TrainingError, match="step 3"):
        one.fit(given)
    assert all(parameter.isfinite().all() for parameter in one.model.parameters())
    assert one.step == 2


def test_each_phase_updates_its_own_weights() -> None:
    phases = tuple(
        Phase(name, cross_entropy, lambda model, part=part: model[part].parameters())
        for name, part in (("first", 0), ("last", 3))
    )
    made = Objective("both", phases, lambda model, batch: {"loss": (cross_entropy(model, batch), 1)})
    ends = []
    for path in ("eager", "compiled"):
        plan = TrainConfig(epochs=2, device="cpu", execution=path)
        one = Trainer(network(), made, partial(optimizer, "adamw", lr=0.02), plan)
        one.fit(batches())
        ends.append(one.model.state_dict())
    for key, value in ends[0].items():
        torch.testing.assert_close(ends[1][key], value, rtol=1e-3, atol=1e-4)
