"""What users have goes into `fit`: losses, metrics, callbacks, optimizers, schedules, loaders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, TensorDataset

import pellucid
from pellucid.errors import BadDataError, ConfigError, DataError, ModelError, UnknownNameError, UsageError
from pellucid.train.callbacks import Callback
from pellucid.train.checkpoint import find_weights
from pellucid.train.trainer import Trainer

generator = np.random.default_rng(0)
X = generator.normal(size=(160, 4)).astype(np.float32)
Y = (X[:, 0] + 0.3 * X[:, 1] > 0).astype(np.int64)
TENSORS = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))


def network(outputs: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, outputs))


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., pellucid.Run]:
    def fitted(model: nn.Module, data: Any, **options: Any) -> pellucid.Run:
        options = {"epochs": 2, "lr": 0.01, "execution": "eager", "progress": False, **options}
        return pellucid.fit(model, data, runs=tmp_path / "runs", **options)

    return fitted


def arrays() -> pellucid.Dataset:
    return pellucid.arrays(X, Y)


def page_of(run: pellucid.Run) -> str:
    return run.report().read_text(encoding="utf-8")


# ---- losses, metrics, objectives -------------------------------------------------------------------


def half_squared(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss that no catalogue holds."""
    return 0.5 * (outputs.softmax(1) - F.one_hot(targets, 2)).square().sum(1).mean()


@pytest.mark.parametrize(
    "loss", [half_squared, nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss, "focal"]
)
def test_a_loss_is_a_function_a_module_a_class_or_a_name(fit: Any, loss: Any) -> None:
    run = fit(network(), arrays(), loss=loss, epochs=3)
    assert run.status == "finished"
    assert run.metrics["test/loss"] < np.log(2) + 0.1  # what is measured stays cross-entropy
    assert "loss" in page_of(run)


def test_a_loss_that_can_be_imported_is_named_in_the_config(fit: Any) -> None:
    run = fit(network(), arrays(), loss=F.cross_entropy)
    assert "loss: torch.nn.functional:cross_entropy" in run.config
    assert fit(network(), arrays(), settings={"objective.loss": "torch.nn.functional:cross_entropy"}).metrics
    assert run.facts["supplied"]["loss"] == "torch.nn.functional.cross_entropy"


def test_a_name_that_cannot_be_imported_is_refused_before_anything_is_written(
    fit: Any, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"objective\.loss is 'nowhere:loss'"):
        fit(network(), arrays(), settings={"objective.loss": "nowhere:loss"})
    assert not (tmp_path / "runs").exists()


def share_of_ones(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(1) == 1).float().mean()


def test_metrics_are_functions_torchmetrics_and_classes(fit: Any) -> None:
    class Rows:
        """Counts rows, by the protocol."""

        def reset(self) -> None:
            self.count = 0

        def update(self, outputs: Tensor, batch: Any) -> None:
            self.count += len(outputs)

        def compute(self) -> dict[str, float]:
            return {"rows_seen": float(self.count)}

    f1 = torchmetrics.F1Score(task="multiclass", num_classes=2, average="macro")
    run = fit(network(), arrays(), metrics=[share_of_ones, f1, Rows()])
    test = run.facts["dataset"]["splits"]["test"]["rows"]
    assert run.metrics["test/rows_seen"] == test
    assert run.metrics["test/multiclass_f1_score"] == pytest.approx(run.metrics["test/f1"], abs=1e-6)
    assert 0 <= run.metrics["test/share_of_ones"] <= 1
    assert len(run.store.series("val/share_of_ones")) == 2
    assert fit(network(), arrays(), metrics={"ones": share_of_ones}).metrics["test/ones"] >= 0


@pytest.mark.parametrize("wrong", [["f2"], [torchmetrics.AUROC], 3])
def test_objects_that_are_not_metrics_are_refused(fit: Any, wrong: Any) -> None:
    with pytest.raises(ConfigError, match="metrics="):
        fit(network(), arrays(), metrics=wrong)


