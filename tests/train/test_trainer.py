"""The training loop: equal to a hand-written one, phase by phase, and stops on request."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pellucid.errors import TrainingError, UnknownNameError, UsageError
from pellucid.tasks.classification.objective import classification
from pellucid.tasks.regression.objective import regression
from pellucid.train.callbacks import Callback, EarlyStopping, NonFiniteGuard
from pellucid.train.objective import Objective, Phase
from pellucid.train.optimizers import optimizer
from pellucid.train.schedules import cosine
from pellucid.train.trainer import Trainer
from tests.train.conftest import network, trainer


def by_hand(batches, epochs, model, *, lr=0.01, accumulate=1, clip=None):
    """The loop of every tutorial."""
    made = optimizer("adamw", list(model.parameters()), lr=lr)
    for epoch in range(epochs):
        model.train()
        todo = list(batches.epoch(epoch))
        for first in range(0, len(todo), accumulate):
            group = todo[first : first + accumulate]
            made.zero_grad()
            for inputs, targets in group:
                (F.cross_entropy(model(inputs), targets) / len(group)).backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            made.step()
    return model


def same(a, b):
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ({}, {}),
        ({"gradient_accumulation_steps": 3}, {"accumulate": 3}),
        ({"clip_grad_norm": 0.1}, {"clip": 0.1}),
    ],
)
def test_trainer_equals_a_hand_written_loop(batches, config, options):
    mine = trainer(network(0, dropout=0), **config)
    mine.fit(batches)
    assert same(mine.model, by_hand(batches, 3, network(0, dropout=0), **options))


def test_training_reduces_the_loss_and_records_metrics(batches, held_out):
    mine = trainer(epochs=12)
    mine.fit(batches, {"val": held_out})
    assert mine.measures["val/accuracy"] > 0.85
    assert set(mine.measures) == {"train/loss", "val/loss", "val/accuracy"}
    assert mine.epoch == 12
    assert mine.step == 12 * len(batches)


def test_measured_loss_covers_the_whole_split(batches, held_out):
    mine = trainer(epochs=1)
    mine.fit(batches, {"val": held_out})
    mine.model.eval()
    with torch.no_grad():
        logits = mine.model(held_out.rows.inputs)
    assert mine.measures["val/loss"] == pytest.approx(
        F.cross_entropy(logits, held_out.rows.targets).item(), rel=1e-5
    )
    right = (logits.argmax(1) == held_out.rows.targets).float().mean().item()
    assert mine.measures["val/accuracy"] == pytest.approx(right)


def test_any_iterable_of_batches_is_accepted(digits):
    inputs, targets = digits
    plain = [(inputs[:32], targets[:32]), (inputs[32:64], targets[32:64])]
    mine = trainer(epochs=2)
    mine.fit(plain)
    assert mine.step == 4


def test_max_steps_stops_within_an_epoch_and_still_evaluates(batches, held_out):
    mine = trainer(max_steps=5)
    mine.fit(batches, {"val": held_out})
    assert mine.step == 5
    assert "val/loss" in mine.measures
    assert "max_steps" in mine.stop_reason


def test_the_schedule_sets_the_learning_rate_of_every_step(batches):
    seen = []

    class Watch(Callback):
        def on_losses(self, trainer, rows):
            seen.extend(lr for _, _, lr in rows)

    total = 3 * len(batches)
    mine = trainer(schedule=cosine(total), callbacks=[Watch()], lr=0.01)
    mine.fit(batches)
    assert seen == [pytest.approx(0.01 * cosine(total)(step)) for step in range(total)]


# ---- phases --------------------------------------------------------------------------------------


class Pair(nn.Module):
    """A generator and a discriminator of one weight each."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.first.weight, 1.0)
        nn.init.constant_(self.second.weight, 1.0)


def nothing(model, batch):
    return {"loss": (torch.zeros(()), 1)}


