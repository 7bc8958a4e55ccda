"""Objects that users pass to `fit`: accepted, or refused with a remedy."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torchmetrics
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset

import pellucid
from pellucid.errors import ConfigError, DataNotFoundError, ModelError, PellucidError, ResumeError, UsageError
from pellucid.report.repeat import repeat
from pellucid.train.callbacks import Callback
from pellucid.train.metrics import as_metric
from pellucid.train.trainer import Trainer
from tests.test_front_door import Interrupts, arrays, network

torch.manual_seed(0)
X = torch.randn(160, 4)
Y = (X[:, 0] + X[:, 1] > 0).long()


def loader(inputs: Tensor = X, targets: Tensor = Y) -> DataLoader[Any]:
    return DataLoader(TensorDataset(inputs, targets), 32)


@pytest.fixture
def fit(tmp_path: Path) -> Any:
    def fitted(model: nn.Module, data: Any, **options: Any) -> pellucid.Run:
        options = {"epochs": 2, "execution": "eager", "progress": False, **options}
        return pellucid.fit(model, data, runs=tmp_path / "runs", **options)

    return fitted


class Rates(Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_step_end(self, trainer: Trainer) -> None:
        self.seen.append(trainer.optimizers["train"].param_groups[0]["lr"])


# ---- losses ----------------------------------------------------------------------------------------


def test_a_loss_on_batches_is_measured_on_held_out_batches(fit: Any) -> None:
    targets = Y[:, None].float()
    loss = nn.BCEWithLogitsLoss()
    model = network(1)
    run = fit(model, loader(X, targets), validation=loader(X, targets), loss=loss, epochs=10, lr=0.05)
    model.eval()
    with torch.no_grad():
        assert run.store.series("val/loss")[-1][1] == pytest.approx(loss(model(X), targets).item(), rel=1e-3)
    assert run.facts["best"]["epoch"] > 1


def test_a_loss_receives_everything_the_model_returned(fit: Any) -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main, self.side = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": self.main(x), "side": self.side(x)}

    def both(outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs["logits"], targets) + F.cross_entropy(outputs["side"], targets)

    for data in (arrays(), loader()):
        model = TwoHeads()
        before = model.side.weight.clone()
        run = fit(model, data, loss=both)
        assert not torch.equal(model.side.weight, before)
        assert run.metrics["train/loss"] > 0.7  # the sum of two losses


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda o, t: {"loss": F.cross_entropy(o, t)}, "must return one number as a tensor, received dict"),
        (lambda o, t: F.cross_entropy(o, t, reduction="none"), r"received \(32,\)|received \("),
        (lambda o, t: F.cross_entropy(o, t).item(), "received float"),
        (lambda o, t: F.cross_entropy(o, t).detach(), "without a gradient"),
    ],
)
def test_a_loss_that_cannot_be_minimized_is_refused(fit: Any, loss: Any, message: str) -> None:
    with pytest.raises(PellucidError, match=message):
        fit(network(), arrays(), loss=loss)


def test_a_loss_with_weights_of_its_own_is_refused(fit: Any) -> None:
    class Centers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.centers = nn.Parameter(torch.zeros(2))

        def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return (outputs - self.centers).square().mean()

    with pytest.raises(ConfigError, match="no optimizer would move"):
        fit(network(), arrays(), loss=Centers())


def test_a_column_is_never_broadcast_against_a_row(fit: Any) -> None:
    amounts = X[:, 0] * 3
    run = fit(network(1), loader(X, amounts), loss=nn.MSELoss(), epochs=20, lr=0.05)
    assert run.metrics["train/loss"] < 1.0  # of the (B, B) differences it would stay at twice the variance


def test_ignored_targets_are_not_counted(fit: Any) -> None:
    some = Y.clone()
    some[::2] = -100
    found = [
        fit(network(), loader(X[1::2], Y[1::2]), validation=loader(*data), seed=1).metrics
        for data in ((X, some), (X[1::2], Y[1::2]))
    ]
    for name in ("val/loss", "val/accuracy"):
        assert found[0][name] == pytest.approx(found[1][name], rel=1e-5)


def test_weights_that_would_be_ignored_are_refused(fit: Any) -> None:
    with pytest.raises(ConfigError, match="not with batches of your own"):
        fit(network(), loader(), sample_weight=torch.ones(160))
    with pytest.raises(ConfigError, match="not with batches of your own"):
        fit(network(), loader(), class_weight=[1, 5])
    with pytest.raises(ConfigError, match="weights inside your loss"):
        fit(network(), arrays(), loss=nn.CrossEntropyLoss(), class_weight=[1, 5])


def test_a_loss_that_changes_is_not_compiled(fit: Any) -> None:
    class Grows:
        beta = 0.0

        def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return F.cross_entropy(outputs, targets) + self.beta * outputs.square().mean()

    weights = []
    for execution in ("eager", "compiled"):
        loss, model = Grows(), network()
        raise_beta = lambda trainer, loss=loss: setattr(loss, "beta", float(trainer.epoch))  # noqa: E731
        run = fit(model, arrays(), loss=loss, callbacks=[raise_beta], execution=execution, epochs=3)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(weights[0], weights[1])
    reasons = {choice["what"]: choice["reason"] for choice in run.facts["choices"]}
    assert "not compiled" in reasons["execution"]


# ---- metrics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metrics",
    [
        [lambda o, t: 1.0, lambda o, t: 2.0],
        {"loss": lambda o, t: 1.0},
        {"accuracy": lambda o, t: 1.0},
    ],
)
def test_no_metric_replaces_another(fit: Any, metrics: Any) -> None:
    with pytest.raises(ConfigError, match="one would replace the other"):
        fit(network(), arrays(), metrics=metrics)


def test_a_metric_that_is_not_a_number_is_named(fit: Any) -> None:
    with pytest.raises(ConfigError, match="'odd' must return a number"):
        fit(network(), arrays(), metrics={"odd": lambda o, t: None})


def test_an_undefined_metric_does_not_discard_a_run(fit: Any) -> None:
    run = fit(network(), arrays(), metrics={"odd": lambda o, t: float("nan")})
    assert run.status == "finished"
    assert run.report().is_file()


# ---- optimizers and schedules ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "options", "wanted"),
    [
        (partial(torch.optim.SGD, lr=0.5), {}, 0.5),
        (torch.optim.Adadelta, {}, 1.0),
        (torch.optim.Adadelta, {"lr": 0.1}, 0.1),
        (torch.optim.SGD, {}, 0.001),
    ],
)
def test_the_learning_rate_is_the_one_of_the_optimizer(
    fit: Any, optimizer: Any, options: Any, wanted: float
) -> None:
    rates = Rates()
    run = fit(network(), arrays(), optimizer=optimizer, callbacks=[rates], **options)
    assert rates.seen[0] == pytest.approx(wanted)
    assert f"lr: {wanted}" in run.config


def test_two_learning_rates_are_refused(fit: Any) -> None:
    model = network()
    with pytest.raises(UsageError, match=r"lr=0.5 and an optimizer with lr=0.1"):
        fit(model, arrays(), optimizer=torch.optim.SGD(model.parameters(), lr=0.1), lr=0.5)
    with pytest.raises(UsageError, match="LBFGS"):
        fit(model, arrays(), optimizer=torch.optim.LBFGS)


def test_a_function_may_call_its_optimizer_anything(fit: Any) -> None:
    rates = Rates()
    fit(network(), arrays(), schedule=lambda o: lr_scheduler.StepLR(o, 1, 0.1), lr=0.1, callbacks=[rates])
    assert (rates.seen[0], rates.seen[-1]) == pytest.approx((0.1, 0.01))


def test_a_scheduler_restarts_in_a_second_run(fit: Any) -> None:
    model, firsts = network(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = lr_scheduler.StepLR(optimizer, 1, 0.5)
    for _ in range(2):
        rates = Rates()
        fit(model, arrays(), optimizer=optimizer, schedule=schedule, callbacks=[rates])
        firsts.append((rates.seen[0], rates.seen[-1]))
    assert firsts == [pytest.approx((0.1, 0.05))] * 2


def test_a_schedule_that_is_too_short_is_refused(fit: Any) -> None:
    with pytest.raises(ConfigError, match="was made for 3 updates"):
        fit(network(), arrays(), schedule=lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=3))


# ---- before anything is written --------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{"optimizer.name": "adamv"}, {"schedule.name": "cosin"}, {"train.execution": "eagre"}],
    ids=lambda settings: next(iter(settings)),
)
def test_a_name_that_is_mistyped_leaves_no_run(fit: Any, tmp_path: Path, settings: Any) -> None:
    with pytest.raises(PellucidError, match="Did you mean"):
        pellucid.fit(network(), arrays(), runs=tmp_path / "runs", settings=settings, progress=False)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("objective", [pellucid, 3, print])
def test_objects_that_are_not_objectives_are_refused(fit: Any, objective: Any) -> None:
    with pytest.raises(UsageError, match="objective="):
        fit(network(), arrays(), objective=objective)
    with pytest.raises(UsageError, match="task of datasets"):
        fit(network(), loader(), objective="classification")


def test_a_model_without_weights_is_refused(fit: Any) -> None:
    with pytest.raises(ModelError, match="no parameters that can be learned"):
        fit(nn.Flatten(), loader())


def test_an_objective_without_measures_measures_its_loss(fit: Any) -> None:
    phase = pellucid.Phase("train", lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]))
    run = fit(network(), loader(), validation=loader(), objective=pellucid.Objective("mine", (phase,)))
    assert run.metrics["val/loss"] > 0


# ---- resume ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"optimizer": torch.optim.Adam}, "optimizer"),
        ({"loss": F.nll_loss}, "loss"),
        ({"model": nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 2))}, "ReLU"),
    ],
    ids=["optimizer", "loss", "model"],
)
def test_changed_pieces_are_noticed_on_resume(fit: Any, changed: Any, message: str) -> None:
    plan = {"optimizer": torch.optim.SGD, "loss": F.cross_entropy, "lr": 0.1}
    stopped = fit(network(), loader(), callbacks=[Interrupts(3)], **plan)
    model = changed.pop("model", network())
    with pytest.raises(ResumeError, match=message):
        fit(model, loader(), callbacks=[Interrupts(None)], resume=stopped.id, **{**plan, **changed})


def test_metrics_named_in_the_config_are_measured_again(fit: Any) -> None:
    settings = {"objective.metrics": ["tests.test_front_door:share_of_ones"]}
    run = fit(network(), arrays(), settings=settings)
    again = run.evaluate("test").metrics
    assert again["share_of_ones"] == pytest.approx(run.metrics["test/share_of_ones"])


class Plain(nn.Sequential):
    def __init__(self, hidden: int = 8):
        super().__init__(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, 2))


def own_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": Plain(9)}, r"layer 0 \(Linear, 40 parameters\) is 0 \(Linear, 45 parameters\)"),
        ({"data": loader(X + 1)}, "train split was"),
        ({"data": loader(X[:64], Y[:64])}, "train split was"),
        ({"validation": None}, "validation split was .*is None"),
        ({"test": loader()}, "test split was None"),
        ({"epochs": 1}, "train.epochs was 2, is 1"),
        ({"loss": lambda o, t: own_loss(o, t)}, "loss= was None, is"),
        ({"schedule": lambda step: 0.5}, "schedule= was None"),
        ({"metrics": {"one": lambda o, t: 1.0}}, "metrics= was None"),
    ],
)
def test_a_finished_run_is_only_resumed_as_it_was(fit: Any, changed: Any, message: str) -> None:
    plan = {"data": loader(), "validation": loader()}
    run = fit(Plain(), **plan)
    with pytest.raises(ResumeError, match=message):
        fit(changed.pop("model", Plain()), resume=run.id, **{**plan, **changed})
    with pytest.warns(UserWarning, match=f"Run {run.id} is already finished.*nothing was trained"):
        assert fit(Plain(), resume=run.id, **plan).metrics == run.metrics


def test_other_weights_of_rows_are_noticed_on_resume(fit: Any) -> None:
    weights = torch.linspace(0.1, 1, 160)
    run = fit(Plain(), arrays(), sample_weight=weights)
    for other in (weights.flip(0), None):
        with pytest.raises(ResumeError, match="train split was"):
            fit(Plain(), arrays(), sample_weight=other, resume=run.id)


# ---- metrics are tried before a run folder exists ----------------------------------------------------


def unequal(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).abs()  # (B, 2) and (B,)


@pytest.mark.parametrize("batches", [False, True])
def test_a_metric_that_fails_is_named_before_anything_is_written(tmp_path, batches):
    moons = pellucid.toy.moons(200)
    data: Any = moons
    if batches:
        data = [(torch.rand(8, 2), torch.arange(8) % 2) for _ in range(4)]
    more = {"validation": data, "loss": nn.functional.cross_entropy} if batches else {}
    with pytest.raises(ConfigError, match="The metric 'unequal' fails on outputs "):
        pellucid.fit(
            nn.Linear(2, 2), data, metrics=[unequal], epochs=1, progress=False, runs=tmp_path / "runs", **more
        )
    assert not (tmp_path / "runs").exists()


def test_a_binary_metric_of_torchmetrics_reads_the_second_of_two_classes():
    logits, targets = torch.randn(64, 2, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 2
    metric = as_metric(torchmetrics.AUROC(task="binary"))
    metric.update(logits, (logits, targets))
    expected = roc_auc_score(targets, logits.softmax(1)[:, 1])
    assert metric.compute()["binary_auroc"] == pytest.approx(expected)


def test_a_dataset_made_in_python_is_asked_for_when_its_run_is_opened_again(tmp_path):
    moons = pellucid.toy.moons(200)
    run = pellucid.fit("mlp", moons, epochs=1, progress=False, runs=tmp_path)
    with pytest.raises(DataNotFoundError, match=r"made in Python, by pellucid\.toy\.moons"):
        pellucid.Run(run.path).evaluate("test")
    assert "accuracy" in pellucid.Run(run.path, dataset=moons).evaluate("test").metrics
    assert repeat(run).passed == ("data: pellucid.toy.moons",)
    assert not repeat(run).shell