def test_a_users_objective_gets_a_run_folder_and_a_report(fit: Any) -> None:
    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1])

    def measure(model: nn.Module, batch: Any) -> dict[str, tuple[Tensor, float]]:
        logits = model(batch[0])
        return {
            "loss": (F.cross_entropy(logits, batch[1], reduction="sum"), len(logits)),
            "right": ((logits.argmax(1) == batch[1]).sum(), len(logits)),
        }

    two = tuple(pellucid.Phase(name, loss) for name in ("first", "second"))
    run = fit(network(), arrays(), objective=pellucid.Objective("mine", two, measure))
    assert run.task == "custom"
    assert run.metrics["test/right"] > 0
    assert run.store.series("train/second_loss")
    assert "Results" in page_of(run) or run.facts["spec"]["name"] == "custom"
    with pytest.raises(ConfigError, match=r"has 2: first, second"):
        fit(network(), arrays(), objective=pellucid.Objective("mine", two, measure), loss=half_squared)


# ---- optimizers, schedules, callbacks, weights -----------------------------------------------------


@pytest.mark.parametrize(
    "optimizer",
    ["sgd", torch.optim.SGD, lambda parameters: torch.optim.RMSprop(parameters, lr=0.1)],
    ids=["name", "class", "factory"],
)
def test_an_optimizer_is_a_name_a_class_or_a_factory(fit: Any, optimizer: Any) -> None:
    model = network()
    before = [parameter.clone() for parameter in model.parameters()]
    assert fit(model, arrays(), optimizer=optimizer, lr=0.1).status == "finished"
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_an_optimizer_instance_keeps_its_moments_in_a_second_run(fit: Any) -> None:
    model = network()
    mine = torch.optim.Adam(model.parameters(), lr=0.01)
    fit(model, arrays(), optimizer=mine)
    steps = next(iter(mine.state.values()))["step"].item()
    fit(model, arrays(), optimizer=mine)
    assert next(iter(mine.state.values()))["step"].item() == 2 * steps
    with pytest.raises(UsageError, match="do not belong to the model"):
        fit(network(), arrays(), optimizer=mine)


def halved(step: int) -> float:
    return 0.5


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        (halved, [0.05, 0.05, 0.05]),
        (lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1), [0.1, 0.01, 0.001]),
        (torch.optim.lr_scheduler.ConstantLR, [0.1 / 3, 0.1 / 3, 0.1 / 3]),
    ],
    ids=["function", "factory", "class"],
)
def test_a_schedule_is_a_function_or_a_scheduler_of_pytorch(fit: Any, schedule: Any, wanted: Any) -> None:
    seen: list[float] = []
    fit(
        network(),
        arrays(),
        optimizer=torch.optim.SGD,
        lr=0.1,
        schedule=schedule,
        epochs=3,
        callbacks=[lambda trainer: seen.append(trainer.optimizers["train"].param_groups[0]["lr"])],
    )
    assert seen == pytest.approx(wanted)


def test_one_cycle_is_stepped_after_every_update(fit: Any) -> None:
    class Rates(Callback):
        def __init__(self) -> None:
            self.seen: list[float] = []

        def on_step_end(self, trainer: Trainer) -> None:
            self.seen.append(trainer.optimizers["train"].param_groups[0]["lr"])

    rates, model = Rates(), network()
    fit(
        model,
        arrays(),
        optimizer=torch.optim.SGD,
        schedule=torch.optim.lr_scheduler.OneCycleLR,
        callbacks=[rates],
    )
    stand_in = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.01)
    theirs = torch.optim.lr_scheduler.OneCycleLR(stand_in, max_lr=0.01, total_steps=len(rates.seen))
    wanted = []
    for _ in rates.seen:
        wanted.append(theirs.get_last_lr()[0])
        stand_in.step()
        if len(wanted) < len(rates.seen):
            theirs.step()
    assert rates.seen == pytest.approx(wanted)