def test_phases_alternate_with_their_own_optimizers_and_parameters():
    seen = []

    def play(name, module):
        def loss(model, batch):
            seen.append((name, model.first.weight.requires_grad, model.second.weight.requires_grad))
            return (model.first.weight * model.second.weight).sum()

        return Phase(name, loss, lambda model: getattr(model, module).parameters())

    objective = Objective("game", (play("a", "first"), play("b", "second")), nothing)
    model = Pair()
    sgd = {"a": lambda p: torch.optim.SGD(p, lr=0.1), "b": lambda p: torch.optim.SGD(p, lr=0.5)}
    mine = Trainer(model, objective, sgd, trainer().config.model_copy(update={"epochs": 1}))
    mine.fit([torch.zeros(1)])
    assert seen == [("a", True, False), ("b", False, True)]
    # a: 1 - 0.1 * 1 = 0.9; then b sees it: 1 - 0.5 * 0.9 = 0.55
    assert model.first.weight.item() == pytest.approx(0.9)
    assert model.second.weight.item() == pytest.approx(0.55)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_phases_can_repeat_or_be_skipped():
    counts = {"critic": 0, "generator": 0}

    def phase(name, module, **when):
        def loss(model, batch):
            counts[name] += 1
            return getattr(model, module).weight.sum()

        return Phase(name, loss, lambda model: getattr(model, module).parameters(), **when)

    phases = (phase("critic", "first", repeat=5), phase("generator", "second", every=2))
    mine = Trainer(
        Pair(),
        Objective("gan", phases, nothing),
        lambda p: torch.optim.SGD(p, lr=0.1),
        trainer(epochs=1).config,
    )
    mine.fit([torch.zeros(1)] * 4)
    assert counts == {"critic": 20, "generator": 2}
    assert mine.step == 4


# ---- stopping ------------------------------------------------------------------------------------


def test_a_callback_can_stop_training_with_a_reason(batches):
    class Enough(Callback):
        def on_step_end(self, trainer):
            if trainer.step == 4:
                trainer.stop("enough")

    mine = trainer(callbacks=[Enough()])
    mine.fit(batches)
    assert (mine.step, mine.stop_reason) == (4, "enough")


def test_early_stopping_waits_for_its_patience(batches, held_out):
    mine = trainer(
        nn.Linear(64, 10), epochs=30, lr=1e-12, callbacks=[EarlyStopping("val/accuracy", "max", patience=3)]
    )
    mine.fit(batches, {"val": held_out})
    assert mine.epoch == 4  # the first is the best there will be
    assert "has not improved for 3 epochs" in mine.stop_reason


def test_a_monitored_metric_that_is_not_measured_is_named(batches):
    with pytest.raises(UnknownNameError, match="val/loss"):
        trainer(callbacks=[EarlyStopping("val/loss", "min", 3)]).fit(batches)


@pytest.mark.parametrize("culprit", ["inputs", "module", "loss"])
def test_a_nan_loss_is_caught_before_the_weights_change(digits, culprit):
    class Explode(nn.Module):
        def forward(self, x):
            return x / 0

    inputs, targets = digits[0][:64].clone(), digits[1][:64]
    model, objective = network(0, 0), classification()
    if culprit == "inputs":
        inputs[3, 5] = float("nan")
    elif culprit == "module":
        model = nn.Sequential(nn.Linear(64, 10), Explode(), nn.Linear(10, 10))
    else:
        phase = Phase("train", lambda model, batch: model(batch[0]).sum() * float("inf"))
        objective = Objective("broken", (phase,), nothing)
    mine = trainer(model, objective=objective, callbacks=[NonFiniteGuard()])
    before = {
        name: tensor.clone()
        for name, tensor in model.state_dict().items()
        if "running" not in name and "num" not in name
    }
    with pytest.raises(TrainingError) as caught:
        mine.fit([(inputs, targets)])
    words = {
        "inputs": "1 values of the batch's inputs",
        "module": "1 (Explode)",
        "loss": "the loss function itself",
    }
    assert words[culprit] in str(caught.value)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())


# ---- what is asked for and not there ----------------------------------------------------------------


def test_an_unavailable_device_is_refused():
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(UsageError, match="cuda"):
        trainer(device="cuda")


def test_regression_never_broadcasts_one_column_against_a_row():
    model = nn.Linear(4, 1)
    inputs, targets = torch.randn(8, 4), torch.randn(8)
    loss = regression().phases[0].loss(model, (inputs, targets))
    assert loss.item() == pytest.approx(F.mse_loss(model(inputs)[:, 0], targets).item())


def test_penalties_equal_their_formula():
    model = nn.Linear(4, 3)
    batch = (torch.randn(8, 4), torch.randint(0, 3, (8,)))
    plain = classification().phases[0].loss(model, batch)
    penalized = classification(l1=0.1, l2=0.2).phases[0].loss(model, batch)
    expected = 0.1 * model.weight.abs().sum() + 0.1 * model.weight.square().sum()
    assert (penalized - plain).item() == pytest.approx(expected.item(), rel=1e-4)