def test_callbacks_see_the_trainer_and_may_stop_it(fit: Any) -> None:
    class Stops(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            trainer.stop("enough")

    epochs: list[int] = []
    run = fit(
        network(), arrays(), callbacks=[lambda trainer: epochs.append(trainer.epoch), Stops()], epochs=9
    )
    assert epochs == [1]
    assert run.facts["stop_reason"] == "enough"
    with pytest.raises(UsageError, match="callbacks="):
        fit(network(), arrays(), callbacks=["early"])


def test_rows_with_zero_weight_do_not_affect_training(fit: Any) -> None:
    """Half of the rows have wrong labels and no weight: what is learned is the other half."""
    wrong = np.arange(len(X)) % 2 == 1
    labels = np.where(wrong, 1 - Y, Y)
    scores = {}
    for name, weights in {"weighed": np.where(wrong, 0.0, 1.0), "alike": np.ones(len(X))}.items():
        plan = {"epochs": 40, "lr": 0.05, "settings": {"train.restore_best": False}}
        run = fit(network(), pellucid.arrays(X, labels), sample_weight=weights, **plan)
        scores[name] = (np.array(run.predict(X).labels) == Y).mean()
    assert scores["weighed"] > 0.9
    assert scores["alike"] < 0.8
    with pytest.raises(BadDataError, match=r"sample_weight has 3 values: expected one for each of 160 rows"):
        fit(network(), arrays(), sample_weight=[1, 2, 3])


def test_a_column_may_hold_the_weights(fit: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    lines = [
        f"{x[0]:.3f},{x[1]:.3f},{1 + i % 3},{'ab'[y]}" for i, (x, y) in enumerate(zip(X, Y, strict=True))
    ]
    path.write_text("\n".join(["one,two,weight,label", *lines]), encoding="utf-8")
    run = fit("mlp", str(path), sample_weight="weight")
    assert [column["name"] for column in run.facts["dataset"]["inputs"]] == ["one", "two"]
    assert "sample_weight: weight" in run.config
    with pytest.raises(UnknownNameError, match="weihgt"):
        fit("mlp", str(path), sample_weight="weihgt")


def test_the_task_follows_from_the_target_of_a_file(fit: Any, tmp_path: Path) -> None:
    path = tmp_path / "amounts.csv"
    lines = [f"{x[0]:.3f},{x[1]:.3f},{x[0] + 0.01 * i:.4f}" for i, x in enumerate(X)]
    path.write_text("\n".join(["one,two,price", *lines]), encoding="utf-8")
    assert fit("mlp", str(path)).task == "regression"
    with pytest.raises(ConfigError, match="regression"):
        fit("mlp", str(path), objective="classification")


def test_class_weights_by_name_and_by_frequency(fit: Any) -> None:
    plan = {"epochs": 10, "settings": {"train.restore_best": False}}
    shares = [
        np.mean([label == 1 for label in fit(network(), arrays(), class_weight=w, **plan).predict(X).labels])
        for w in ({0: 50, 1: 1}, None, {0: 1, 1: 50})
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.25
    assert shares[2] > 0.75
    assert fit(network(), arrays(), class_weight="balanced").status == "finished"
    with pytest.raises(UnknownNameError, match="'2'"):
        fit(network(), arrays(), class_weight={2: 1})
    with pytest.raises(ConfigError, match="has 3 values: expected one for each of 2 classes"):
        fit(network(), arrays(), class_weight=[1, 2, 3])


def test_a_second_run_continues_from_the_weights_of_the_first(fit: Any) -> None:
    model = network()
    first = fit(model, arrays(), epochs=5)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    started: list[dict[str, Tensor]] = []

    class Start(Callback):
        def on_train_start(self, trainer: Trainer) -> None:
            started.append({name: tensor.clone() for name, tensor in trainer.model.state_dict().items()})

    second = fit(model, arrays(), epochs=5, callbacks=[Start()])
    assert all(torch.equal(weights[name], tensor) for name, tensor in started[0].items())
    assert second.store.series("val/loss")[0][1] < first.store.series("val/loss")[0][1]


# ---- batches of any kind ---------------------------------------------------------------------------


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield from (TENSORS[row] for row in range(96))


def drawn(epoch: int) -> Iterator[Any]:
    for _ in range(3):
        rows = torch.randint(0, len(X), (16,))
        yield TENSORS.tensors[0][rows], TENSORS.tensors[1][rows]


SOURCES: dict[str, Callable[[], Any]] = {
    "pair": lambda: (X, Y),
    "dataset": lambda: TENSORS,
    "loader": lambda: DataLoader(TENSORS, 32, shuffle=True),
    "iterable dataset": Stream,
    "list": lambda: list(DataLoader(TENSORS, 32)),
    "function": lambda: drawn,
    "dicts": lambda: [{"input": x, "labels": y} for x, y in DataLoader(TENSORS, 32)],
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_of_batches_trains_with_a_run_folder_and_a_report(fit: Any, kind: str) -> None:
    held_out = None if kind == "pair" else DataLoader(TENSORS, 64)
    run = fit(network(), SOURCES[kind](), validation=held_out, test=held_out, epochs=4)
    assert run.status == "finished"
    assert run.metrics["test/accuracy"] > 0.4
    assert len(run.store.series("val/loss")) == 4
    assert run.name in page_of(run)
    again = pellucid.Run(run.path)
    assert len(again.predict(X[:3], model=network()).rows()) == 3


def test_without_a_held_out_split_the_training_loss_is_monitored(fit: Any) -> None:
    run = fit(network(), list(DataLoader(TENSORS, 32)))
    assert run.facts["best"]["metric"] == "train/loss"
    assert run.metrics.keys() == {"train/loss"}
    assert "hold" in page_of(run)


@pytest.mark.parametrize(
    ("source", "error"),
    [(iter([1]), DataError), (3, UsageError), (np.zeros(3), UsageError), ({"a": 1}, UsageError)],
)
def test_objects_that_yield_no_batches_are_refused(
    fit: Any, source: Any, error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error, match="Try: "):
        fit(network(), source)
    assert not (tmp_path / "runs").exists()


def test_a_batch_that_does_not_fit_is_described(fit: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"float32 \(32, 4\), int64 \(32,\)"):
        fit(nn.Linear(5, 2), DataLoader(TENSORS, 32))
    with pytest.raises(ConfigError, match="a loader does not determine"):
        fit("mlp", DataLoader(TENSORS, 32))
    assert not (tmp_path / "runs").exists()


class Two(nn.Module):
    """Takes two inputs, and returns a tensor, a tuple or a dict."""

    def __init__(self, returns: str = "tensor"):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.returns = nn.Linear(4, 2), returns

    def forward(self, left: Tensor, right: Tensor) -> Any:
        logits = self.layer(torch.cat([left, right], 1))
        return {"tensor": logits, "tuple": (logits, left), "dict": {"hidden": left, "logits": logits}}[
            self.returns
        ]


@pytest.mark.parametrize("execution", ["eager", "bf16", "channels_last", "compiled"])
@pytest.mark.parametrize("returns", ["tensor", "tuple", "dict"])
def test_named_and_several_inputs_and_outputs_train_in_every_mode(
    fit: Any, returns: str, execution: str
) -> None:
    named = [{"left": x[:, :2], "right": x[:, 2:], "label": y} for x, y in DataLoader(TENSORS, 32)]
    placed = [(x[:, :2], x[:, 2:], y) for x, y in DataLoader(TENSORS, 32)]
    found = [
        fit(Two(returns), batches, validation=batches, execution=execution, seed=1).metrics["val/loss"]
        for batches in (named, placed)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[0] == pytest.approx(
        fit(Two(), named, validation=named, execution="eager", seed=1).metrics["val/loss"], rel=0.02
    )


class Boxes(nn.Module):
    """Finds one box for each of a list of images of different sizes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 4)

    def forward(self, images: list[Tensor]) -> Tensor:
        return torch.stack([self.layer(image.mean((1, 2))) for image in images])


def box_loss(outputs: Tensor, targets: list[dict[str, Tensor]]) -> Tensor:
    return torch.stack(
        [(o - t["boxes"].mean(0)).square().sum() for o, t in zip(outputs, targets, strict=True)]
    ).mean()


def detection_batches() -> list[Any]:
    draws = torch.Generator().manual_seed(0)
    return [
        (
            [torch.rand(3, 4 + i, 5, generator=draws) for i in range(4)],
            [{"boxes": torch.rand(1 + i, 4, generator=draws), "names": "cup"} for i in range(4)],
        )
        for _ in range(6)
    ]


@pytest.mark.parametrize("execution", ["eager", "bf16", "channels_last", "compiled"])
def test_lists_of_images_and_dicts_train_in_every_mode(fit: Any, execution: str) -> None:
    batches = detection_batches()
    run = fit(Boxes(), batches, validation=batches, loss=box_loss, execution=execution, epochs=8, lr=0.05)
    losses = [loss for _, loss in run.store.series("val/loss")]
    assert losses[-1] < 0.5 * losses[0]
    assert ("values that are not tensors" in " ".join(run.facts["notes"])) == (execution == "compiled")


# ---- resume ----------------------------------------------------------------------------------------


class Augmented(TensorDataset):
    """Draws from every global generator, as augmentation does."""

    def __getitem__(self, row: Any) -> Any:
        inputs, target = super().__getitem__(row)
        noise = torch.randn(4) + float(np.random.normal())
        return {"input": inputs + 0.1 * noise, "label": target}


class Interrupts(Callback):
    """Interrupts once, in the middle of an epoch."""

    def __init__(self, at: int | None):
        self.at = at

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step == self.at:
            trainer.interrupt("received SIGTERM")


def seeded_loader() -> DataLoader[Any]:
    data = Augmented(*TENSORS.tensors)
    sampler = RandomSampler(data, generator=torch.Generator().manual_seed(7))
    return DataLoader(data, 32, sampler=sampler)


@pytest.mark.parametrize(
    "source",
    [
        seeded_loader,
        lambda: DataLoader(Augmented(*TENSORS.tensors), 32, shuffle=True),
        lambda: [{"input": x, "label": y} for x, y in DataLoader(TENSORS, 32)],
        lambda: drawn,
        Stream,
    ],
    ids=["seeded sampler", "shuffled loader", "dicts", "function", "iterable dataset"],
)
def test_a_run_on_a_users_batches_resumes_bit_for_bit(fit: Any, source: Any) -> None:
    plan = {"epochs": 3, "validation": DataLoader(TENSORS, 64), "loss": F.cross_entropy}
    whole = fit(network(), source(), **plan)
    steps = whole.store.series("val/loss")[-1][0]
    stopped = fit(network(), source(), callbacks=[Interrupts(steps // 2)], **plan)
    assert stopped.status == "interrupted"
    resumed = fit(network(), source(), callbacks=[Interrupts(None)], resume=stopped.id, **plan)
    assert find_weights(resumed, "last").read_bytes() == find_weights(whole, "last").read_bytes()
    assert resumed.store.series("val/loss") == whole.store.series("val/loss")


def test_training_leaves_the_order_of_a_loader_to_seed_and_epoch(fit: Any) -> None:
    """Two training runs with one seed see the same batches, whatever was drawn from torch before."""
    losses = []
    for draws in (1, 5):
        torch.rand(draws)
        run = fit(network(), DataLoader(TENSORS, 32, shuffle=True), seed=3)
        losses.append(run.store.series("train/loss"))
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metrics": ["f2"]}, "lambda outputs, targets"),
        ({"callbacks": ["early"]}, r"class MyCallback\(pellucid.Callback\)"),
    ],
)
def test_what_other_libraries_take_is_refused_with_what_to_pass(fit: Any, options: Any, words: str) -> None:
    with pytest.raises((ConfigError, UsageError), match=words):
        fit(network(), (X, Y), **options)


def test_a_list_of_one_validation_loader_is_that_loader(fit: Any) -> None:
    held_out = DataLoader(TENSORS, batch_size=32)
    run = fit(
        network(), DataLoader(TENSORS, batch_size=32), loss=nn.CrossEntropyLoss(), validation=[held_out]
    )
    assert run.metrics["val/accuracy"] > 0
